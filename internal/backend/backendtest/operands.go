package backendtest

import (
	"math"
	"math/rand/v2"

	"effnet/internal/backend"
)

// Operands returns random operands of a Spec that satisfy its conditions: targets,
// variances and mean squares above zero. A MaxPool's windows have ties.
func Operands(spec backend.Spec, seed uint64) [][]float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	var v [][]float32
	for _, n := range backend.Sizes(spec) {
		x := make([]float32, n)
		for i := range x {
			x[i] = r.Float32()*4 - 2
		}
		v = append(v, x)
	}
	switch s := spec.(type) {
	case backend.MaxPool, backend.MaxPoolGrad:
		whole(v[0])
	case backend.RMSProp:
		positive(v[3])
	case backend.Adam:
		positive(v[4])
	case backend.ClipNorm:
		positive(v[1])
	case backend.DropPath, backend.Dropout:
		step(v[1])
	case backend.ResidualAdd:
		step(v[2])
	case backend.Pixels: // the last image is not there; mixup, or CutMix
		mixed := []float32{float32(max(s.N-1, 1)), 0.75, 0.25, 0, 0, 0, 0}
		if s.Side%2 == 0 {
			mixed = []float32{float32(max(s.N-1, 1)), 1, 0, 1, 2, float32(s.Side), 3}
		}
		copy(v[2], mixed)
	case backend.SoftmaxCrossEntropy:
		targets(v[1], s.K)
	case backend.SoftmaxCrossEntropyGrad:
		targets(v[1], s.K)
	}
	for _, i := range statistics(spec) {
		positive(v[i][len(v[i])/2:])
	}
	return v
}

// statistics lists a Spec's operands that are means and variances.
func statistics(spec backend.Spec) []int {
	switch s := spec.(type) {
	case backend.NormAct, backend.NormActGradSums, backend.NormActGradInput, backend.NormPool, backend.GateGrads, backend.ProjectGrad:
		return []int{1}
	case backend.NormMatMul:
		if s.Read != backend.Raw {
			return []int{1}
		}
	case backend.NormDepthwise:
		if s.Read != backend.Raw {
			return []int{1}
		}
	case backend.DepthwiseGrad:
		if s.Read != backend.Raw {
			return []int{1, 6}
		}
		return []int{3}
	case backend.ExpandGrad:
		return []int{3}
	case backend.FoldedMatMul:
		if s.Gated {
			return []int{3}
		}
		return []int{2}
	case backend.FoldedConv:
		return []int{2}
	case backend.FoldedDepthwise:
		if s.Before.Kernel > 0 {
			return []int{2, 6}
		}
		return []int{2}
	}
	return nil
}

// positive makes values at least 0.1.
func positive(x []float32) {
	for i := range x {
		x[i] = x[i]*x[i] + 0.1
	}
}

// targets makes rows of k values sum to 1, 2, ...
func targets(x []float32, k int) {
	positive(x)
	for n := 1; len(x) > 0; n, x = n+1, x[k:] {
		var sum float32
		for _, t := range x[:k] {
			sum += t
		}
		for i := range x[:k] {
			x[i] *= float32(n) / sum
		}
	}
}

// whole rounds values, so that many are equal.
func whole(x []float32) {
	for i, v := range x {
		x[i] = float32(math.Round(float64(v)))
	}
}

// step sets the operand that has the number of a step.
func step(x []float32) {
	s := backend.StepValues(1<<24 + 5)
	copy(x, s[:])
}
