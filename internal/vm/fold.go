package vm

import (
	"slices"

	"effnet/internal/backend"
)

// The patterns here are of evaluation: convolutions whose weights are inputs,
// with a normalisation by statistics that are inputs too, become the folded
// Specs. RunAll prepares them again each time; who knows when weights change
// calls Prepare and RunPrepared.

// isInput says whether v is an input, not a part of something.
func (f *fuser) isInput(v *value) bool { return f.made[v] == nil && v.alias == nil }

// only returns the one step that reads v, which no one else needs.
func (f *fuser) only(v *value) (*step, bool) {
	if v.kept {
		return nil, false
	}
	var one *step
	for _, s := range f.users[v] {
		if f.gone[s] {
			continue
		}
		if one != nil && one != s {
			return nil, false
		}
		one = s
	}
	return one, one != nil
}

// normAfter finds the normalisation by fixed statistics that alone reads v.
func (f *fuser) normAfter(v *value) (s *step, norm backend.Norm, ok bool) {
	s, ok = f.only(v)
	if !ok {
		return nil, norm, false
	}
	spec, ok := s.spec.(backend.NormAct)
	ok = ok && s.in[0] == v && !slices.ContainsFunc(s.in[1:], func(v *value) bool { return !f.isInput(v) })
	return s, normOf(spec), ok
}

// normOfInput finds the step, an S of weights that are inputs, whose result v is
// normalised from, and that normalisation.
func normOfInput[S backend.Spec](f *fuser, v *value) (conv *step, spec S, norm *step, ok bool) {
	norm, _, ok = madeBy[backend.NormAct](f, v)
	if !ok {
		return nil, spec, nil, false
	}
	if conv, spec, ok = madeBy[S](f, norm.in[0]); !ok || !f.isInput(conv.in[1]) {
		return nil, spec, nil, false
	}
	after, _, ok := f.normAfter(conv.out[0])
	return conv, spec, norm, ok && after == norm
}

// foldConv: Conv and NormAct.
func (f *fuser) foldConv(s *step) bool {
	spec, ok := s.spec.(backend.Conv)
	if !ok || !f.isInput(s.in[1]) {
		return false
	}
	norm, n, ok := f.normAfter(s.out[0])
	return ok && f.replace(backend.FoldedConv{ConvShape: spec.ConvShape, Norm: n},
		slices.Concat(s.in, norm.in[1:]), norm.out, s, norm)
}

// foldDepthwise: Depthwise and NormAct; before them Conv or MatMul and NormAct,
// if nothing else needs what those give; GlobalAvgPool of the result.
func (f *fuser) foldDepthwise(s *step) bool {
	spec, ok := s.spec.(backend.Depthwise)
	if !ok || !f.isInput(s.in[1]) {
		return false
	}
	norm, n, ok := f.normAfter(s.out[0])
	if !ok {
		return false
	}
	fused := backend.FoldedDepthwise{ConvShape: spec.ConvShape, Norm: n}
	in, out, old := slices.Concat(s.in, norm.in[1:]), norm.out, []*step{s, norm}
	if user, ok := f.only(s.in[0]); ok && user == s {
		conv, before, ok := f.convBefore(s.in[0], spec.ConvShape)
		if ok {
			fused.Before, fused.BeforeNorm = conv.shape, normOf(before.spec.(backend.NormAct))
			in = slices.Concat(conv.in, before.in[1:], in[1:])
			old = append(old, conv.step, before)
		}
	}
	if pool, ok := usedBy(f, norm.out[0], always[backend.GlobalAvgPool]); ok {
		fused.Pool, out, old = true, slices.Concat(out, pool.out), append(old, pool)
	}
	return f.replace(fused, in, out, old...)
}

// convStep is a step that is a convolution.
type convStep struct {
	*step
	shape backend.ConvShape
}

