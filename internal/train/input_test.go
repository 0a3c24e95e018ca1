package train

import (
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"effnet/internal/augment"
	"effnet/internal/data"
	"effnet/internal/scale"
)

// coloured is a set of images of random pixels, of two classes.
func coloured(t *testing.T, n, size int) *data.Set {
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

// small is b0 of two classes at 32 px, and how its images are read, three at a time.
func small(t *testing.T) (scale.Arch, data.Options) {
	t.Helper()
	arch, err := scale.Variant("b0")
	if err != nil {
		t.Fatal(err)
	}
	arch.Resolution, arch.Classes = 32, 2
	return arch, data.Options{
		Pipeline: data.Pipeline{Size: 32, Interpolation: augment.Bilinear, Transform: augment.Eval{Crop: augment.CropTimm, CropPct: 1},
			Mean: [3]float64{124, 116, 104}, Std: [3]float64{58, 57, 57}},
		BatchSize: 3, Workers: 1,
	}
}
