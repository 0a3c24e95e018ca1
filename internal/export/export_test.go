package export

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		path string
		opt  Options
		want string // "" for no error
	}{
		{"m.ONNX", Options{KeepBN: true, Preprocess: true}, ""},
		{"m.npz", Options{}, ""},
		{"m.safetensors", Options{}, ""},
		{"m.pb", Options{}, "want a name that ends in " + Endings},
		{"m.npz", Options{KeepBN: true}, "--keep-bn is for .onnx"},
		{"m.safetensors", Options{Preprocess: true}, "--preprocess is for .onnx"},
	} {
		err := c.opt.Validate(c.path)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %+v: %v, want %q", c.path, c.opt, err, c.want)
		}
		if c.want != "" {
			if _, err := Write(c.path, nil, "source", c.opt); err == nil {
				t.Errorf("%s, %+v: Write takes it", c.path, c.opt)
			}
		}
	}
	for ending := range kinds {
		if !strings.Contains(Endings, ending) {
			t.Errorf("%s is not among %s", ending, Endings)
		}
	}
}
