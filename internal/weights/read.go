package weights

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
	"effnet/internal/weights/keras"
	"effnet/internal/weights/tfcheckpoint"
	"effnet/internal/weights/torchfile"
)

// A file is tensors by the names and in the layout of the program that wrote them.
type file struct {
	path    string
	format  string // for people
	tensors []named.Tensor
	unused  []string
	meta    *checkpoint.Meta // of a checkpoint of ours
}

// read reads a file by what it holds, whatever its name is.
func read(path string) (*file, error) {
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
		f.tensors, err = keras.Read(path)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")) && isKeras(path):
		f.format = "Keras model"
		f.tensors, err = keras.Read(path)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), head[0] == 0x80 && !checkpoint.IsSafetensors(head):
		f.format = "PyTorch file"
		err = f.readTorch()
	default:
		f.format = "safetensors"
		var c *checkpoint.File
		if c, err = checkpoint.Read(path); err == nil {
			f.tensors, f.meta = c.Tensors, c.Meta
		}
	}
	return f, err
}

func (f *file) readTorch() error {
	t, err := torchfile.Read(f.path)
	if err != nil {
		return err
	}
	f.tensors = t.Tensors
	if t.Section != "" {
		f.format += ", its " + t.Section
	}
	f.unused = append(f.unused, t.Others...)
	return nil
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
	head := make([]byte, 9)
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, &checkpoint.Error{Path: path, Reason: "is too short to hold weights"}
	}
	return head, nil
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
