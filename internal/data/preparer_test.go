package data

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/color/palette"
	imagedraw "image/draw"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"effnet/internal/augment"
)

func preparer(t *testing.T) (*Preparer, Pipeline) {
	t.Helper()
	pipeline := Pipeline{Size: 16, Interpolation: augment.Bicubic, Transform: augment.Eval{Crop: augment.CropTimm, CropPct: 0.9},
		Mean: [3]float64{124, 116, 104}, Std: [3]float64{58, 57, 57}}
	p, err := pipeline.NewPreparer()
	if err != nil {
		t.Fatal(err)
	}
	return p, pipeline
}

// speckled fills an image.
func speckled(m imagedraw.Image, opaque bool) imagedraw.Image {
	rng := rand.New(rand.NewPCG(7, 7))
	b := m.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			v := rng.Uint32()
			if opaque {
				v |= 255
			}
			m.Set(x, y, color.NRGBA{uint8(v >> 24), uint8(v >> 16), uint8(v >> 8), uint8(v)})
		}
	}
	return m
}

// A decoded image, or a part of one, is its file's pixels.
func TestPreparedImageIsItsFile(t *testing.T) {
	p, _ := preparer(t)
	whole, part := image.Rect(0, 0, 41, 37), image.Rect(5, 3, 38, 29)
	for name, m := range map[string]imagedraw.Image{
		"gray": speckled(image.NewGray(whole), true), "rgba": speckled(image.NewRGBA(whole), true), "nrgba": speckled(image.NewNRGBA(whole), false),
		"paletted": speckled(image.NewPaletted(whole, palette.WebSafe), true), "gray16": speckled(image.NewGray16(whole), true), "rgba64": speckled(image.NewRGBA64(whole), true),
	} {
		for _, m := range []image.Image{m, m.(interface {
			SubImage(image.Rectangle) image.Image
		}).SubImage(part)} {
			var file bytes.Buffer
			if err := png.Encode(&file, m); err != nil {
				t.Fatal(err)
			}
			got, want := make([]uint8, 3*16*16), make([]uint8, 3*16*16)
			if err := errors.Join(p.Image(got, name, m), p.Bytes(want, name, file.Bytes())); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %v: other pixels than its file's", name, m.Bounds())
			}
		}
	}
}

// What a Preparer makes is what a Loader yields.
func TestPreparerIsALoader(t *testing.T) {
	p, pipeline := preparer(t)
	dir := t.TempDir()
	var file bytes.Buffer
	if err := png.Encode(&file, speckled(image.NewNRGBA(image.Rect(0, 0, 50, 30)), false)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.png")
	if err := os.WriteFile(path, file.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	set, err := Images([]string{path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	loader, err := NewLoader(set, Options{Pipeline: pipeline, BatchSize: 1, Workers: 1}.WithPixels())
	if err != nil {
		t.Fatal(err)
	}
	for batch, err := range loader.Epoch(context.Background(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		for name, prepare := range map[string]func(dst []uint8) error{
			"file":   func(dst []uint8) error { return p.File(dst, path) },
			"set":    func(dst []uint8) error { return p.Set(dst, set, 0) },
			"bytes":  func(dst []uint8) error { return p.Bytes(dst, "a", file.Bytes()) },
			"reader": func(dst []uint8) error { return p.Reader(dst, "a", bytes.NewReader(file.Bytes())) },
		} {
			got := make([]uint8, 3*16*16)
			if err := prepare(got); err != nil || !slices.Equal(got, batch.Pixels) {
				t.Errorf("%s: other pixels than the loader's, %v", name, err)
			}
		}
	}
}

func TestPreparerRefuses(t *testing.T) {
	p, pipeline := preparer(t)
	dst := make([]uint8, 3*16*16)
	for name, err := range map[string]error{
		"empty":      p.Bytes(dst, "photo", nil),
		"no image":   p.Bytes(dst, "photo", []byte("no image")),
		"no file":    p.File(dst, filepath.Join(t.TempDir(), "photo")),
		"no pixels":  p.Image(dst, "photo", image.NewGray(image.Rect(0, 0, 0, 5))),
		"too large":  p.Image(dst, "photo", image.NewUniform(color.White)),
		"no content": p.Reader(dst, "photo", bytes.NewReader(nil)),
	} {
		if e, ok := errors.AsType[*Error](err); !ok || filepath.Base(e.Path) != "photo" {
			t.Errorf("%s: got %v, want an Error of photo", name, err)
		}
	}
	if err := p.Image(dst[1:], "photo", image.NewGray(image.Rect(0, 0, 5, 5))); err == nil {
		t.Error("too little room is no error")
	}
	pipeline.Erase = augment.Erase{Prob: 1, Mode: "pixel", Count: 1, MinArea: 0.1, MaxArea: 0.2, MinAspect: 0.5}
	if _, err := pipeline.NewPreparer(); err == nil {
		t.Error("erasing is no error")
	}
}
