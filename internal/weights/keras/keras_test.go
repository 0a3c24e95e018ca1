package keras

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
)

// array is a weight as Keras has it.
type array struct {
	Shape []int
	Data  []float32
}

// files are what tools/golden/kerasfile.py has saved, and golden what is in those
// that are read.
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
	if len(all.Files) < 10 {
		t.Fatalf("golden.json has %d files", len(all.Files))
	}
	return contents, all.Files
}

func decodeBytes(b []byte) ([]named.Tensor, error) {
	f, err := decode(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	return f.Tensors, nil
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadAsKeras(t *testing.T) {
	contents, golden := files(t)
	for name, want := range golden {
		file, err := Read(write(t, contents[name]))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(file.Tensors) != len(want) {
			t.Errorf("%s: %d tensors, want %d", name, len(file.Tensors), len(want))
		}
		for _, g := range file.Tensors {
			key := g.Name
			if _, ok := want[key]; !ok { // Keras 2's name of what Keras 3 numbers
				key = strings.Replace(key, "dwconv/kernel", "dwconv/depthwise_kernel", 1)
			}
			w, ok := want[key]
			if !ok || !slices.Equal(g.Shape, w.Shape) || !slices.Equal(g.Data, w.Data) {
				t.Errorf("%s: %s of shape %v is %v, want %v", name, g.Name, g.Shape, g.Data, w)
			}
		}
	}
}

// TestReadNames pins the names, which the golden values have from Keras.
func TestReadNames(t *testing.T) {
	contents, _ := files(t)
	for _, name := range []string{"keras2_weights.h5", "keras3.weights.h5", "keras3_finetuned.keras"} {
		tensors, err := decodeBytes(contents[name])
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"normalization/mean", "stem_conv/kernel", "stem_bn/moving_variance", "block1a_se_reduce/bias", "predictions/bias"} {
			if !slices.ContainsFunc(tensors, func(t named.Tensor) bool { return t.Name == want }) {
				t.Errorf("%s: no %s", name, want)
			}
		}
	}
}

// zipOf makes a zip of files by pairs of name and content.
func zipOf(pairs ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		w, _ := z.Create(pairs[i])
		_, _ = w.Write([]byte(pairs[i+1]))
	}
	_ = z.Close()
	return b.Bytes()
}

