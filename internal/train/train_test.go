package train

import (
	"math"
	"testing"

	"effnet/internal/data"
)

// The mixed rows are timm.data.mixup.mixup_target's of labels [2, 0, 1].
func TestTargets(t *testing.T) {
	r := &run{targets: make([]float32, 12)}
	r.Arch.Classes = 4
	for _, c := range []struct {
		name              string
		smoothing, lambda float64
		weights           []float64
		want              []float64
	}{
		{"smoothed", 0.1, 1, nil, []float64{.025, .025, .925, .025, .925, .025, .025, .025, .025, .925, .025, .025}},
		{"plain", 0, 1, nil, []float64{0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0}},
		{"mixed", 0.1, 0.7, nil, []float64{.025, .295, .655, .025, .925, .025, .025, .025, .025, .655, .295, .025}},
		{"weighted", 0, 0.75, []float64{2, 1, 4, 1}, []float64{0, .25, 3, 0, 2, 0, 0, 0, 0, .75, 1, 0}},
	} {
		r.Smoothing, r.ClassWeights = c.smoothing, c.weights
		r.fillTargets(&data.Batch{Labels: []int{2, 0, 1}, Count: 3, Lambda: c.lambda})
		for i, want := range c.want {
			if math.Abs(float64(r.targets[i])-want) > 1e-6 {
				t.Errorf("%s: target %d is %v, want %v", c.name, i, r.targets[i], want)
			}
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
