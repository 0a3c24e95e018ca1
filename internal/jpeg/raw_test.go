package jpeg

import (
	"bytes"
	"testing"
)

// The components of a file as they are stored are those that its colours are made
// of: a grey or RGB file's are its pixels.
func TestComponents(t *testing.T) {
	d, grey8, colours := New(), 0, 0
	for _, v := range variants(t) {
		h, pix, err := d.decode(v.File, everything)
		if err != nil || d.space != grey && d.space != rgb {
			continue
		}
		for i := range d.components {
			if d.components[i].repeat.X*d.components[i].repeat.Y > 1 {
				h.Components = 0 // repeated here, interpolated there
			}
		}
		if h.Components == 0 {
			continue
		}
		got := make([]uint8, h.Width*h.Height*h.Components)
		if err := d.DecodeComponents(got); err != nil {
			t.Fatal(v.Name, err)
		}
		if h.Components == 1 {
			grey8++
			wide := make([]uint8, 0, 3*len(got))
			for _, v := range got {
				wide = append(wide, v, v, v)
			}
			got = wide
		} else {
			colours++
		}
		if !bytes.Equal(got, pix) {
			t.Errorf("%s: other components", v.Name)
		}
	}
	if grey8 < 10 || colours < 10 {
		t.Errorf("%d files of grey, %d of RGB", grey8, colours)
	}
}

// A file is Y'CbCr if its reader says so, whatever its markers say.
func TestDecodeYCbCr(t *testing.T) {
	d, n := New(), 0
	for _, v := range variants(t) {
		if v.Refused != "" || v.Kind != "markers" {
			continue
		}
		h, want, err := d.decode(v.File, everything)
		if err != nil {
			t.Fatal(v.Name, err)
		}
		guessed := d.space
		if _, err := d.Open(v.File); err != nil {
			t.Fatal(v.Name, err)
		}
		got := make([]uint8, 3*h.Width*h.Height)
		if err := d.DecodeYCbCr(got); err != nil {
			t.Fatal(v.Name, err)
		}
		if same := bytes.Equal(got, want); same != (guessed == yCbCr) {
			t.Errorf("%s: the same pixels: %t", v.Name, same)
		}
		n++
	}
	if n == 0 {
		t.Error("no files")
	}
}
