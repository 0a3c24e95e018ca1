// Package vm runs a Gorgonia graph on a backend.
//
// New does the thinking once: it sorts the graph, drops what no output
// needs, turns each node into one backend Spec, gives every intermediate value
// a place in one arena such that values that are never alive together share
// memory, and compiles the Specs. RunAll is then a loop over launches that
// allocates nothing.
package vm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"effnet/internal/backend"
	"effnet/internal/ops"
)

// Machine is a gorgonia.VM: a graph compiled for one backend.
type Machine struct {
	backend  backend.Backend
	programs []backend.Program
	steps    []*step // of programs
	feeds    []feed
	views    map[*G.Node]backend.View // inputs and outputs
	arena    int                      // values

	whole    *backend.Sequence // with Prepare
	prepared *backend.Sequence // without it
}

// feed is an input whose value comes from gorgonia.Let.
type feed struct {
	node *G.Node
	view backend.View
}

// New compiles what outputs need of their graph. Nodes in bind, inputs or
// outputs, live in the memory given there (parameters, gradients, a batch);
// other inputs take their value from gorgonia.Let before each RunAll. A node
// that no Spec exists for is an error here.
func New(g *G.ExprGraph, outputs G.Nodes, b backend.Backend, bind map[*G.Node]backend.View) (*Machine, error) {
	m := &Machine{backend: b, views: map[*G.Node]backend.View{}}
	m.whole, m.prepared = backend.NewSequence(b, func() { m.Prepare(); m.each() }), backend.NewSequence(b, m.each)
	p, err := newListing(g, outputs, b, bind)
	if err != nil {
		return nil, err
	}
	m.steps, m.arena = p.steps, p.place()
	var arena backend.View
	if s, ok := b.(backend.Sharer); ok {
		arena, err = s.Share(m.arena)
	} else {
		arena, err = backend.NewView(b, m.arena)
	}
	if err != nil {
		return nil, err
	}
	for _, aliases := range []bool{false, true} { // what an alias is a part of comes first
		for _, v := range p.values {
			if aliases != (v.alias != nil) {
				continue
			}
			if err := m.locate(v, arena, bind); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range p.steps {
		var views []backend.View
		for _, v := range slices.Concat(s.in, s.out) {
			views = append(views, v.view)
		}
		program, err := b.Compile(s.spec, views...)
		if err != nil {
			return nil, fmt.Errorf("vm: %v: %w", s.out[0].node, err)
		}
		m.programs = append(m.programs, program)
	}
	return m, nil
}

// locate gives a value its memory.
func (m *Machine) locate(v *value, arena backend.View, bind map[*G.Node]backend.View) (err error) {
	bound, ok := bind[v.node]
	switch {
	case ok && bound.Len != v.size:
		return fmt.Errorf("vm: %v of %d values is bound to memory for %d", v.node, v.size, bound.Len)
	case ok:
		v.view = bound
	case v.settled.Len > 0:
		v.view = v.settled
	case v.alias != nil:
		v.view = v.alias.view.Slice(v.offset, v.size)
	case v.kept:
		if v.view, err = backend.NewViewOf(m.backend, v.size, v.dtype); err != nil {
			return err
		}
	default:
		v.view = backend.View{Buffer: arena.Buffer, Offset: v.offset, Len: v.size, DType: v.dtype}
	}
	if v.constant != nil {
		if err := m.backend.Upload(v.view, v.constant); err != nil {
			return err
		}
	}
	if v.kept {
		m.views[v.node] = v.view
		if v.node.IsVar() && !ok {
			m.feeds = append(m.feeds, feed{v.node, v.view})
		}
	}
	return nil
}

// RunAll computes the outputs once from the inputs' present values.
func (m *Machine) RunAll() error {
	if err := m.upload(); err != nil {
		return err
	}
	return m.run(m.whole)
}

func (m *Machine) run(s *backend.Sequence) error {
	if err := s.Run(); err != nil {
		return fmt.Errorf("vm: %w", err)
	}
	return nil
}

// each runs the programs one by one.
func (m *Machine) each() {
	for _, p := range m.programs {
		p.Run()
	}
}

// Prepare makes what the launches need of weights and statistics that are bound:
// see backend.Program.
func (m *Machine) Prepare() {
	for _, p := range m.programs {
		if p.Prepare != nil {
			p.Prepare()
		}
	}
}

// RunPrepared is RunAll for weights and statistics that have not changed since
// Prepare.
func (m *Machine) RunPrepared() error {
	if err := m.upload(); err != nil {
		return err
	}
	return m.run(m.prepared)
}

// upload takes the inputs' values from gorgonia.Let.
func (m *Machine) upload() error {
	for _, f := range m.feeds {
		if f.node.Value() == nil {
			continue // keeps what View's user put there
		}
		x, err := floats(f.node.Value())
		if err == nil {
			err = m.backend.Upload(f.view, x)
		}
		if err != nil {
			return fmt.Errorf("vm: input %v: %w", f.node, err)
		}
	}
	return nil
}

// View is the memory of an input or output.
func (m *Machine) View(n *G.Node) backend.View { return m.views[n] }

// Read copies an output's values, or an input's.
func (m *Machine) Read(n *G.Node, dst []float32) error {
	v, ok := m.views[n]
	if !ok {
		return fmt.Errorf("vm: %v is neither an input nor an output", n)
	}
	if err := m.backend.Sync(); err != nil {
		return err
	}
	return m.backend.Download(dst, v)
}

// ArenaBytes is the memory all intermediate values share.
func (m *Machine) ArenaBytes() int64 { return int64(m.arena) * 4 }

// Reset implements gorgonia.VM; a Machine keeps no state between runs.
func (m *Machine) Reset() {}

// Close implements gorgonia.VM. The backend stays open.
func (m *Machine) Close() error { return nil }

// floats returns the values of a scalar or dense float32.
func floats(v G.Value) ([]float32, error) {
	if d, ok := v.(*tensor.Dense); ok && d.Dtype() == tensor.Float32 {
		return d.Float32s(), nil // Data would allocate
	}
	switch d := v.Data().(type) {
	case []float32:
		return d, nil
	case float32:
		return []float32{d}, nil
	default:
		return nil, fmt.Errorf("values of type %T, want float32", d)
	}
}

// lower returns the Spec of a node that computes, and whether its op is a view.
func lower(n *G.Node, inputs []*value) (spec backend.Spec, view *ops.Op, err error) {
	if op, ok := n.Op().(*ops.Op); ok {
		if _, isView := op.View(); isView {
			return backend.Copy{N: n.Shape().TotalSize()}, op, nil
		}
		return op.Spec(), nil, nil
	}
	// Gorgonia sums the gradients of a value used twice with an add of its own.
	if name := n.Op().String(); strings.HasPrefix(name, "+ ") && len(inputs) == 2 && inputs[0].size == inputs[1].size {
		return backend.Add{N: inputs[0].size}, nil, nil
	}
	return nil, nil, fmt.Errorf("vm: no backend operation for %v (%T)", n, n.Op())
}

// inputsOf returns a node's children in order.
func inputsOf(g *G.ExprGraph, n *G.Node) []*G.Node {
	var in []*G.Node
	for it := g.From(n.ID()); it.Next(); {
		in = append(in, it.Node().(*G.Node))
	}
	return in
}

// reachable returns the nodes that outputs need, inputs before users: Gorgonia
// numbers nodes as they are made.
func reachable(g *G.ExprGraph, outputs G.Nodes) []*G.Node {
	seen := map[*G.Node]bool{}
	var live []*G.Node
	todo := slices.Clone(outputs)
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !seen[n] {
			seen[n] = true
			live = append(live, n)
			todo = append(todo, inputsOf(g, n)...)
		}
	}
	slices.SortFunc(live, func(a, b *G.Node) int { return cmp.Compare(a.ID(), b.ID()) })
	return live
}
