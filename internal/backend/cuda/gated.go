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

// Operands implements backend.Spec.
func (s normGate) Operands() []backend.Operand {
	m := s.Rows * s.C
	return []backend.Operand{{Size: m, Role: backend.ReadMap}, {Size: 2 * s.C}, {Size: s.C}, {Size: s.C}, {Size: s.N * s.C},
		{Size: m, Role: backend.WriteMap}}
}

// Unfused implements backend.Fused.
func (s normGate) Unfused() []backend.Step {
	return []backend.Step{
		{Spec: s.NormAct, Operands: []int{0, 1, 2, 3, 6}},
		{Spec: backend.ChannelScale{N: s.N, Area: s.Area, C: s.C}, Operands: []int{6, 4, 5}},
	}
}

// gatedGradInput is a NormActGradInput, by the batch's statistics, of
// dy*gate + dpool/Area.
//
// Operands: x, stats, gamma, beta, dy, sums, gate [N,C], dpool [N,C], dx.
type gatedGradInput struct {
	backend.NormAct
	N, Area int
}

// Operands implements backend.Spec.
func (s gatedGradInput) Operands() []backend.Operand {
	n, m := s.N*s.C, s.Rows*s.C
	return []backend.Operand{{Size: m, Role: backend.ReadMap}, {Size: 2 * s.C}, {Size: s.C}, {Size: s.C},
		{Size: m, Role: backend.ReadMap}, {Size: 2 * s.C}, {Size: n}, {Size: n}, {Size: m, Role: backend.WriteMap}}
}

// Unfused implements backend.Fused.
func (s gatedGradInput) Unfused() []backend.Step {
	pool := backend.GlobalAvgPool{N: s.N, Area: s.Area, C: s.C}
	return []backend.Step{
		{Spec: backend.ChannelScale(pool), Operands: []int{4, 6, 9}},
		{Spec: backend.GlobalAvgPoolGrad{GlobalAvgPool: pool}, Operands: []int{7, 10}},
		{Spec: backend.Add{N: s.Rows * s.C}, Operands: []int{9, 10, 11}},
		{Spec: backend.NormActGradInput{NormAct: s.NormAct, BatchStats: true}, Operands: []int{0, 1, 2, 3, 11, 5, 8}},
	}
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