func TestReadRefuses(t *testing.T) {
	contents, _ := files(t)
	h5 := string(contents["keras3.weights.h5"])
	for name, c := range map[string]struct {
		content      []byte
		reason, hint string
	}{
		"nameless":      {contents["nameless.weights.h5"], "does not say what its layers are called", "weights.keras"},
		"no container":  {contents["other.weights.h5"], "does not say what its layers are called", "weights.keras"},
		"empty":         {nil, "is empty", "again"},
		"text":          {[]byte("version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer", "git lfs pull"},
		"other zip":     {zipOf("archive/data.pkl", "x"), "is a zip without config.json", "model.save"},
		"no weights":    {zipOf("config.json", "{}"), "is a zip without", "model.save"},
		"twice":         {zipOf("config.json", "{}", "config.json", "{}"), `with "config.json" twice`, ""},
		"config":        {zipOf("config.json", "{", "model.weights.h5", h5), "malformed config.json", ""},
		"no config":     {zipOf("config.json", "{}", "model.weights.h5", string(contents["nameless.weights.h5"])), "does not say", "weights.keras"},
		"other config":  {zipOf("config.json", `{"config": {"layers": [null, {"class_name": "Dense"}]}}`, "model.weights.h5", h5), "that its config.json lacks", ""},
		"weights cut":   {zipOf("config.json", `{"config": {"layers": [{}]}}`, "model.weights.h5", h5[:9999]), "is HDF5 that cannot be read: it is truncated", "download"},
		"weights large": {zipOf("config.json", `{"config": {"layers": [{}]}}`, "model.weights.h5", strings.Repeat("\x00", 4<<20)), "of 4194304 bytes, more than", ""},
		"zip cut":       {contents["keras3.keras"][:4000], "truncated zip", "download"},
		"HDF5 cut":      {[]byte(h5[:9999]), "is truncated: 9999 bytes of 52160", "download"},
	} {
		path := write(t, c.content)
		_, err := Read(path)
		var e *checkpoint.Error
		if !errors.As(err, &e) || e.Path != path || !strings.Contains(err.Error(), c.reason) || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: %v, hint %v", name, err, e)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		var e *checkpoint.Error
		if _, err := Read(path); !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestReadDamaged(t *testing.T) {
	contents, _ := files(t)
	for _, name := range []string{"keras2_weights.h5", "keras3.weights.h5", "keras3.keras"} {
		b := contents[name]
		check := func(n int, cut bool) {
			_, err := decodeBytes(b[:n])
			var e *checkpoint.Error
			if err == nil && cut || err != nil && !errors.As(err, &e) {
				t.Errorf("%s, %d bytes: %v", name, n, err)
			}
		}
		for n := 0; n < len(b); n += 97 {
			check(n, true)
		}
		for i := 0; i < len(b); i += 29 {
			b[i] ^= 1 << (i % 8)
			check(len(b), false)
			b[i] ^= 1 << (i % 8)
		}
	}
}

func TestSnakeCase(t *testing.T) {
	for class, want := range map[string]string{"Conv2D": "conv2d", "DepthwiseConv2D": "depthwise_conv2d", "BatchNormalization": "batch_normalization",
		"GlobalAveragePooling2D": "global_average_pooling2d", "Dense": "dense", "my>Layer": "my_layer", "": ""} {
		if got := snakeCase(class); got != want {
			t.Errorf("%s is %s, want %s", class, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	contents, _ := files(f)
	for _, b := range contents {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := decodeBytes(b)
		var e *checkpoint.Error
		if err != nil && !errors.As(err, &e) {
			t.Error(err)
		}
	})
}

// Files of whole models say what comes before the first convolution, those of weights
// alone do not.
func TestBefore(t *testing.T) {
	contents, _ := files(t)
	for name, listed := range map[string]bool{
		"keras2_model.h5": true, "keras3_model.h5": true, "keras3.keras": true, "keras2_finetuned.h5": true, "keras3_finetuned.h5": true, "keras3_finetuned.keras": true,
		"keras2_weights.h5": false, "keras3.weights.h5": false,
	} {
		b := contents[name]
		f, err := decode(bytes.NewReader(b), int64(len(b)))
		if err != nil || f.Listed != listed {
			t.Errorf("%s: listed %v, %v", name, f != nil && f.Listed, err)
			continue
		}
		if !listed {
			continue
		}
		i := slices.IndexFunc(f.Before, func(l Layer) bool { return l.Class == "Rescaling" })
		if i < 0 || len(f.Before) < i+3 || !slices.Equal(f.Before[i].Scale, []float64{1. / 255}) || f.Before[i+1].Name != "normalization" ||
			f.Before[len(f.Before)-1].Class != "ZeroPadding2D" {
			t.Errorf("%s: %+v", name, f.Before)
		}
	}
}

// Numbers in the settings of layers, as versions of Keras write them.
func TestValues(t *testing.T) {
	for doc, want := range map[string][]float64{
		"0.5": {0.5}, "[1, 2, 3]": {1, 2, 3}, "[[[[1, 2]]]]": {1, 2}, `{"class_name": "__numpy__", "config": {"value": [1, 2], "dtype": "f4"}}`: {1, 2},
		"null": nil, `"a"`: nil, "{}": nil, strings.Repeat("[", 9) + "1" + strings.Repeat("]", 9): nil,
	} {
		var v values
		if err := json.Unmarshal([]byte(doc), &v); err != nil || !slices.Equal(v, want) {
			t.Errorf("%s: %v, %v", doc, v, err)
		}
	}
}
