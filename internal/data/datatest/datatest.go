// Package datatest makes images for tests.
package datatest

import (
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"effnet/internal/data"
)

// Coloured is a set of n images of random pixels, of size by size, in two classes.
func Coloured(t *testing.T, n, size int) *data.Set {
	t.Helper()
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	for i := range n {
		folder := filepath.Join(dir, "train", []string{"cat", "dog"}[i%2])
		m := image.NewRGBA(image.Rect(0, 0, size, size))
		for k := range size * size {
			v := rng.Uint32()
			m.Set(k%size, k/size, color.RGBA{uint8(v), uint8(v >> 8), uint8(v >> 16), 255})
		}
		err := os.MkdirAll(folder, 0o777)
		if err == nil {
			var f *os.File
			if f, err = os.Create(filepath.Join(folder, strconv.Itoa(i)+".png")); err == nil {
				err = png.Encode(f, m)
				f.Close()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	set, err := data.OpenTrain(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
