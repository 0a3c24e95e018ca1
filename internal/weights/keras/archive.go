package keras

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"effnet/internal/checkpoint"
	"effnet/internal/weights/hdf5"
)

const (
	configName  = "config.json"
	weightsName = "model.weights.h5"

	maxConfig = 16 << 20 // bytes; EfficientNetB0's takes 0.2 MB
	maxRatio  = 16       // a zip's bytes unpacked to its size; of trained weights it is about 1
	slack     = 1 << 20  // bytes that this leaves to small files
)

// openArchive finds the variables of a .keras file, and what it says of the model.
func openArchive(r io.ReaderAt, size int64) ([]variable, *config, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, nil, &checkpoint.Error{Reason: "is a damaged or truncated zip", Hint: again, Err: err}
	}
	files := map[string]*zip.File{}
	for _, f := range z.File {
		if files[f.Name] != nil {
			return nil, nil, faultf("", "is a zip with %.80q twice", f.Name)
		}
		files[f.Name] = f
	}
	if files[configName] == nil || files[weightsName] == nil {
		return nil, nil, faultf(resave, "is a zip without %s and %s, not a Keras file", configName, weightsName)
	}
	doc, err := unpack(files[configName], min(maxConfig, maxRatio*size+slack))
	if err != nil {
		return nil, nil, err
	}
	var model config
	if err := json.Unmarshal(doc, &model); err != nil {
		return nil, nil, &checkpoint.Error{Reason: "has a malformed " + configName, Hint: again, Err: err}
	}
	b, err := unpack(files[weightsName], maxRatio*size+slack)
	if err != nil {
		return nil, nil, err
	}
	root, err := hdf5.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, nil, damaged(err)
	}
	if root.Find("layers") == nil {
		return nil, nil, faultf(resave, "has no layers in its %s", weightsName)
	}
	found, err := numbered(root, &model)
	return found, &model, err
}

// unpack returns the bytes of a file of at most limit bytes.
func unpack(f *zip.File, limit int64) ([]byte, error) {
	if f.UncompressedSize64 > uint64(limit) {
		return nil, faultf("", "has a part %.80q of %d bytes, more than %d", f.Name, f.UncompressedSize64, limit)
	}
	r, err := f.Open()
	if err != nil {
		return nil, &checkpoint.Error{Reason: fmt.Sprintf("has a part %.80q that cannot be read", f.Name), Hint: again, Err: err}
	}
	defer func() { _ = r.Close() }()
	b := make([]byte, f.UncompressedSize64)
	if _, err = io.ReadFull(r, b); err == nil {
		_, err = io.ReadFull(r, make([]byte, 1)) // the end, where the checksum is compared
	}
	if err == nil {
		err = errors.New("it is longer than declared")
	}
	if !errors.Is(err, io.EOF) {
		return nil, &checkpoint.Error{Reason: fmt.Sprintf("has a damaged part %.80q", f.Name), Hint: again, Err: err}
	}
	return b, nil
}
