// Package keras reads the weights in files that Keras writes:
//
//   - legacy HDF5, of save_weights("x.h5") or model.save("x.h5"): a group for each
//     layer, with datasets by the variables' names;
//   - Keras 3's x.weights.h5: a group for each layer by its class and a counter, in
//     the order of the model's layers, with numbered datasets;
//   - Keras 3's x.keras: a zip of such a file and of config.json, which says what the
//     layers are called.
//
// The formats are those of Keras' src/legacy/saving/legacy_h5_format.py and
// src/saving/saving_lib.py.
package keras

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
	"effnet/internal/weights/hdf5"
)

const (
	resave = `load it with Keras and save the whole model: model.save("weights.keras")`
	again  = "copy or download it again"
)

// File is what a Keras file holds of a model.
type File struct {
	Tensors []named.Tensor // in Keras' layouts and the file's order
	Listed  bool           // the file says which layers the model has
	Before  []Layer        // those before its first convolution, where they are listed
	After   []Layer        // the first convolution, and those after it
}

// Read loads a model's weights as float32, in Keras' layouts and in the file's
// order. They are called LAYER/VARIABLE: stem_conv/kernel, stem_bn/moving_mean,
// normalization/variance; a model inside the model adds nothing to that. The state
// of an optimizer is skipped.
//
// Nothing is allocated before the file's size or a limit bounds it. Every fault
// of the file is a *checkpoint.Error.
func Read(path string) (*File, error) {
	f, size, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	file, err := decode(f, size)
	if e := (*checkpoint.Error)(nil); errors.As(err, &e) {
		e.Path = path
	}
	return file, err
}

// decode reads a file of size bytes. Its errors are *checkpoint.Error without a
// path.
func decode(r io.ReaderAt, size int64) (*File, error) {
	head := make([]byte, min(size, checkpoint.MistakenBytes))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), head); err != nil {
		return nil, &checkpoint.Error{Reason: "cannot be read", Err: err}
	}
	if e := checkpoint.Mistaken(head); e != nil {
		return nil, e
	}
	var found []variable
	var model *config
	var err error
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		found, model, err = openArchive(r, size)
	case bytes.HasPrefix(head, []byte(hdf5.Magic)):
		found, model, err = openHDF5(r, size)
	default:
		err = faultf(resave, "is not a Keras file")
	}
	if err != nil {
		return nil, err
	}
	tensors, err := load(found)
	if err != nil {
		return nil, err
	}
	file := &File{Tensors: tensors}
	if model != nil && len(model.Config.Layers) > 0 {
		file.Listed = true
		all := model.layers(nil, 0)
		stem := slices.IndexFunc(all, func(l Layer) bool { return l.Class == "Conv2D" })
		if stem < 0 {
			stem = len(all)
		}
		file.Before, file.After = all[:stem], all[stem:]
	}
	return file, nil
}

// A variable is a tensor that has not been read.
type variable struct {
	layer, name string
	dataset     *hdf5.Dataset
}

// openHDF5 finds the variables of an HDF5 file, and what it says of the model.
func openHDF5(r io.ReaderAt, size int64) (found []variable, model *config, err error) {
	root, err := hdf5.Read(r, size)
	if err != nil {
		return nil, nil, damaged(err)
	}
	if whole := root.Find("model_weights"); whole != nil {
		model = &config{}
		if json.Unmarshal([]byte(root.Attributes["model_config"]), model) != nil {
			model = nil // of a format before Keras 2.2, or none
		}
		found, err = legacy(whole)
		return found, model, err
	}
	if root.Find("layers") != nil {
		found, err = numbered(root, nil)
		return found, nil, err
	}
	found, err = legacy(root)
	return found, nil, err
}

// load reads the values of all variables.
func load(found []variable) ([]named.Tensor, error) {
	if len(found) == 0 {
		return nil, faultf(resave, "holds no weights of a Keras model")
	}
	tensors := make([]named.Tensor, 0, len(found))
	seen := map[string]bool{}
	for _, v := range found {
		t := named.Tensor{Name: v.layer + "/" + v.name, Shape: v.dataset.Shape}
		if seen[t.Name] {
			return nil, faultf("", "has %.80q twice", t.Name)
		}
		seen[t.Name] = true
		var err error
		if t.Data, err = v.dataset.Float32(); err != nil {
			e := damaged(err)
			e.Reason = fmt.Sprintf("tensor %.80q cannot be read", t.Name)
			return nil, e
		}
		tensors = append(tensors, t)
	}
	return tensors, nil
}

// damaged makes an error of package hdf5 one of the file.
func damaged(err error) *checkpoint.Error {
	e := &checkpoint.Error{Reason: "is HDF5 that cannot be read", Hint: again, Err: err}
	if u := hdf5.UnsupportedError(""); errors.As(err, &u) {
		e.Hint = resave
	}
	return e
}

func faultf(hint, format string, args ...any) *checkpoint.Error {
	return &checkpoint.Error{Reason: fmt.Sprintf(format, args...), Hint: hint}
}
