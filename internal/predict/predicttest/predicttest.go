// Package predicttest makes networks and images for tests of what predicts.
package predicttest

import (
	"bytes"
	"image"
	"image/png"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"effnet/internal/backend/cpu"
	"effnet/internal/checkpoint"
	"effnet/internal/model"
	"effnet/internal/scale"
)

// Classes is how many the network of File has: a to e, for people A to E.
const Classes = 5

// File writes a small network of random weights, for images of 32 pixels a side, with
// changes, and returns its path.
func File(t testing.TB, changes ...func(*scale.Arch)) string {
	t.Helper()
	baseline, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	baseline.Stages = baseline.Stages[:3]
	arch, err := baseline.Scale(1, 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	arch.Classes = Classes
	for _, change := range changes {
		change(&arch)
	}
	b, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	net, err := model.New(arch, b)
	if err == nil {
		err = net.Initialise(3)
	}
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := net.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tensors {
		if x.Name == "classifier.weight" {
			for i := range x.Data {
				x.Data[i] *= 30 // else all classes are equally likely
			}
		}
	}
	path := filepath.Join(t.TempDir(), "network.safetensors")
	meta := checkpoint.Meta{Arch: arch, Classes: []string{"a", "b", "c", "d", "e"}, Labels: []string{"A", "B", "C", "D", "E"},
		Preprocess: checkpoint.Preprocess{Resolution: 32, Crop: "timm", CropPct: 0.9, Interpolation: "bicubic",
			Mean: [3]float64{124, 116, 104}, Std: [3]float64{58, 57, 57}}}
	if err := checkpoint.Write(path, meta, tensors); err != nil {
		t.Fatal(err)
	}
	return path
}

// Photo is an image of random pixels.
func Photo(seed int) *image.NRGBA {
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	m := image.NewNRGBA(image.Rect(0, 0, 30+seed%9, 40-seed%7))
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.Uint32())
	}
	return m
}

// Encoded is an image as a PNG file.
func Encoded(t testing.TB, m image.Image) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}
