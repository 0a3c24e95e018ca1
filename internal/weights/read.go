package weights

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"effnet/internal/bundle"
	"effnet/internal/checkpoint"
	"effnet/internal/named"
	"effnet/internal/weights/keras"
	"effnet/internal/weights/tfcheckpoint"
	"effnet/internal/weights/torchfile"
)

// A file is tensors by the names and in the layout of the program that wrote them.
type file struct {
	path     string
	format   string // for people
	tensors  []named.Tensor
	unused   []string
	meta     *checkpoint.Meta // of a checkpoint of ours
	keras    *keras.File      // of a file of Keras
	averages bool             // the tensors are running averages of the weights
	other    string           // where else the file has the weights, or the averages; "" if it has one of them
}

// read reads a file by what it holds, whatever its name is.
func read(path string, plain bool) (*file, error) {
	head, err := firstBytes(path)
	if err != nil {
		return nil, err
	}
	f := &file{path: path}
	switch {
	case head == nil || strings.HasSuffix(path, ".index"): // no file, or a folder: a prefix
		f.format = "TensorFlow checkpoint"
		f.tensors, err = tfcheckpoint.Read(path)
	case bytes.HasPrefix(head, []byte("\x89HDF")):
		f.format = "Keras HDF5 weights"
		err = f.readKeras()
	case bytes.HasPrefix(head, []byte("PK\x03\x04")) && isKeras(path):
		f.format = "Keras model"
		err = f.readKeras()
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), head[0] == 0x80 && !checkpoint.IsSafetensors(head):
		f.format = "PyTorch file"
		err = f.readTorch(plain)
	case bundle.IsProgram(head) && !checkpoint.IsSafetensors(head):
		f.format = "bundle"
		err = f.readBundle()
	case head[8] != '{':
		return nil, &checkpoint.Error{Path: path, Reason: "is not a known kind of weights file",
			Hint: "safetensors, PyTorch's .pth, Keras' .h5 and .keras, and TensorFlow checkpoints are read"}
	default:
		f.format = "safetensors"
		var c *checkpoint.File
		if c, err = checkpoint.Read(path); err == nil {
			f.tensors, f.meta = c.Tensors, c.Meta
		}
	}
	return f, err
}

func (f *file) readBundle() error {
	b, err := bundle.Open(f.path)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	c, err := checkpoint.ReadFrom(b.Network, b.Network.Size(), f.path)
	if err == nil {
		f.tensors, f.meta = c.Tensors, c.Meta
	}
	return err
}

func (f *file) readTorch(plain bool) error {
	t, err := torchfile.Read(f.path, plain)
	if err != nil {
		return err
	}
	f.tensors = t.Tensors
	if f.averages = t.Averages; t.Other != "" {
		f.other = "its " + t.Other
	}
	if t.Section != "" {
		f.format += ", its " + t.Section
	}
	f.unused = append(f.unused, t.Others...)
	return nil
}

func (f *file) readKeras() (err error) {
	if f.keras, err = keras.Read(f.path); err == nil {
		f.tensors = f.keras.Tensors
	}
	return err
}

// firstBytes returns how a file begins, nil for a folder or a TensorFlow
// checkpoint's prefix.
func firstBytes(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return nil, nil
	}
	if _, indexed := os.Stat(path + ".index"); err != nil && indexed == nil {
		return nil, nil
	}
	f, _, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, checkpoint.MistakenBytes)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, &checkpoint.Error{Path: path, Reason: "cannot be read", Err: err}
	}
	head = head[:n]
	if e := checkpoint.Mistaken(head); e != nil {
		e.Path = path
		return nil, e
	}
	if n < 9 {
		return nil, &checkpoint.Error{Path: path, Reason: "is too short to hold weights"}
	}
	return head, nil
}

// IsPart says whether a file is one that Open reads of a source, by whatever name or link.
func IsPart(source, path string) bool {
	file, err := os.Stat(path)
	if err != nil {
		return false
	}
	folder, prefix := filepath.Split(strings.TrimSuffix(source, ".index"))
	parts := []string{source, hubPath(source)}
	if info, err := os.Stat(source); err == nil && info.IsDir() {
		folder, prefix = source, ""
	}
	entries, _ := os.ReadDir(cmp.Or(folder, "."))
	for _, e := range entries { // of a TensorFlow checkpoint
		if rest, ok := strings.CutPrefix(e.Name(), prefix); ok && (strings.HasSuffix(rest, ".index") || strings.Contains(rest, ".data-")) {
			parts = append(parts, filepath.Join(folder, e.Name()))
		}
	}
	return slices.ContainsFunc(parts, func(part string) bool {
		info, err := os.Stat(part)
		return err == nil && os.SameFile(file, info)
	})
}

// isKeras tells a Keras model from the other zip file, PyTorch's.
func isKeras(path string) bool {
	if filepath.Ext(path) == ".keras" {
		return true
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		return false
	}
	defer func() { _ = z.Close() }()
	_, err = z.Open("model.weights.h5")
	return err == nil
}

// Check returns an error for a file that is damaged, cut short or no file of weights. It
// reads the tensors, and does not ask of which network they are.
func Check(path string) error {
	f, err := read(path, false)
	if err == nil && len(f.tensors) == 0 {
		err = &checkpoint.Error{Path: path, Reason: "holds no tensors"}
	}
	return err
}
