package bmp

import (
	"bytes"
	"encoding/json"
	"image"
	"os"
	"testing"
)

type goldenFile struct {
	Name      string
	File, Pix []byte
}

func goldenFiles(t testing.TB) (files []goldenFile) {
	t.Helper()
	text, err := os.ReadFile("testdata/pillow.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &files); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestDecodeEqualsPillow(t *testing.T) {
	for _, f := range goldenFiles(t) {
		t.Run(f.Name, func(t *testing.T) {
			if _, err := DecodeConfig(bytes.NewReader(f.File)); err != nil {
				t.Fatal(err)
			}
			m, err := Decode(bytes.NewReader(f.File))
			if err != nil {
				t.Fatal(err)
			}
			got := m.(*image.RGBA).Pix
			for i, want := range f.Pix {
				if v := got[i/3*4+i%3]; v != want {
					t.Fatalf("pixel %d, channel %d: %d, want %d", i/3, i%3, v, want)
				}
			}
		})
	}
}

func TestDecodeOfPartOfAFile(t *testing.T) {
	for _, f := range goldenFiles(t) {
		for n := range f.File {
			m, err := Decode(bytes.NewReader(f.File[:n]))
			if err == nil && m.Bounds().Empty() {
				t.Fatalf("%s cut to %d bytes: an empty image", f.Name, n)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, file := range goldenFiles(f) {
		f.Add(file.File)
	}
	f.Fuzz(func(_ *testing.T, file []byte) {
		if c, err := DecodeConfig(bytes.NewReader(file)); err == nil && c.Width*c.Height < 1<<20 {
			Decode(bytes.NewReader(file))
		}
	})
}
