package train

import (
	"math"
	"testing"
)

func TestSmoothTargets(t *testing.T) {
	got := make([]float32, 8)
	smoothTargets(got, []int{2, 0}, 4, 0.1)
	for i, want := range []float64{.025, .025, .925, .025, .925, .025, .025, .025} {
		if math.Abs(float64(got[i])-want) > 1e-7 {
			t.Errorf("target %d is %v, want %v", i, got[i], want)
		}
	}
	smoothTargets(got, []int{1, 1}, 4, 0) // overwrites what was there
	for i, v := range got {
		if want := float32(0); i%4 == 1 {
			if v != 1 {
				t.Errorf("target %d is %v, want 1", i, v)
			}
		} else if v != want {
			t.Errorf("target %d is %v, want 0", i, v)
		}
	}
}

func TestRank(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		logits []float32
		label  int
		want   int
	}{
		{[]float32{1, 3, 2}, 1, 0},
		{[]float32{1, 3, 2}, 2, 1},
		{[]float32{1, 3, 2}, 0, 2},
		{[]float32{5, 5, 5}, 0, 0}, // of equals, the first
		{[]float32{5, 5, 5}, 2, 2},
		{[]float32{nan, nan, nan}, 0, 3}, // never right
		{[]float32{1, nan, 0}, 0, 1},
	} {
		if got := rank(c.logits, c.label); got != c.want {
			t.Errorf("rank(%v, %d) = %d, want %d", c.logits, c.label, got, c.want)
		}
	}
}

// Logits far outside what exp can take still have probabilities and a loss.
func TestSoftmaxOfLargeLogits(t *testing.T) {
	p := Softmax([]float32{1000, 1001, -1000})
	e := math.E
	for i, want := range []float64{1 / (1 + e), e / (1 + e), 0} {
		if math.Abs(p[i]-want) > 1e-12 {
			t.Errorf("probability %d is %v, want %v", i, p[i], want)
		}
	}
	if got := crossEntropy([]float32{1000, 0}, 1); got != 1000 {
		t.Errorf("cross-entropy %v, want 1000", got)
	}
	if got := crossEntropy([]float32{float32(math.NaN()), 0}, 1); got == got {
		t.Errorf("cross-entropy of a NaN is %v", got)
	}
}
