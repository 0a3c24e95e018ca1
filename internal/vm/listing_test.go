package vm

import (
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"effnet/internal/backend"
	"effnet/internal/ops"
)

// randomListing is steps that each read some of the values before them. Some
// values are views of others, and some are kept out of the arena.
func randomListing(r *rand.Rand) *listing {
	p := &listing{}
	add := func(v *value) *value { p.values = append(p.values, v); return v }
	sizes := []int{1, 7, 16, 40, 64, 100}
	for range 3 {
		add(&value{size: sizes[r.IntN(len(sizes))], born: -1, kept: true})
	}
	for range 5 + r.IntN(60) {
		// Mostly the last few values, at times one from long ago.
		pick := func() *value {
			n := len(p.values)
			if r.IntN(4) > 0 {
				return p.values[n-1-r.IntN(min(n, 4))]
			}
			return p.values[r.IntN(n)]
		}
		if r.IntN(6) == 0 {
			of := pick()
			offset := r.IntN(of.size)
			add(&value{alias: of, offset: offset, size: 1 + r.IntN(of.size-offset), born: -1})
			continue
		}
		spec, arity := []backend.Spec{
			backend.MatMul{}, backend.Add{}, backend.Activate{}, backend.NormActGradInput{}, backend.ResidualAdd{}, backend.Copy{},
		}[r.IntN(6)], 1
		switch spec.(type) {
		case backend.MatMul, backend.Add:
			arity = 2
		case backend.ResidualAdd:
			arity = 3
		case backend.NormActGradInput:
			arity = 6
		}
		s := &step{spec: spec}
		for range 1 + r.IntN(2) {
			s.out = append(s.out, &value{size: sizes[r.IntN(len(sizes))], kept: r.IntN(8) == 0})
			if backend.InPlace(spec) != nil {
				break // the only output
			}
		}
		for range arity {
			s.in = append(s.in, pick())
		}
		for _, k := range backend.InPlace(spec) { // inputs as large as the output
			s.out[0].size = s.in[0].size
			if s.in[k].size != s.out[0].size {
				s.in[k] = s.in[0]
			}
		}
		p.steps = append(p.steps, s)
		for _, v := range s.out {
			add(v)
		}
	}
	p.number()
	return p
}

// checkPlaces runs a listing on memory that remembers whose value each cell holds:
// every step must find its inputs whole, and may write over one only where the
// Spec works in place.
func checkPlaces(t *testing.T, p *listing, size int) {
	t.Helper()
	owner := make([]*value, size)
	for i, s := range p.steps {
		for k, v := range s.in {
			if r := v.root(); !r.kept {
				for at := r.offset; at < r.offset+r.size; at++ {
					if owner[at] != r {
						t.Fatalf("step %d: input %d was written over", i, k)
					}
				}
			}
		}
		for _, out := range s.out {
			if out.kept {
				continue
			}
			if out.offset%line != 0 || out.offset < 0 || out.offset+out.size > size {
				t.Fatalf("step %d: output at %d of %d values in an arena of %d", i, out.offset, out.size, size)
			}
			for k, v := range s.in {
				r := v.root()
				if r.kept || r.offset >= out.offset+out.size || out.offset >= r.offset+r.size {
					continue
				}
				whole := v.size == r.size && r.offset == out.offset && r.size == out.size
				if !whole || !slices.Contains(backend.InPlace(s.spec), k) {
					t.Fatalf("step %d: %T writes its output over input %d", i, s.spec, k)
				}
			}
			for at := out.offset; at < out.offset+out.size; at++ {
				if slices.Contains(s.out, owner[at]) {
					t.Fatalf("step %d: two outputs in one place", i)
				}
				owner[at] = out
			}
		}
	}
}

func TestPlaceNeverOverlaps(t *testing.T) {
	inPlace, shared := 0, 0
	for seed := range uint64(3000) {
		p := randomListing(rand.New(rand.NewPCG(seed, 1)))
		size := p.place()
		checkPlaces(t, p, size)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		sum := 0
		for _, s := range p.steps {
			for _, out := range s.out {
				if out.kept {
					continue
				}
				sum += round(out.size)
				if slices.ContainsFunc(s.in, func(v *value) bool { return !v.kept && v.alias == nil && v.offset == out.offset }) {
					inPlace++
				}
			}
		}
		if size < sum {
			shared++
		} else if size > sum {
			t.Fatalf("seed %d: arena of %d for values of %d", seed, size, sum)
		}
	}
	if inPlace < 1000 || shared < 2000 { // else the listings prove little
		t.Errorf("%d outputs in place, %d listings that share memory", inPlace, shared)
	}
}

// An arena never hands out what is taken, and merges what is given back: once
// all is, one gap is left.
func TestArena(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var a arena
	var taken []gap
	for range 5000 {
		if len(taken) > 0 && r.IntN(20) < 9+len(taken)/10 {
			i := r.IntN(len(taken))
			a.give(taken[i].offset, taken[i].size)
			taken = slices.Delete(taken, i, i+1)
		} else {
			n := 1 + r.IntN(200)
			at := a.take(n)
			for _, g := range taken {
				if at < g.offset+g.size && g.offset < at+n {
					t.Fatalf("%d values at %d overlap %d at %d", n, at, g.size, g.offset)
				}
			}
			if at+n > a.size {
				t.Fatalf("%d values at %d in an arena of %d", n, at, a.size)
			}
			taken = append(taken, gap{at, n})
		}
	}
	for _, g := range taken {
		a.give(g.offset, g.size)
	}
	if len(a.free) != 1 || a.free[0] != (gap{0, a.size}) {
		t.Errorf("gaps %v of an arena of %d, want one", a.free, a.size)
	}
}

// A gap at the end grows into what is asked for.
func TestArenaExtendsItsEnd(t *testing.T) {
	var a arena
	a.take(32)
	end := a.take(16)
	a.give(end, 16)
	if at := a.take(40); at != end || a.size != 80 {
		t.Errorf("40 values at %d of %d, want at %d of 80", at, a.size, end)
	}
}

// A chain needs memory for what its longest step holds, however long it is.
func TestArenaOfChains(t *testing.T) {
	const size = 2 * 5 * 5 * 16
	for _, c := range []struct {
		name    string
		buffers int64
		layer   func(g *G.ExprGraph, x *G.Node) (*G.Node, error)
	}{
		{"in place", 1, func(_ *G.ExprGraph, x *G.Node) (*G.Node, error) { return ops.Activate(x, backend.Swish) }},
		{"not in place", 2, func(g *G.ExprGraph, x *G.Node) (*G.Node, error) {
			w := G.NewTensor(g, tensor.Float32, 4, G.WithShape(1, 1, 16, 16), G.WithName("w"))
			return ops.Conv2D(x, w, 1, ops.Same)
		}},
	} {
		g := G.NewGraph()
		x := G.NewTensor(g, tensor.Float32, 4, G.WithShape(2, 5, 5, 16), G.WithName("x"))
		for range 300 {
			var err error
			if x, err = c.layer(g, x); err != nil {
				t.Fatal(err)
			}
		}
		p, err := newListing(g, G.Nodes{x}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if values := p.place(); values != int(c.buffers*size) {
			t.Errorf("%s: %d values, want %d buffers of %d", c.name, values, c.buffers, size)
		}
	}
}

// What no output needs is not computed.
func TestDeadNodesAreDropped(t *testing.T) {
	g, _, y, _ := line3(t)
	p, err := newListing(g, G.Nodes{y}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.steps) != 1 || p.steps[0].out[0].node != y {
		t.Errorf("%d steps, want y's alone", len(p.steps))
	}
}
