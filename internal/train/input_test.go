package train

import (
	"testing"

	"effnet/internal/augment"
	"effnet/internal/data"
	"effnet/internal/scale"
)

// small is the first five stages of b0, for two classes at 32 px, and how its images
// are read, three at a time.
func small(t *testing.T) (scale.Arch, data.Options) {
	t.Helper()
	arch, err := scale.Variant("b0")
	if err != nil {
		t.Fatal(err)
	}
	arch.Resolution, arch.Classes, arch.Stages = 32, 2, arch.Stages[:5]
	return arch, data.Options{
		Pipeline: data.Pipeline{Size: 32, Interpolation: augment.Bilinear, Transform: augment.Eval{Crop: augment.CropTimm, CropPct: 1},
			Mean: [3]float64{124, 116, 104}, Std: [3]float64{58, 57, 57}},
		BatchSize: 3, Workers: 1,
	}
}
