package hdf5

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// array is a dataset as h5py reads it.
type array struct {
	Shape []int
	Data  []float64
}

// files are what tools/golden/kerasfile.py has written, and golden what it found
// in those that are read.
func files(t testing.TB) (contents map[string][]byte, golden map[string]map[string]array) {
	t.Helper()
	z, err := zip.OpenReader("testdata/files.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	contents = map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if contents[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Files map[string]map[string]array }
	if err := json.Unmarshal(doc, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Files) < 7 || len(contents) < 19 {
		t.Fatalf("%d files, of which %d are read", len(contents), len(all.Files))
	}
	return contents, all.Files
}

// readAll returns the values of all datasets by their paths.
func readAll(b []byte) (map[string]array, error) {
	root, err := Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	all := map[string]array{}
	var walk func(path string, o *Object) error
	walk = func(path string, o *Object) error {
		if o.Dataset != nil {
			values, err := o.Dataset.Float32()
			if err != nil {
				return err
			}
			a := array{Shape: o.Dataset.Shape}
			for _, v := range values {
				a.Data = append(a.Data, float64(v))
			}
			all[strings.TrimPrefix(path, "/")] = a
		}
		for _, child := range o.Objects {
			if err := walk(path+"/"+child.Name, child); err != nil {
				return err
			}
		}
		return nil
	}
	return all, walk("", root)
}

func TestReadAsH5py(t *testing.T) {
	contents, golden := files(t)
	for name, want := range golden {
		got, err := readAll(contents[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d datasets, want %d", name, len(got), len(want))
		}
		for path, w := range want {
			g, ok := got[path]
			switch same := func(a, b float64) bool { return a == b && math.Signbit(a) == math.Signbit(b) }; {
			case !ok:
				t.Errorf("%s: no %s", name, path)
			case path != "null" && !slices.Equal(g.Shape, w.Shape) || !slices.EqualFunc(g.Data, w.Data, same):
				t.Errorf("%s: %s is %v, want %v", name, path, g, w)
			}
		}
	}
}

func TestReadAttributes(t *testing.T) {
	contents, _ := files(t)
	for name, c := range map[string]struct {
		path []string
		want map[string]string
	}{
		"attributes.h5": {[]string{"layers", "conv2d", "vars"},
			map[string]string{"name": "stem_conv", "fixed": "bytes", "more7": strings.Repeat("text 7 ", 10), "number": "", "list": ""}},
		"latest_attributes.h5": {[]string{"g"}, map[string]string{"name": "stem"}},
	} {
		root, err := Read(bytes.NewReader(contents[name]), int64(len(contents[name])))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for key, want := range c.want {
			if got := root.Find(c.path...).Attributes[key]; got != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	contents, golden := files(t)
	want := map[string]string{
		"big.h5":           "a dataset of big-endian numbers is not supported",
		"circle.h5":        "groups inside each other more than 32 deep",
		"compound.h5":      "a dataset of compound values is not supported",
		"dense.h5":         "a group with dense links is not supported",
		"fletcher.h5":      "Fletcher32 checksum is not supported",
		"latest_chunks.h5": "a chunk index of HDF5 1.10 is not supported",
		"lzf.h5":           "LZF compression is not supported",
		"outside.h5":       "external storage is not supported",
		"soft.h5":          "a soft link is not supported",
		"strings.h5":       "a dataset of values of any length is not supported",
		"unwritten.h5":     "its values were never written",
		"v110.h5":          "a group with dense links is not supported",
	}
	for name, b := range contents {
		if _, ok := golden[name]; ok {
			continue
		}
		_, err := readAll(b)
		if err == nil || want[name] == "" || !strings.Contains(err.Error(), want[name]) {
			t.Errorf("%s: %v, want %q", name, err, want[name])
		}
	}
}

// TestReadDamaged cuts files at every length and turns bits: an error or values,
// but no panic, and none for a cut file.
func TestReadDamaged(t *testing.T) {
	contents, _ := files(t)
	for _, name := range []string{"chunks.h5", "numbers.h5", "attributes.h5", "latest.h5", "latest_attributes.h5"} {
		b := contents[name]
		for n := 0; n < len(b); n += 1 + n/50 {
			if _, err := readAll(b[:n]); err == nil {
				t.Errorf("%s cut to %d of %d bytes is read", name, n, len(b))
			}
		}
		for i := range b {
			if b[i] == 0 && i%31 != 0 {
				continue
			}
			old := b[i]
			for _, flip := range []byte{1 << (i % 8), 0xff} {
				b[i] ^= flip
				_, _ = readAll(b)
				b[i] = old
			}
		}
	}
}

// TestReadAllocates gives datasets that are far larger than their file.
func TestReadAllocates(t *testing.T) {
	for name, d := range map[string]*Dataset{
		"values":       {Shape: []int{1 << 30}, n: 1 << 30},
		"chunks":       {Shape: []int{4}, n: 4, layout: layout{class: chunkedLayout, chunk: []int{1 << 30}, size: 4}},
		"padded":       {Shape: []int{3, 3}, n: 9, layout: layout{class: chunkedLayout, chunk: []int{2, 1 << 20}, size: 4}},
		"chunk counts": {Shape: []int{1 << 16}, n: 1 << 16, layout: layout{class: chunkedLayout, chunk: []int{1 << 31}, size: 4}},
	} {
		d.f = &file{data: slack}
		d.kind = numbers[format{floating, false, 4, 23}]
		if _, err := d.Float32(); err == nil || !strings.Contains(err.Error(), "more values than the file holds") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string]string{
		"size":    "\x01\x01\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
		"product": "\x02\x03\x00\x01\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"rank":    "\x02\x09\x00\x01" + strings.Repeat("\x01\x00\x00\x00\x00\x00\x00\x00", 9),
		"cut":     "\x02\x02\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00",
	} {
		if shape, err := dataspace([]byte(b)); err == nil {
			t.Errorf("%s: %v", name, shape)
		}
	}
}

func FuzzRead(f *testing.F) {
	contents, _ := files(f)
	for _, b := range contents {
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = readAll(b) })
}
