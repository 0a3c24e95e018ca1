package model

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"effnet/internal/scale"
)

// Initial weights are distributed as timm's, tensor by tensor, and unrelated to their
// neighbours, to other tensors and to the same tensor of a seed that differs in one bit.
func TestInitialWeightsAreDistributedAsTimms(t *testing.T) {
	const sigmas = 5 // standard errors: one in two million is farther by chance
	const eps = 1e-9 // of rounding
	var golden struct {
		Tensors []struct {
			Name               string
			Values             int
			Mean, SD, Kurtosis float64
		}
	}
	text, err := os.ReadFile("testdata/initial/timm.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	arch, err := scale.Variant("b0")
	if err != nil {
		t.Fatal(err)
	}
	arch.Classes = 10
	net := initialised(t, arch, newCPU(t, 2), 0)
	seeds := []uint64{0, 1, 3, 2, 2 | 1<<40} // each differs from the one before in a bit
	networks := make([]map[string][]float32, len(seeds))
	outputs := map[string]int{} // of each tensor, its first dimension
	for i, seed := range seeds {
		if err := net.Initialise(seed); err != nil {
			t.Fatal(err)
		}
		networks[i] = map[string][]float32{}
		for _, tensor := range tensorsOf(t, net) {
			networks[i][tensor.Name] = tensor.Data
			outputs[tensor.Name] = tensor.Shape[0]
		}
	}
	var before []float32
	for _, want := range golden.Tensors {
		var all []float32
		for i, tensors := range networks {
			x := tensors[want.Name]
			if len(x) != want.Values {
				t.Fatalf("%s has %d values, want %d", want.Name, len(x), want.Values)
			}
			if i > 0 && want.SD > 0 {
				unrelated(t, want.Name+" of two seeds", x, networks[i-1][want.Name], sigmas)
			}
			all = append(all, x...)
		}
		mean, sd, kurtosis := shape(all)
		n := float64(len(all))
		if math.Abs(mean-want.Mean) > sigmas*want.SD*math.Sqrt(2/n)+eps {
			t.Errorf("%s: mean %g, want %g", want.Name, mean, want.Mean)
		}
		if math.Abs(sd-want.SD) > sigmas*want.SD*math.Sqrt(1/n)+eps {
			t.Errorf("%s: standard deviation %g, want %g", want.Name, sd, want.SD)
		}
		if want.SD == 0 {
			continue
		}
		if math.Abs(kurtosis-want.Kurtosis) > sigmas*math.Sqrt(2*24/n)+20/n {
			t.Errorf("%s: kurtosis %g, want %g", want.Name, kurtosis, want.Kurtosis)
		}
		for _, apart := range []int{1, want.Values / outputs[want.Name]} { // along the last dimension and the first
			unrelated(t, fmt.Sprintf("%s and the values %d further", want.Name, apart), all[apart:], all[:len(all)-apart], sigmas)
		}
		first := networks[0][want.Name]
		if both := min(len(before), len(first)); both > 0 {
			unrelated(t, want.Name+" and the tensor before", first[:both], before[:both], sigmas)
		}
		before = first
	}
	if n := len(golden.Tensors); n != 213 || !strings.HasPrefix(golden.Tensors[n-1].Name, "classifier") {
		t.Errorf("%d tensors", n)
	}
}

// shape is the mean, the standard deviation and the kurtosis of x.
func shape(x []float32) (mean, sd, kurtosis float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += float64(v) / n
	}
	var second, fourth float64
	for _, v := range x {
		d := float64(v) - mean
		second += d * d / n
		fourth += d * d * d * d / n
	}
	return mean, math.Sqrt(second), fourth / (second * second)
}

// unrelated fails where x and y correlate beyond chance.
func unrelated(t *testing.T, what string, x, y []float32, sigmas float64) {
	t.Helper()
	var xy, xx, yy float64
	for i, v := range x {
		xy, xx, yy = xy+float64(v)*float64(y[i]), xx+float64(v)*float64(v), yy+float64(y[i])*float64(y[i])
	}
	if r := xy / math.Sqrt(xx*yy); math.Abs(r) > sigmas/math.Sqrt(float64(len(x))) {
		t.Errorf("%s: correlation %.4f of %d values", what, r, len(x))
	}
}
