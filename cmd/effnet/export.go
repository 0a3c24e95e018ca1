package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"effnet/internal/export"
	"effnet/internal/hub"
	"effnet/internal/weights"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type exportOptions struct{ export.Options }

// AddFlags registers the options.
func (o *exportOptions) AddFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.Hub, "hub", false, "write the folder OUT: a repository of the Hugging Face hub, for timm")
	flags.BoolVar(&o.KeepBN, "keep-bn", false, "keep batch normalisations separate from the convolutions (.onnx)")
	flags.BoolVar(&o.Preprocess, "preprocess", false, "take pixels, 0 to 255, as input and normalise them in the graph (.onnx)")
}

func newExportCommand() *cobra.Command {
	var opts exportOptions
	cmd := &cobra.Command{
		Use:   "export CHECKPOINT OUT",
		Short: "Write a checkpoint for other programs: ONNX, safetensors, npz, the hub",
		Long: `Write a checkpoint for other programs. OUT's extension chooses the format:

  .onnx         a graph with its weights, opset 17, for ONNX Runtime and others;
                class names, preprocessing and architecture are in its metadata
  .safetensors  weights in timm's names and PyTorch's layouts
  .npz          weights in the order and the layouts of Keras' EfficientNetB0 to B7,
                built with weights=None: model.set_weights([z[k] for k in z.files])
                and then model.get_layer("normalization").finalize_state()

With --hub, OUT is a folder for the Hugging Face hub, whatever its name: config.json,
model.safetensors, and README.md, the model card. timm.create_model("local-dir:OUT",
pretrained=True) loads it, and effnet takes OUT as a checkpoint.

The graph takes any number of images, cropped and resized to the network's resolution.
Its input is called "input": normalised RGB, float32 [batch,3,R,R]. With --preprocess
it is called "pixels": not yet normalised, uint8 [batch,R,R,3].

` + checkpointHelp,
		Example: `  effnet export runs/first/best.safetensors photos.onnx
  effnet export runs/first/best.safetensors photos.onnx --preprocess
  effnet export runs/first/best.safetensors photos-b0 --hub`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := swappedOutput(cmd, args[0], args[1]); err != nil {
				return err
			}
			return runExport(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runExport(ctx context.Context, w io.Writer, path, out string, opts exportOptions) error {
	opts.Version = versionName()
	if err := opts.Validate(out); err != nil {
		return usageError{err}
	}
	if dir, err := os.Stat(filepath.Dir(out)); err != nil || !dir.IsDir() {
		return usageError{fmt.Errorf("export: %s: there is no folder %s (create it first)", out, filepath.Dir(out))}
	}
	found, err := newHub(false).Resolve(ctx, path)
	if err != nil {
		return err
	}
	if err := notTheSource("export", found.Path, out); err != nil {
		return err
	}
	n, err := read(found, weights.Overrides{})
	if err != nil {
		return err
	}
	what, err := export.Write(out, n, path, opts.Options)
	if err != nil {
		return err
	}
	size, err := hub.Size(out)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s: %s, %.1f MiB, %s\n", out, n.Meta.Arch.Name, float64(size)/(1<<20), what)
	return err
}
