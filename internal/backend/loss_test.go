package backend_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
)

// tools/golden/loss.py writes the values: PyTorch's for targets that are mixed
// and weighted, so that their rows do not sum to one.
func TestSoftmaxCrossEntropyAgainstPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/loss.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Classes int
		Cases   []struct {
			Name            string
			Logits, Targets []float32
			Loss            float64
			Gradient        []float64
		}
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	device, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	reference := func(spec backend.Spec, v [][]float32) ([][]float32, error) { return v, backend.Reference(spec, v) }
	onDevice := func(spec backend.Spec, v [][]float32) ([][]float32, error) { return backendtest.Run(device, spec, v) }
	for where, run := range map[string]func(backend.Spec, [][]float32) ([][]float32, error){"reference": reference, "cpu": onDevice} {
		for _, c := range golden.Cases {
			n := len(c.Logits)
			forward := backend.SoftmaxCrossEntropy{N: n / golden.Classes, K: golden.Classes}
			backward := backend.SoftmaxCrossEntropyGrad{SoftmaxCrossEntropy: forward}
			loss, err := run(forward, [][]float32{c.Logits, c.Targets, {0}})
			if err != nil {
				t.Fatal(err)
			}
			grad, err := run(backward, [][]float32{c.Logits, c.Targets, {1}, make([]float32, n)})
			if err != nil {
				t.Fatal(err)
			}
			got := slices.Concat(grad[3], loss[2])
			for i, want := range append(c.Gradient, c.Loss) {
				if math.Abs(float64(got[i])-want) > 1e-6*(1+math.Abs(want)) {
					t.Errorf("%s, %s: value %d is %v, want %v", where, c.Name, i, got[i], want)
				}
			}
		}
	}
}
