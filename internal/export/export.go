// Package export writes a network for other programs, each kind of file by its name's
// ending.
package export

import (
	"errors"
	"fmt"
	"io/fs"
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
)

// Options of a file. KeepBN and Preprocess are of graphs only.
type Options struct {
	Hub        bool   // write a folder, a repository of the Hugging Face hub, whatever its name
	KeepBN     bool   // leave batch normalisations apart from the convolutions
	Preprocess bool   // take pixels, 0 to 255, and normalise them in the graph
	Version    string // of the program, for the file's metadata
}

// Endings lists the kinds of files, for people.
const Endings = ".onnx, .safetensors or .npz"

// kinds write a network to a path and say what it now holds.
var kinds = map[string]func(path string, n *weights.Imported, opt Options) (string, error){
	".onnx": writeONNX, ".safetensors": writeSafetensors, ".npz": writeNPZ,
}

func kindOf(path string) string { return strings.ToLower(filepath.Ext(path)) }

// Validate returns an error for a path that Write does not know how to write, and for
// the first option that a file of its kind does not have.
func (o Options) Validate(path string) error {
	kind := kindOf(path)
	switch {
	case o.Hub && (o.KeepBN || o.Preprocess):
		return errors.New("--keep-bn and --preprocess are for .onnx: a repository of the hub has no graph")
	case o.Hub:
		return mustBeEmpty(path)
	case kinds[kind] == nil:
		return fmt.Errorf("export: %s: want a name that ends in %s", path, Endings)
	case kind == ".onnx":
	case o.KeepBN:
		return fmt.Errorf("--keep-bn is for .onnx: a %s file always keeps them", kind)
	case o.Preprocess:
		return fmt.Errorf("--preprocess is for .onnx: a %s file has no graph", kind)
	}
	return nil
}

// Write writes a network that was read from source, and returns what the file at path
// now holds, for people.
func Write(path string, n *weights.Imported, source string, opt Options) (what string, err error) {
	if err := opt.Validate(path); err != nil {
		return "", err
	}
	write := kinds[kindOf(path)]
	if opt.Hub {
		write = writeHub
	}
	what, err = write(path, n, opt)
	if m, ok := errors.AsType[*named.Mismatch](err); ok {
		return "", checkpoint.NotTheNetwork(source, m)
	}
	if err != nil {
		return "", fmt.Errorf("export: %w", err)
	}
	return what, nil
}

// mustBeEmpty returns an error for a folder that has something in it, and for a file.
func mustBeEmpty(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s exists and is not empty (choose another folder)", path)
	}
	return err
}

func writeONNX(path string, n *weights.Imported, opt Options) (string, error) {
	graph := onnx.Options{KeepBN: opt.KeepBN, Preprocess: opt.Preprocess, Version: opt.Version}
	err := atomicfile.Write(path, func(file *os.File) error { return onnx.Write(file, &n.Meta, n.Tensors, graph) })
	input := graph.Input(n.Meta.Arch.Resolution)
	return fmt.Sprintf("ONNX opset %d, %s to logits float32 [batch,%d]", onnx.Opset, input, n.Meta.Arch.Classes), err
}

// writeSafetensors writes what a checkpoint is already.
func writeSafetensors(path string, n *weights.Imported, _ Options) (string, error) {
	return fmt.Sprintf("safetensors, %d tensors in timm's names", len(n.Tensors)), n.Write(path)
}

func writeNPZ(path string, n *weights.Imported, _ Options) (string, error) {
	err := atomicfile.Write(path, func(file *os.File) error {
		return npz.Write(file, n.Meta.Arch, n.Meta.Preprocess.Mean, n.Meta.Preprocess.Std, n.Tensors)
	})
	what := fmt.Sprintf("npz, %d arrays in Keras' order", len(n.Tensors)+3)
	if a := n.Meta.Arch; !npz.Exact(a) {
		what += fmt.Sprintf("; Keras computes something else: it pads by the rule %q, not %q, at a batch norm eps of %g, not %g",
			scale.Same, a.Padding, npz.BNEps, a.BNEps)
	}
	return what, err
}
