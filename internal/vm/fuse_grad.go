package vm

import (
	"slices"

	"effnet/internal/backend"
)

// projectGrad: the two MatMuls that go back from a NormMatMul and, gated,
// ChannelScaleGrad, whose result becomes a part of the fused step's, otherwise
// NormActGradSums.
func (f *fuser) projectGrad(s *step) bool {
	spec, ok := s.spec.(backend.MatMul) // dw = aᵀ·dy
	if !ok || !spec.TransA {
		return false
	}
	r, dy := f.readingOf(s.in[0], true), s.in[1]
	if r.read == backend.Raw {
		return false
	}
	back, ok := usedBy(f, dy, func(t *step, m backend.MatMul) bool { return m.TransB && t.in[0] == dy && m.N == spec.M })
	if !ok {
		return false
	}
	da := back.out[0]
	fused := backend.ProjectGrad{M: spec.K, N: spec.N, K: spec.M, Read: r.read, Norm: r.norm, Area: spec.K}
	in := slices.Concat(r.in, r.gate, back.in[1:], []*value{dy})
	if r.read == backend.Normed {
		sums, ok := f.gradSumsOf(r, da)
		return ok && f.replace(fused, in, []*value{da, s.out[0], sums.out[0]}, s, back, sums)
	}
	ds, ok := usedBy(f, da, func(t *step, _ backend.ChannelScaleGrad) bool { return t.in[0] == r.seen && t.in[1] == da })
	if !ok || ds.out[0].kept {
		return false
	}
	fused.Area = r.area
	parts := &value{size: 5 * ds.out[0].size}
	f.values = append(f.values, parts)
	ds.out[0].alias = parts
	f.users[parts] = f.users[ds.out[0]]
	f.parts[da] = parts
	return f.replace(fused, in, []*value{da, s.out[0], parts}, s, back, ds)
}

// gradSumsOf finds NormActGradSums of a reading's normalisation for dy.
func (f *fuser) gradSumsOf(r reading, dy *value) (*step, bool) {
	return usedBy(f, dy, func(t *step, _ backend.NormActGradSums) bool {
		return slices.Equal(t.in[:4], r.in) && t.in[4] == dy
	})
}

// gatedGrad is a gradient that is the sum of a ChannelScale and a
// GlobalAvgPoolGrad, as squeeze-and-excitation leaves it.
func (f *fuser) gatedGrad(v *value) (dy, gate, dpool *value, ok bool) {
	add, _, ok := madeBy[backend.Add](f, v)
	if !ok {
		return nil, nil, nil, false
	}
	for i := range 2 {
		scale, _, isScale := madeBy[backend.ChannelScale](f, add.in[i])
		pool, _, isPool := madeBy[backend.GlobalAvgPoolGrad](f, add.in[1-i])
		if isScale && isPool {
			return scale.in[0], scale.in[1], pool.in[0], true
		}
	}
	return nil, nil, nil, false
}

// gatedGradSums: NormActGradSums for the gradient that
// squeeze-and-excitation leaves.
func (f *fuser) gatedGradSums(s *step) bool {
	spec, ok := s.spec.(backend.NormActGradSums)
	if !ok {
		return false
	}
	dy, gate, dpool, ok := f.gatedGrad(s.in[4])
	parts := f.parts[dy]
	if !ok || parts == nil || !slices.Equal(f.made[parts].in[:4], s.in[:4]) {
		return false
	}
	n := gate.size / spec.C
	return f.replace(backend.GatedGradSums{N: n, Area: spec.Rows / n, C: spec.C}, []*value{parts, gate, dpool}, s.out, s)
}

// depthwiseGrad: NormActGradInput of the normalisation after a depthwise
// convolution, whose gradient may be squeeze-and-excitation's; both gradients of
// the convolution; and NormActGradSums of the normalisation before it.
func (f *fuser) depthwiseGrad(s *step) bool {
	spec, ok := s.spec.(backend.DepthwiseGradWeight)
	if !ok {
		return false
	}
	dc := s.in[1]
	norm, out, ok := madeBy[backend.NormActGradInput](f, dc)
	if !ok || !out.BatchStats || dc.kept {
		return false
	}
	back, ok := usedBy(f, dc, always[backend.DepthwiseGradInput])
	if !ok || len(f.users[dc]) != 2 {
		return false
	}
	r, dx := f.readingOf(s.in[0], false), back.out[0]
	results := []*value{dx, s.out[0]}
	old := []*step{s, norm, back}
	if r.read == backend.Normed {
		if sums, ok := f.gradSumsOf(r, dx); ok {
			results, old = append(results, sums.out...), append(old, sums)
		} else { // the map is used elsewhere too, and its gradient is a sum
			r = reading{in: s.in[:1]}
		}
	}
	fused := backend.DepthwiseGrad{ConvShape: spec.ConvShape, Read: r.read, Norm: r.norm, Out: normOf(out.NormAct)}
	dy, extra := norm.in[4], []*value(nil)
	if from, gate, dpool, ok := f.gatedGrad(dy); ok {
		fused.Gated, dy, extra = true, from, []*value{gate, dpool}
	}
	in := slices.Concat(r.in, back.in[1:], norm.in[:4], []*value{dy}, norm.in[5:], extra)
	return f.replace(fused, in, results, old...)
}

// expandGrad: NormActGradInput of the normalisation after a 1x1 convolution and
// the two MatMuls that go back from that.
func (f *fuser) expandGrad(s *step) bool {
	spec, ok := s.spec.(backend.MatMul) // dw = xᵀ·dc
	if !ok || !spec.TransA {
		return false
	}
	dc := s.in[1]
	norm, out, ok := madeBy[backend.NormActGradInput](f, dc)
	if !ok || !out.BatchStats || dc.kept {
		return false
	}
	back, ok := usedBy(f, dc, func(t *step, m backend.MatMul) bool { return m.TransB && t.in[0] == dc })
	if !ok || len(f.users[dc]) != 2 {
		return false
	}
	return f.replace(backend.ExpandGrad{M: spec.K, N: spec.N, K: spec.M, Norm: normOf(out.NormAct)},
		slices.Concat(s.in[:1], back.in[1:], norm.in), []*value{back.out[0], s.out[0]}, s, back, norm)
}
