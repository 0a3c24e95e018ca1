package cuda

import (
	"slices"

	"effnet/internal/backend"
)

// Two Specs that only this package has: runs of Specs that fused ones stand for, as
// one pass over the maps.

// normGate is a NormAct and a ChannelScale of its result.
//
// Operands: NormAct's four, gate [N,C], y.
type normGate struct {
	backend.NormAct
	N, Area int
}

// Sizes implements backend.Spec.
func (s normGate) Sizes() []int {
	return []int{s.Rows * s.C, 2 * s.C, s.C, s.C, s.N * s.C, s.Rows * s.C}
}

// gatedGradInput is a NormActGradInput, by the batch's statistics, of
// dy*gate + dpool/Area.
//
// Operands: x, stats, gamma, beta, dy, sums, gate [N,C], dpool [N,C], dx.
type gatedGradInput struct {
	backend.NormAct
	N, Area int
}

// Sizes implements backend.Spec.
func (s gatedGradInput) Sizes() []int {
	n, maps := s.N*s.C, s.Rows*s.C
	return []int{maps, 2 * s.C, s.C, s.C, maps, 2 * s.C, n, n, maps}
}

// gated puts the two in the place of what they stand for. Values between the steps
// that become one are not read by others: that is so in every fused Spec.
func gated(steps []backend.Step) []backend.Step {
	for i, step := range steps {
		scale, ok := step.Spec.(backend.ChannelScale)
		if !ok {
			continue
		}
		if i+3 < len(steps) {
			if grad, ok := steps[i+3].Spec.(backend.NormActGradInput); ok { // ChannelScale, GlobalAvgPoolGrad, Add, NormActGradInput
				o := steps[i+3].Operands
				merged := backend.Step{Spec: gatedGradInput{grad.NormAct, scale.N, scale.Area},
					Operands: []int{o[0], o[1], o[2], o[3], step.Operands[0], o[5], step.Operands[1], steps[i+1].Operands[0], o[6]}}
				return slices.Concat(steps[:i], []backend.Step{merged}, steps[i+4:])
			}
		}
		for k, before := range steps[:i] {
			if norm, ok := before.Spec.(backend.NormAct); ok && before.Operands[4] == step.Operands[0] {
				o := before.Operands
				merged := backend.Step{Spec: normGate{norm, scale.N, scale.Area}, Operands: []int{o[0], o[1], o[2], o[3], step.Operands[1], step.Operands[2]}}
				return slices.Concat(steps[:k], steps[k+1:i], []backend.Step{merged}, steps[i+1:])
			}
		}
	}
	return steps
}

func (c *compiler) normGate(s normGate, v []place) error {
	w := vec(s.C, v...)
	return c.kernel(v[0].kernel("normActGate"), c.byChannels(s.Area, s.C, w).images(s.N), v[0], v[1], v[2], v[3], v[4], v[5],
		int32(s.N), int32(s.Area), int32(s.C), s.Eps, int32(s.Act), w)
}

func (c *compiler) gatedGradInput(s gatedGradInput, v []place) error {
	w := vec(s.C, v...)
	return c.kernel(v[0].kernel("gatedNormActGradInput"), c.byChannels(s.Area, s.C, w).images(s.N), v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8],
		int32(s.N), int32(s.Area), int32(s.C), s.Eps, int32(s.Act), w)
}
