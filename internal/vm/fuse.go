package vm

import (
	"fmt"
	"slices"

	"effnet/internal/backend"
)

// fuse replaces groups of steps by fused ones, whose Unfused is what each
// pattern stands for, and drops the steps that nothing needs any more. What
// remains is sorted anew.
func (p *plan) fuse() error {
	f := &fuser{plan: p, parts: map[*value]*value{}}
	for _, pattern := range []func(*step) bool{
		f.squeezeExcite, f.linear, f.foldDepthwise, f.foldMatMul, f.foldConv,
		f.normPool, f.normMatMul, f.normDepthwise,
		f.projectGrad, f.gatedGradSums, f.depthwiseGrad, f.expandGrad,
	} {
		f.index()
		for _, s := range slices.Clone(p.steps) {
			if f.gone[s] {
				continue
			}
			pattern(s)
		}
		p.steps = slices.DeleteFunc(p.steps, func(s *step) bool { return f.gone[s] })
	}
	f.index()
	f.dropUnused()
	return p.sort()
}

// fuser finds patterns among a plan's steps.
type fuser struct {
	*plan
	made  map[*value]*step   // the step that writes a value
	users map[*value][]*step // the steps that read it, or a part of it
	gone  map[*step]bool     // replaced
	parts map[*value]*value  // of the gradient of a gated map: backend.ProjectGrad's parts
}

func (f *fuser) index() {
	f.made, f.users, f.gone = map[*value]*step{}, map[*value][]*step{}, map[*step]bool{}
	for _, s := range f.steps {
		for _, v := range s.out {
			f.made[v] = s
		}
		for _, v := range s.in {
			f.users[v.root()] = append(f.users[v.root()], s)
		}
	}
}

// replace puts a step in the place of others.
func (f *fuser) replace(spec backend.Spec, in, out []*value, old ...*step) bool {
	s := &step{spec, in, out}
	f.steps = append(f.steps, s)
	for _, o := range old {
		f.gone[o] = true
	}
	for _, v := range out {
		f.made[v] = s
	}
	for _, v := range in {
		f.users[v.root()] = append(f.users[v.root()], s)
	}
	return true
}

// madeBy returns the step that writes v and its Spec, if that is an S.
func madeBy[S backend.Spec](f *fuser, v *value) (s *step, spec S, ok bool) {
	if s = f.made[v]; s != nil && !f.gone[s] {
		spec, ok = s.spec.(S)
	}
	return s, spec, ok
}

// usedBy returns the first step that reads v, has an S and satisfies is.
func usedBy[S backend.Spec](f *fuser, v *value, is func(s *step, spec S) bool) (*step, bool) {
	for _, s := range f.users[v] {
		if spec, ok := s.spec.(S); ok && !f.gone[s] && is(s, spec) {
			return s, true
		}
	}
	return nil, false
}

func always[S backend.Spec](*step, S) bool { return true }

// reading says how a map comes to be from what is in memory.
type reading struct {
	read backend.Reading
	norm backend.Norm
	area int
	in   []*value // the map and, unless Raw, the norm's three
	gate []*value // the gate, if Gated
	seen *value   // if Gated, the map before the gate
}

// readingOf is how a consumer may read v: through a normalisation with an
// activation and, if gates, through a gate after it. Others are short enough to
// be kept.
func (f *fuser) readingOf(v *value, gates bool) reading {
	if s, spec, ok := madeBy[backend.ChannelScale](f, v); ok && gates {
		if n := f.readingOf(s.in[0], false); n.read == backend.Normed {
			n.read, n.area, n.gate, n.seen = backend.Gated, spec.Area, s.in[1:2], s.in[0]
			return n
		}
	}
	if s, spec, ok := madeBy[backend.NormAct](f, v); ok && spec.Act != backend.Identity {
		return reading{read: backend.Normed, norm: normOf(spec), in: s.in}
	}
	return reading{in: []*value{v}}
}

