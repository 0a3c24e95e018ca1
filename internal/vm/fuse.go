package vm

import (
	"fmt"
	"slices"

	"effnet/internal/backend"
)

// fuse replaces groups of steps by fused ones, whose Unfused is what each
// pattern stands for, and drops the steps that nothing needs any more. What
// remains is sorted again.
func (p *listing) fuse() error {
	f := &fuser{listing: p, parts: map[*value]*value{}}
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

// fuser finds patterns among a listing's steps.
type fuser struct {
	*listing
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
func (p *listing) sort() error {
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
