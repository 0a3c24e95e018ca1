package vm

import (
	"fmt"
	"slices"

	G "gorgonia.org/gorgonia"

	"effnet/internal/backend"
)

// listing is a graph lowered to steps, before memory is real.
type listing struct {
	values []*value
	steps  []*step // inputs before users
}

// step is one Spec with its operands: what it reads, then what it writes.
type step struct {
	spec    backend.Spec
	in, out []*value
}

// value is what a node computes or holds.
type value struct {
	node     *G.Node
	size     int
	dtype    backend.DType // see backend.Typer
	constant []float32
	kept     bool         // not in the arena: an input, a constant, an output or bound
	alias    *value       // a part of this value, from offset on
	settled  backend.View // where its parts are bound; see settle
	offset   int          // in alias or in the arena
	born     int          // step that writes it
	last     int          // last step that reads it
	view     backend.View
}

// root is the value whose memory v is in.
func (v *value) root() *value {
	for v.alias != nil {
		v = v.alias
	}
	return v
}

// room is what the value takes of the arena.
func (v *value) room() int { return v.dtype.Room(v.size) }

func newListing(g *G.ExprGraph, outputs G.Nodes, b backend.Backend, bind map[*G.Node]backend.View) (*listing, error) {
	p := &listing{}
	byNode := map[*G.Node]*value{}
	for _, n := range reachable(g, outputs) {
		memory, bound := bind[n]
		v := &value{node: n, size: n.Shape().TotalSize(), dtype: memory.DType, born: -1, kept: bound || slices.Contains(outputs, n)}
		byNode[n] = v
		p.values = append(p.values, v)

		children := inputsOf(g, n)
		if n.Op() == nil || len(children) == 0 { // an input or a constant
			v.kept = true
			if n.Op() != nil {
				c, err := floats(n.Value())
				if err != nil {
					return nil, fmt.Errorf("vm: constant %v: %w", n, err)
				}
				v.constant = c
			}
			continue
		}
		in := make([]*value, len(children))
		for i, c := range children {
			in[i] = byNode[c]
		}
		spec, view, err := lower(n, in)
		if err != nil {
			return nil, err
		}
		if view != nil && !v.kept {
			v.alias = in[0]
			v.offset, _ = view.View()
			continue
		}
		if view != nil { // a kept view is a copy of its part
			part := &value{size: v.size, alias: in[0]}
			part.offset, _ = view.View()
			p.values = slices.Insert(p.values, len(p.values)-1, part)
			in = []*value{part}
		}
		p.steps = append(p.steps, &step{spec, in, []*value{v}})
	}
	if err := p.fuse(); err != nil {
		return nil, err
	}
	if typer, ok := b.(backend.Typer); ok {
		p.types(typer, bind)
	}
	p.settle(bind)
	p.number()
	return p, nil
}

// types asks the backend of which type each value is. Those that are bound are what
// they are.
func (p *listing) types(b backend.Typer, bind map[*G.Node]backend.View) {
	for _, s := range p.steps {
		operands := slices.Concat(s.in, s.out)
		types := make([]backend.DType, len(operands))
		for i, v := range operands {
			types[i] = v.root().dtype
		}
		b.Types(s.spec, types)
		for i, v := range s.out {
			if _, bound := bind[v.node]; !bound {
				v.dtype = types[len(s.in)+i]
			}
		}
	}
}

// settle lets a value be where all of its parts are bound, if they lie there as they do in
// it: then nothing has to copy them. The gradients of a normalisation's scale and shift are
// such parts.
func (p *listing) settle(bind map[*G.Node]backend.View) {
	copies := map[*value][]*step{} // of a value's parts to where these are bound
	for _, s := range p.steps {
		if _, ok := s.spec.(backend.Copy); !ok || s.in[0].alias == nil {
			continue
		}
		if _, bound := bind[s.out[0].node]; bound {
			copies[s.in[0].alias] = append(copies[s.in[0].alias], s)
		}
	}
	gone := map[*step]bool{}
	for whole, parts := range copies {
		slices.SortFunc(parts, func(a, b *step) int { return a.in[0].offset - b.in[0].offset })
		place := bind[parts[0].out[0].node]
		place.Len = 0
		for _, s := range parts {
			at := bind[s.out[0].node]
			if s.in[0].offset != place.Len || at.Buffer != place.Buffer || at.Offset != place.Offset+place.Len || at.DType != whole.dtype {
				break
			}
			place.Len += at.Len
		}
		if place.Len != whole.size || whole.kept || whole.alias != nil || whole.dtype != backend.Float32 {
			continue
		}
		whole.settled, whole.kept = place, true
		for _, s := range parts {
			s.out[0].alias, s.out[0].offset, gone[s] = whole, s.in[0].offset, true
		}
	}
	p.steps = slices.DeleteFunc(p.steps, func(s *step) bool { return gone[s] })
}