// convBefore finds the convolution, and its normalisation, whose result v a
// depthwise one of a shape reads.
func (f *fuser) convBefore(v *value, next backend.ConvShape) (conv convStep, norm *step, ok bool) {
	if s, spec, norm, ok := normOfInput[backend.Conv](f, v); ok {
		return convStep{s, spec.ConvShape}, norm, true
	}
	s, spec, norm, ok := normOfInput[backend.MatMul](f, v)
	shape := backend.ConvShape{
		N: next.N, H: next.H, W: next.W, In: spec.K, Kernel: 1, Stride: 1,
		OutH: next.H, OutW: next.W, Out: spec.N,
	}
	return convStep{s, shape}, norm, ok && plain(spec)
}

// plain says whether a product is a 1x1 convolution.
func plain(s backend.MatMul) bool { return !s.TransA && !s.TransB && !s.Bias }

// foldMatMul: MatMul and NormAct; before them ChannelScale; after them Add, or
// GlobalAvgPool, if nothing else needs the normalisation's result.
func (f *fuser) foldMatMul(s *step) bool {
	spec, ok := s.spec.(backend.MatMul)
	if !ok || !plain(spec) || !f.isInput(s.in[1]) {
		return false
	}
	norm, n, ok := f.normAfter(s.out[0])
	if !ok {
		return false
	}
	fused := backend.FoldedMatMul{M: spec.M, N: spec.N, K: spec.K, Norm: n, Area: spec.M}
	in, out, old := s.in[:1], norm.out, []*step{s, norm}
	if scale, c, ok := madeBy[backend.ChannelScale](f, s.in[0]); ok {
		if user, ok := f.only(s.in[0]); ok && user == s {
			fused.Gated, fused.Area = true, c.Area
			in, old = scale.in, append(old, scale)
		}
	}
	in = slices.Concat(in, s.in[1:], norm.in[1:])
	if after, ok := f.only(norm.out[0]); ok {
		switch t := after.spec.(type) {
		case backend.Add:
			if n.Act == backend.Identity && after.in[0] != after.in[1] {
				shortcut := after.in[0]
				if shortcut == norm.out[0] {
					shortcut = after.in[1]
				}
				fused.Residual, in, out, old = true, append(in, shortcut), after.out, append(old, after)
			}
		case backend.GlobalAvgPool:
			if !fused.Gated || fused.Area == t.Area {
				fused.Pool, fused.Area, out, old = true, t.Area, after.out, append(old, after)
			}
		}
	}
	return f.replace(fused, in, out, old...)
}

// squeezeExcite: MatMul with a bias, Activate, MatMul with a bias, Activate.
func (f *fuser) squeezeExcite(s *step) bool {
	gate, ok := s.spec.(backend.Activate)
	if !ok {
		return false
	}
	second, up, ok := f.denseBefore(s)
	if !ok {
		return false
	}
	act, a, ok := madeBy[backend.Activate](f, second.in[0])
	if user, alone := f.only(second.in[0]); !ok || !alone || user != second {
		return false
	}
	first, down, ok := f.denseBefore(act)
	if !ok || down.K != up.N {
		return false
	}
	return f.replace(backend.SqueezeExcite{N: up.M, C: up.N, Squeeze: up.K, Act: a.Act, Gate: gate.Act},
		slices.Concat(first.in, second.in[1:]), s.out, first, act, second, s)
}

// denseBefore finds the product with a bias, of weights that are inputs, that s
// alone reads.
func (f *fuser) denseBefore(s *step) (*step, backend.MatMul, bool) {
	m, spec, ok := madeBy[backend.MatMul](f, s.in[0])
	if user, alone := f.only(s.in[0]); !ok || !alone || user != s {
		return nil, spec, false
	}
	return m, spec, spec.Bias && !spec.TransB && f.isInput(m.in[1]) && f.isInput(m.in[2])
}

// linear: MatMul with a bias.
func (f *fuser) linear(s *step) bool {
	spec, ok := s.spec.(backend.MatMul)
	if !ok || !spec.Bias || spec.TransB || !f.isInput(s.in[1]) || !f.isInput(s.in[2]) || f.trains(s) {
		return false
	}
	return f.replace(backend.Linear{M: spec.M, N: spec.N, K: spec.K}, s.in, s.out, s)
}

// trains says whether a gradient is taken of a product's weights, which then
// change from run to run.
func (f *fuser) trains(s *step) bool {
	return slices.ContainsFunc(f.users[s.in[1]], func(t *step) bool { return t != s })
}
