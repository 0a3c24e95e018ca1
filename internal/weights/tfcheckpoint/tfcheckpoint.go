// Package tfcheckpoint reads the variables of a TensorFlow checkpoint of version
// 2, a "tensor bundle": a table PREFIX.index of what there is, and the values in
// PREFIX.data-00000-of-00001 or more such files.
//
// The formats are those of TensorFlow's tensor_bundle.h and tensor_bundle.proto
// (tensorflow/core/util/tensor_bundle, tensorflow/core/protobuf) and of LevelDB's
// doc/table_format.md.
package tfcheckpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
)

// Limits that no EfficientNet reaches; every other allocation is bounded by the
// files' sizes.
const (
	maxIndex   = 16 << 20 // bytes; B7's with optimizer and averages takes 0.3 MB
	maxEntries = 1 << 16  // B7 has 4,000
	maxName    = 1 << 10  // bytes
	maxFloats  = 1 << 31  // of all tensors; L2 has 0.48e9
	maxRank    = 8        // of a tensor
)

const again = "copy or download its .index and .data files again"

var dataFile = regexp.MustCompile(`\.data-\d{5}-of-\d{5}$`)

// Read loads the variables as float32, by and in the order of their names in the
// checkpoint. The path is PREFIX, PREFIX.index or a folder with one .index file.
// Strings and partitioned variables are skipped; all checksums are compared.
//
// Nothing is allocated before the files' sizes or a limit bounds it. Every fault
// of the files is a *checkpoint.Error.
func Read(path string) ([]named.Tensor, error) {
	prefix, err := find(path)
	if err != nil {
		return nil, err
	}
	index := prefix + ".index"
	entries, shards, err := readIndex(index)
	if err != nil {
		return nil, at(index, err)
	}
	d := &data{prefix: prefix, count: shards, files: map[int64]*shard{}}
	defer d.close()
	tensors := make([]named.Tensor, 0, len(entries))
	floats := int64(0)
	for _, e := range entries {
		t, err := d.tensor(e)
		if err != nil {
			return nil, at(index, err)
		}
		if floats += int64(len(t.Data)); floats > maxFloats {
			return nil, at(index, faultf("", "has more than the %d values that are read", maxFloats))
		}
		tensors = append(tensors, t)
	}
	if len(tensors) == 0 {
		return nil, at(index, faultf("", "has no variables of numbers"))
	}
	return tensors, nil
}

// find returns the prefix of the checkpoint that a path names.
func find(path string) (string, error) {
	if _, err := os.Stat(path + ".index"); err == nil {
		return path, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", &checkpoint.Error{Path: path, Reason: "cannot be read", Err: errors.Unwrap(err)}
	}
	if info.IsDir() {
		return only(path)
	}
	if prefix, ok := strings.CutSuffix(path, ".index"); ok {
		return prefix, nil
	}
	e := &checkpoint.Error{Path: path, Reason: "is not an .index file of a TensorFlow checkpoint", Hint: "checkpoints of version 1 are not read"}
	if dataFile.MatchString(path) {
		e.Hint = "name the .index file, which must be next to it"
	}
	return "", e
}

// only returns the prefix of the one checkpoint in a folder.
func only(folder string) (string, error) {
	items, err := os.ReadDir(folder)
	if err != nil {
		return "", &checkpoint.Error{Path: folder, Reason: "cannot be read", Err: errors.Unwrap(err)}
	}
	var found []string
	for _, item := range items {
		if prefix, ok := strings.CutSuffix(item.Name(), ".index"); ok && !item.IsDir() {
			found = append(found, prefix)
		}
	}
	switch len(found) {
	case 0:
		return "", &checkpoint.Error{Path: folder, Reason: "is a folder without the .index file of a TensorFlow checkpoint"}
	case 1:
		return filepath.Join(folder, found[0]), nil
	}
	return "", &checkpoint.Error{Path: folder, Reason: fmt.Sprintf("is a folder with %d TensorFlow checkpoints", len(found)),
		Hint: "name one: " + filepath.Join(folder, found[len(found)-1])}
}

// readIndex returns the variables to read and the number of data files.
func readIndex(path string) ([]entry, int64, error) {
	f, size, err := open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }()
	if size > maxIndex {
		return nil, 0, faultf("", "has %d bytes, more than the %d that are read", size, maxIndex)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, 0, &checkpoint.Error{Reason: "cannot be read", Hint: again, Err: err}
	}
	return parseIndex(b)
}

// parseIndex is readIndex of the file's bytes.
func parseIndex(b []byte) (entries []entry, shards int64, err error) {
	records, err := table(b)
	if err != nil {
		return nil, 0, err
	}
	if len(records) == 0 || records[0].key != "" {
		return nil, 0, faultf("", "is a table, but not of a TensorFlow checkpoint of version 2")
	}
	if shards, err = parseHeader(records[0].value); err != nil {
		return nil, 0, err
	}
	for _, r := range records[1:] {
		if strings.HasPrefix(r.key, "\x00") {
			continue // a part of a partitioned variable
		}
		e, err := parseEntry(r)
		if err != nil {
			return nil, 0, &checkpoint.Error{Reason: fmt.Sprintf("has a malformed entry %.80q", r.key), Err: err}
		}
		if e.partitioned || e.dtype == stringType {
			continue
		}
		if e.n, err = e.check(); err != nil {
			return nil, 0, &checkpoint.Error{Reason: fmt.Sprintf("has a variable %.80q that cannot be read", r.key), Err: err}
		}
		entries = append(entries, e)
	}
	return entries, shards, nil
}

// open opens one of a checkpoint's files, and says how long it is.
func open(path string) (*os.File, int64, error) {
	f, size, err := checkpoint.Open(path)
	if e := (*checkpoint.Error)(nil); errors.As(err, &e) && errors.Is(err, os.ErrNotExist) {
		e.Hint = "a checkpoint is an .index file and all its .data files in one folder"
	}
	return f, size, err
}

// at gives an error the path that it is about, unless it has one.
func at(path string, err error) error {
	e := (*checkpoint.Error)(nil)
	if !errors.As(err, &e) {
		return &checkpoint.Error{Path: path, Reason: "cannot be read", Err: err}
	}
	if e.Path == "" {
		e.Path = path
	}
	return e
}

func faultf(hint, format string, args ...any) *checkpoint.Error {
	return &checkpoint.Error{Reason: fmt.Sprintf(format, args...), Hint: hint}
}