// number says when each value is written and last read.
func (p *listing) number() {
	for i, s := range p.steps {
		for _, v := range s.out {
			v.born = i
		}
		for _, v := range s.in {
			v.root().last = i
		}
	}
}

// place gives every value of the arena its offset and returns the arena's size.
// Steps are gone through in order; a value takes the smallest gap it fits in,
// or the memory of an input that ends here when the Spec works in place.
func (p *listing) place() int {
	var a arena
	placed := map[*value]bool{}
	for i, s := range p.steps {
		donor := inPlaceInput(s, i, placed)
		for _, out := range s.out {
			switch {
			case out.kept:
				continue
			case donor != nil:
				out.offset = donor.offset
				delete(placed, donor)
			default:
				out.offset = a.take(out.room())
			}
			placed[out] = true
		}
		for _, v := range slices.Concat(s.in, s.out) {
			if r := v.root(); placed[r] && max(r.last, r.born) <= i {
				a.give(r.offset, r.room())
				delete(placed, r)
			}
		}
	}
	return a.size
}

// inPlaceInput returns the input of step i whose memory its only output may
// take.
func inPlaceInput(s *step, i int, placed map[*value]bool) *value {
	allowed := backend.InPlace(s.spec)
	if len(s.out) != 1 || s.out[0].kept {
		return nil
	}
	for _, k := range allowed {
		r := s.in[k].root()
		if !placed[r] || r.last != i || s.in[k] != r || r.room() != s.out[0].room() || r.dtype != s.out[0].dtype {
			continue
		}
		shared := false // with an input that must stay whole
		for j, v := range s.in {
			shared = shared || j != k && v.root() == r && !slices.Contains(allowed, j)
		}
		if !shared {
			return r
		}
	}
	return nil
}

// arena hands out ranges of one growing block of memory.
type arena struct {
	size int
	free []gap // by offset, never touching
}

type gap struct{ offset, size int }

// line is the unit of a range: 64 bytes, so that rows start on a cache line.
const line = 16

func round(n int) int { return (n + line - 1) / line * line }

// take returns the offset of n free values: the smallest gap that holds them,
// or new memory at the end.
func (a *arena) take(n int) int {
	n = round(n)
	best := -1
	for i, g := range a.free {
		if g.size >= n && (best < 0 || g.size < a.free[best].size) {
			best = i
		}
	}
	if best >= 0 {
		g := &a.free[best]
		at := g.offset
		g.offset, g.size = g.offset+n, g.size-n
		if g.size == 0 {
			a.free = slices.Delete(a.free, best, best+1)
		}
		return at
	}
	at := a.size
	if k := len(a.free) - 1; k >= 0 && a.free[k].offset+a.free[k].size == a.size {
		at = a.free[k].offset
		a.free = a.free[:k]
	}
	a.size = at + n
	return at
}

// give returns a range taken before.
func (a *arena) give(offset, n int) {
	g := gap{offset, round(n)}
	i, _ := slices.BinarySearchFunc(a.free, g, func(x, y gap) int { return x.offset - y.offset })
	if i < len(a.free) && g.offset+g.size == a.free[i].offset {
		g.size += a.free[i].size
		a.free = slices.Delete(a.free, i, i+1)
	}
	if i > 0 && a.free[i-1].offset+a.free[i-1].size == g.offset {
		a.free[i-1].size += g.size
		return
	}
	a.free = slices.Insert(a.free, i, g)
}