func normOf(s backend.NormAct) backend.Norm { return backend.Norm{Eps: s.Eps, Act: s.Act} }

// statsOf finds the step that gathers v's statistics.
func (f *fuser) statsOf(v *value) (out []*value, old []*step) {
	if s, ok := usedBy(f, v, always[backend.BatchStats]); ok {
		return s.out, []*step{s}
	}
	return nil, nil
}

// normPool: GlobalAvgPool of a NormAct.
func (f *fuser) normPool(s *step) bool {
	spec, ok := s.spec.(backend.GlobalAvgPool)
	if !ok {
		return false
	}
	r := f.readingOf(s.in[0], false)
	return r.read == backend.Normed &&
		f.replace(backend.NormPool{GlobalAvgPool: spec, Norm: r.norm}, r.in, s.out, s)
}

// normMatMul: MatMul of a NormAct or of a ChannelScale of one, and BatchStats.
func (f *fuser) normMatMul(s *step) bool {
	spec, ok := s.spec.(backend.MatMul)
	if !ok || spec.TransA || spec.TransB || spec.Bias {
		return false
	}
	r := f.readingOf(s.in[0], true)
	stats, old := f.statsOf(s.out[0])
	if r.read == backend.Raw && stats == nil {
		return false
	}
	if r.area == 0 {
		r.area = spec.M
	}
	return f.replace(
		backend.NormMatMul{M: spec.M, N: spec.N, K: spec.K, Read: r.read, Norm: r.norm, Area: r.area, Stats: stats != nil},
		slices.Concat(r.in, r.gate, s.in[1:]), slices.Concat(s.out, stats), append(old, s)...)
}

// normDepthwise: Depthwise of a NormAct, and BatchStats.
func (f *fuser) normDepthwise(s *step) bool {
	spec, ok := s.spec.(backend.Depthwise)
	if !ok {
		return false
	}
	r := f.readingOf(s.in[0], false)
	stats, old := f.statsOf(s.out[0])
	if r.read == backend.Raw && stats == nil {
		return false
	}
	return f.replace(
		backend.NormDepthwise{ConvShape: spec.ConvShape, Read: r.read, Norm: r.norm, Stats: stats != nil},
		slices.Concat(r.in, s.in[1:]), slices.Concat(s.out, stats), append(old, s)...)
}

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

// dropUnused drops the steps whose results nothing needs, and the values that
// no step has.
func (f *fuser) dropUnused() {
	needed := map[*value]bool{}
	var need func(v *value)
	need = func(v *value) {
		if needed[v] {
			return
		}
		needed[v] = true
		if v.alias != nil {
			need(v.alias)
		}
		if s := f.made[v]; s != nil {
			for _, in := range s.in {
				need(in)
			}
			for _, out := range s.out {
				need(out)
			}
		}
	}
	for _, v := range f.values {
		if v.kept {
			need(v)
		}
	}
	f.steps = slices.DeleteFunc(f.steps, func(s *step) bool { return !needed[s.out[0]] })
	f.values = slices.DeleteFunc(f.values, func(v *value) bool { return !needed[v] })
}

// sort puts every step after those that write what it reads.
func (p *plan) sort() error {
	made := map[*value]*step{}
	for _, s := range p.steps {
		for _, v := range s.out {
			made[v] = s
		}
	}
	const seen, done = 1, 2
	state := map[*step]int{}
	var order []*step
	var visit func(s *step) error
	visit = func(s *step) error {
		switch state[s] {
		case done:
			return nil
		case seen:
			return fmt.Errorf("vm: %v needs its own result", s.out[0].node)
		}
		state[s] = seen
		for _, v := range s.in {
			if from := made[v.root()]; from != nil {
				if err := visit(from); err != nil {
					return err
				}
			}
		}
		state[s] = done
		order = append(order, s)
		return nil
	}
	for _, s := range p.steps {
		if err := visit(s); err != nil {
			return err
		}
	}
	p.steps = order
	return nil
}
