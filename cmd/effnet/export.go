package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"effnet/internal/atomicfile"
	"effnet/internal/checkpoint"
	"effnet/internal/named"
	"effnet/internal/scale"
	"effnet/internal/weights"
	"effnet/internal/weights/npz"
	"effnet/internal/weights/onnx"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type exportOptions struct {
	KeepBN, Preprocess bool
}

// AddFlags registers the options.
func (o *exportOptions) AddFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.KeepBN, "keep-bn", false, "leave batch normalisations apart from the convolutions (.onnx)")
	flags.BoolVar(&o.Preprocess, "preprocess", false, "take pixels, 0 to 255, and normalise them in the graph (.onnx)")
}

// Validate names the first option that a file of this kind does not have.
func (o *exportOptions) Validate(kind string) error {
	switch {
	case kind == ".onnx":
	case o.KeepBN:
		return usageError{fmt.Errorf("--keep-bn is for .onnx: a %s file always keeps them", kind)}
	case o.Preprocess:
		return usageError{fmt.Errorf("--preprocess is for .onnx: a %s file has no graph", kind)}
	}
	return nil
}

func newExportCommand() *cobra.Command {
	var opts exportOptions
	cmd := &cobra.Command{
		Use:   "export CHECKPOINT OUT",
		Short: "Write a checkpoint for other programs: ONNX, safetensors, npz",
		Long: `Write a checkpoint for other programs. OUT's ending says how:

  .onnx         a graph with its weights, opset 17, for ONNX Runtime and others;
                class names, preprocessing and architecture are in its metadata
  .safetensors  weights in timm's names and PyTorch's layouts
  .npz          weights in the order and the layouts of Keras' EfficientNetB0 to
                B7: model.set_weights(model.get_weights()[:3] + [z[k] for k in z.files])

A graph takes images at the network's resolution, any number at once: cropped,
resized and normalised, float32 [batch,3,R,R] in RGB, called "input"; with
--preprocess, not yet normalised, uint8 [batch,R,R,3], called "pixels". CHECKPOINT is
a checkpoint or what effnet import takes.`,
		Example: `  effnet export runs/first/best.safetensors photos.onnx
  effnet export runs/first/best.safetensors photos.onnx --preprocess`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExport(cmd.OutOrStdout(), args[0], args[1], opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

// exporters write a checkpoint to a path and say what it now holds, by the path's
// ending.
var exporters = map[string]func(path string, f *checkpoint.File, opts exportOptions) (string, error){
	".onnx": exportONNX, ".safetensors": exportSafetensors, ".npz": exportNPZ,
}

func runExport(w io.Writer, path, out string, opts exportOptions) error {
	kind := strings.ToLower(filepath.Ext(out))
	export, ok := exporters[kind]
	if !ok {
		return usageError{fmt.Errorf("export: %s: want a name that ends in .onnx, .safetensors or .npz", out)}
	}
	if err := opts.Validate(kind); err != nil {
		return err
	}
	if dir, err := os.Stat(filepath.Dir(out)); err != nil || !dir.IsDir() {
		return usageError{fmt.Errorf("export: %s: there is no folder %s (make it first)", out, filepath.Dir(out))}
	}
	f, err := readNetwork(path)
	if err != nil {
		return err
	}
	what, err := export(out, f, opts)
	if m := (*named.Mismatch)(nil); errors.As(err, &m) {
		return checkpoint.NotTheNetwork(path, m)
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	info, err := os.Stat(out)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s: %s, %.1f MiB, %s\n", out, f.Meta.Arch.Name, float64(info.Size())/(1<<20), what)
	return err
}

// readNetwork reads a checkpoint, or another program's weights.
func readNetwork(path string) (*checkpoint.File, error) {
	w, err := weights.Open(path, weights.Overrides{})
	if err != nil {
		return nil, err
	}
	announce(path, w)
	return &checkpoint.File{Meta: &w.Meta, Tensors: w.Tensors}, nil
}

func exportONNX(path string, f *checkpoint.File, opts exportOptions) (string, error) {
	opt := onnx.Options{KeepBN: opts.KeepBN, Preprocess: opts.Preprocess, Version: versionName()}
	err := atomicfile.Write(path, func(file *os.File) error { return onnx.Write(file, f.Meta, f.Tensors, opt) })
	input := opt.Input(f.Meta.Arch.Resolution)
	return fmt.Sprintf("ONNX opset %d, %s to logits float32 [batch,%d]", onnx.Opset, input, f.Meta.Arch.Classes), err
}

// exportSafetensors writes what a checkpoint is already.
func exportSafetensors(path string, f *checkpoint.File, _ exportOptions) (string, error) {
	return fmt.Sprintf("safetensors, %d tensors in timm's names", len(f.Tensors)), checkpoint.Write(path, *f.Meta, f.Tensors)
}

func exportNPZ(path string, f *checkpoint.File, _ exportOptions) (string, error) {
	err := atomicfile.Write(path, func(file *os.File) error { return npz.Write(file, f.Meta.Arch, f.Tensors) })
	what := fmt.Sprintf("npz, %d arrays in Keras' order", len(f.Tensors))
	if a := f.Meta.Arch; !npz.Exact(a) {
		what += fmt.Sprintf("; Keras computes something else: it pads by the rule %q, not %q, at a batch norm eps of %g, not %g",
			scale.Same, a.Padding, npz.BNEps, a.BNEps)
	}
	return what, err
}
