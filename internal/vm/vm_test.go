package vm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	_ "go4.org/unsafe/assume-no-moving-gc" // pinned: Gorgonia v0.9.18 panics at start with an older one
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/ops"
)

// net is a small network made by hand from every op.
type net struct {
	*testing.T
	g       *G.ExprGraph
	r       *rand.Rand
	inputs  G.Nodes // batch, step, parameters: all have values
	params  G.Nodes
	outputs G.Nodes // loss, logits, gradients of params
}

// input adds an input of values around center.
func (n *net) input(name string, center float64, shape ...int) *G.Node {
	x := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range x {
		x[i] = float32(center + .6*(n.r.Float64()*2-1))
	}
	node := G.NewTensor(n.g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name),
		G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))))
	n.inputs = append(n.inputs, node)
	return node
}

func (n *net) param(center float64, shape ...int) *G.Node {
	p := n.input(fmt.Sprint("p", len(n.params)), center, shape...)
	n.params = append(n.params, p)
	return p
}

func (n *net) must(node *G.Node, err error) *G.Node {
	n.Helper()
	if err != nil {
		n.Fatal(err)
	}
	return node
}

func (n *net) norm(x *G.Node, act backend.Activation) *G.Node {
	c := x.Shape()[3]
	return n.must(ops.NormAct(x, n.must(ops.BatchStats(x)), n.param(1, c), n.param(0, c), 1e-3, act, true))
}

// newNet is a stem, an inverted bottleneck with squeeze-and-excitation whose
// way round is dropped at times, a second path with frozen normalisation, and a
// classifier behind a dropout.
func newNet(t *testing.T) *net {
	n := &net{T: t, g: G.NewGraph(), r: rand.New(rand.NewPCG(1, 2))}
	const batch, classes = 6, 5
	x := n.input("images", 0, batch, 11, 9, 3)
	targets := n.input("targets", 0, batch, classes)
	for i, v := 0, targets.Value().Data().([]float32); i < len(v); i += classes {
		copy(v[i:], []float32{.1, .1, .1, .1, .1})
		v[i+i/classes%classes] += .5
	}
	step := n.input("step", 0, 2)
	copy(step.Value().Data().([]float32), []float32{5, 1})

	x = n.must(ops.Conv2D(x, n.param(0, 3, 3, 3, 8), 2, ops.Same))
	x = n.norm(x, backend.Swish)
	shortcut := x
	x = n.must(ops.Conv2D(x, n.param(0, 1, 1, 8, 20), 1, ops.Same))
	x = n.norm(x, backend.ReLU6)
	x = n.must(ops.DepthwiseConv2D(x, n.param(0, 5, 5, 20), 1, ops.Symmetric))
	x = n.norm(x, backend.Swish)
	s := n.must(ops.GlobalAvgPool(x))
	s = n.must(ops.Activate(n.must(ops.Dense(s, n.param(0, 20, 3), n.param(0, 3))), backend.Swish))
	s = n.must(ops.Activate(n.must(ops.Dense(s, n.param(0, 3, 20), n.param(0, 20))), backend.Sigmoid))
	x = n.must(ops.ChannelScale(x, s))
	x = n.must(ops.Conv2D(x, n.param(0, 1, 1, 20, 8), 1, ops.Same))
	x = n.norm(x, backend.Identity)
	x = n.must(ops.ResidualAdd(x, shortcut, step, .6, backend.Random{Seed: 4, Layer: 1}))
	y := n.must(ops.DepthwiseConv2D(x, n.param(0, 3, 3, 8), 2, ops.Same))
	y = n.must(ops.NormAct(y, n.input("running", 1, 2, 8), n.param(1, 8), n.param(0, 8), 1e-3, backend.Swish, false))
	z := n.must(ops.Conv2D(x, n.param(0, 3, 3, 8, 8), 2, ops.Symmetric))
	x = n.must(ops.Add(y, n.must(ops.Activate(z, backend.Swish))))
	x = n.must(ops.GlobalAvgPool(x))
	x = n.must(ops.Dropout(x, step, .4, backend.Random{Seed: 4, Layer: 2}))
	logits := n.must(ops.Dense(x, n.param(0, 8, classes), n.param(0, classes)))
	loss := n.must(ops.SoftmaxCrossEntropy(logits, targets))
	grads, err := G.Grad(loss, n.params...)
	if err != nil {
		t.Fatal(err)
	}
	n.outputs = append(G.Nodes{loss, logits}, grads...)
	return n
}

// runTape returns the outputs that Gorgonia's own machine computes.
func (n *net) runTape() [][]float32 {
	n.Helper()
	values := make([]G.Value, len(n.outputs))
	for i, o := range n.outputs {
		G.Read(o, &values[i])
	}
	m := G.NewTapeMachine(n.g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		n.Fatal(err)
	}
	all := make([][]float32, len(values))
	for i, v := range values {
		x, err := floats(v)
		if err != nil {
			n.Fatal(err)
		}
		all[i] = slices.Clone(x)
	}
	return all
}

func (n *net) read(m *Machine) [][]float32 {
	n.Helper()
	all := make([][]float32, len(n.outputs))
	for i, o := range n.outputs {
		all[i] = make([]float32, o.Shape().TotalSize())
		if err := m.Read(o, all[i]); err != nil {
			n.Fatal(err)
		}
	}
	return all
}

// inputViews puts the inputs' values in memory of b, for New's bind.
func (n *net) inputViews(b backend.Backend) map[*G.Node]backend.View {
	n.Helper()
	bind := map[*G.Node]backend.View{}
	for _, in := range n.inputs {
		v, err := backend.NewView(b, in.Shape().TotalSize())
		if err == nil {
			err = b.Upload(v, in.Value().Data().([]float32))
		}
		if err != nil {
			n.Fatal(err)
		}
		bind[in] = v
	}
	return bind
}

func sameBits(a, b [][]float32) bool {
	return slices.EqualFunc(a, b, func(x, y []float32) bool {
		return slices.EqualFunc(x, y, func(p, q float32) bool { return math.Float32bits(p) == math.Float32bits(q) })
	})
}

// Gorgonia's machine, which runs each op's definition, is the oracle.
func TestAgainstTapeMachine(t *testing.T) {
	want := newNet(t).runTape()
	for _, set := range kernel.Available() {
		for _, bound := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/bound=%t", set.Name, bound), func(t *testing.T) {
				n := newNet(t)
				b := cpu.NewWith(set, 2)
				defer b.Close()
				var bind map[*G.Node]backend.View
				if bound {
					bind = n.inputViews(b)
				}
				m, err := New(n.g, n.outputs, b, bind)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.RunAll(); err != nil {
					t.Fatal(err)
				}
				for i, got := range n.read(m) {
					if e := backendtest.RelError(got, want[i]); !(e <= 1e-5) {
						t.Errorf("output %d, %v: relative error %.2g", i, n.outputs[i], e)
					}
				}
			})
		}
	}
}

// A run leaves nothing behind that the next one sees: neither in the arena nor
// in the inputs.
func TestRunAllTwice(t *testing.T) {
	n := newNet(t)
	b := cpu.NewWith(kernel.Available()[0], 2)
	defer b.Close()
	m, err := New(n.g, n.outputs, b, n.inputViews(b))
	if err != nil {
		t.Fatal(err)
	}
	var first [][]float32
	for range 3 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		got := n.read(m)
		if first == nil {
			first = got
		}
		if !sameBits(got, first) {
			t.Fatal("another run gives other bits")
		}
	}
	for _, in := range n.inputs {
		got := make([]float32, in.Shape().TotalSize())
		if err := m.Read(in, got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, in.Value().Data().([]float32)) {
			t.Errorf("input %v changed", in)
		}
	}
}

// Every RunAll reads the inputs' values again.
func TestLet(t *testing.T) {
	n := newNet(t)
	b := cpu.NewWith(kernel.Available()[0], 1)
	defer b.Close()
	m, err := New(n.g, n.outputs, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	images := n.inputs[0]
	for _, v := range []float32{0, .5} {
		x := images.Value().(*tensor.Dense).Clone().(*tensor.Dense)
		x.Data().([]float32)[7] = v
		if err := G.Let(images, x); err != nil {
			t.Fatal(err)
		}
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		want := n.runTape()
		for i, got := range n.read(m) {
			if e := backendtest.RelError(got, want[i]); !(e <= 1e-5) {
				t.Errorf("pixel %g: output %d: relative error %.2g", v, i, e)
			}
		}
	}
}

func TestRunAllAllocatesNothing(t *testing.T) {
	for _, set := range kernel.Available() {
		for _, threads := range []int{1, 2} {
			for _, bound := range []bool{false, true} {
				n := newNet(t)
				b := cpu.NewWith(set, threads)
				var bind map[*G.Node]backend.View
				if bound {
					bind = n.inputViews(b)
				}
				m, err := New(n.g, n.outputs, b, bind)
				if err != nil {
					t.Fatal(err)
				}
				if a := testing.AllocsPerRun(5, func() { _ = m.RunAll() }); a != 0 {
					t.Errorf("%s, %d threads, bound %t: %g allocations a run", set.Name, threads, bound, a)
				}
				b.Close()
			}
		}
	}
}

// line3 is x [4,8] and two activations of it.
func line3(t *testing.T) (g *G.ExprGraph, x, y, z *G.Node) {
	t.Helper()
	g = G.NewGraph()
	x = G.NewTensor(g, tensor.Float32, 2, G.WithShape(4, 8), G.WithName("x"))
	var err error
	if y, err = ops.Activate(x, backend.Swish); err != nil {
		t.Fatal(err)
	}
	if z, err = ops.Activate(y, backend.Swish); err != nil {
		t.Fatal(err)
	}
	return g, x, y, z
}

func TestErrors(t *testing.T) {
	b := cpu.NewWith(kernel.Available()[0], 1)
	defer b.Close()
	view := func(n int) backend.View {
		v, err := backend.NewView(b, n)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	g, x, y, z := line3(t)
	tanh := G.Must(G.Tanh(z))
	sum := G.Must(G.Sum(z))
	for _, c := range []struct {
		name    string
		outputs G.Nodes
		bind    map[*G.Node]backend.View
		want    string // in the error; "" for none
	}{
		{"fine", G.Nodes{z}, nil, ""},
		{"Gorgonia's tanh", G.Nodes{z, tanh}, nil, "no backend operation"},
		{"Gorgonia's sum", G.Nodes{sum}, nil, "no backend operation"},
		{"input bound to too much", G.Nodes{z}, map[*G.Node]backend.View{x: view(33)}, "bound to memory for 33"},
		{"input bound to too little", G.Nodes{z}, map[*G.Node]backend.View{x: view(31)}, "bound to memory for 31"},
		{"output bound to too little", G.Nodes{z}, map[*G.Node]backend.View{z: view(31)}, "bound to memory for 31"},
		{"result bound to too little", G.Nodes{z}, map[*G.Node]backend.View{y: view(31)}, "bound to memory for 31"},
		{"bound outside its buffer", G.Nodes{z}, map[*G.Node]backend.View{x: view(32).Slice(1, 32)}, "outside its buffer"},
	} {
		_, err := New(g, c.outputs, b, c.bind)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}

	m, err := New(g, G.Nodes{z}, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Read(y, make([]float32, 32)); err == nil {
		t.Error("Read of a value that is neither input nor output did not fail")
	}
	if err := m.Read(z, make([]float32, 31)); err == nil {
		t.Error("Read into too little did not fail")
	}
}

// A bound result is written where it is bound, and its users read it there.
func TestBoundResult(t *testing.T) {
	b := cpu.NewWith(kernel.Available()[0], 1)
	defer b.Close()
	g, x, y, z := line3(t)
	data := make([]float32, 32)
	for i := range data {
		data[i] = float32(i) - 16
	}
	if err := G.Let(x, tensor.New(tensor.WithShape(4, 8), tensor.WithBacking(data))); err != nil {
		t.Fatal(err)
	}
	memory, err := backend.NewView(b, 40)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(g, G.Nodes{z}, b, map[*G.Node]backend.View{y: memory.Slice(4, 32)})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	whole, out := make([]float32, 40), make([]float32, 32)
	if err := b.Download(whole, memory); err != nil {
		t.Fatal(err)
	}
	if err := m.Read(z, out); err != nil {
		t.Fatal(err)
	}
	swish := func(x float64) float64 { return x / (1 + math.Exp(-x)) }
	for i, v := range data {
		want := swish(float64(v))
		if math.Abs(float64(whole[4+i])-want) > 1e-5*math.Abs(want)+1e-9 || math.Abs(float64(out[i])-swish(want)) > 1e-5*math.Abs(swish(want))+1e-9 {
			t.Errorf("value %d: %g and %g, want %g and %g", i, whole[4+i], out[i], want, swish(want))
		}
	}
	for _, i := range []int{0, 3, 36, 39} {
		if whole[i] != 0 {
			t.Errorf("value %d outside the binding is %g", i, whole[i])
		}
	}
}

// The gradients of gamma and beta are written where they are bound, if they lie there as in
// the sums that they are parts of; if not, they are copied there.
func TestPartsAreWrittenWhereTheyAreBound(t *testing.T) {
	b := cpu.NewWith(kernel.Available()[0], 1)
	defer b.Close()
	for _, c := range []struct{ gamma, beta, copies int }{{12, 4, 0}, {4, 12, 2}, {20, 4, 2}} {
		n := &net{T: t, g: G.NewGraph(), r: rand.New(rand.NewPCG(1, 3))}
		x := n.must(ops.Conv2D(n.input("x", 0, 2, 4, 4, 3), n.param(0, 1, 1, 3, 8), 1, ops.Same))
		y := n.must(ops.GlobalAvgPool(n.norm(x, backend.Swish)))
		loss := n.must(ops.SoftmaxCrossEntropy(y, n.input("targets", .5, 2, 8)))
		grads, err := G.Grad(loss, n.params...)
		if err != nil {
			t.Fatal(err)
		}
		n.outputs = append(G.Nodes{loss, n.must(ops.Activate(grads[1], backend.Sigmoid))}, grads...) // one is read after it is written
		memory, err := backend.NewView(b, 40)
		if err != nil {
			t.Fatal(err)
		}
		bind := map[*G.Node]backend.View{grads[1]: memory.Slice(c.gamma, 8), grads[2]: memory.Slice(c.beta, 8)}
		m, err := New(n.g, n.outputs, b, bind)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		copies := 0
		for _, s := range m.steps {
			if _, ok := s.spec.(backend.Copy); ok {
				copies++
			}
		}
		if copies != c.copies {
			t.Errorf("gamma at %d, beta at %d: %d copies, want %d", c.gamma, c.beta, copies, c.copies)
		}
		whole := make([]float32, 40)
		if err := b.Download(whole, memory); err != nil {
			t.Fatal(err)
		}
		want := n.runTape()
		for i, got := range append(n.read(m), whole[c.gamma:][:8], whole[c.beta:][:8]) {
			if i >= len(want) {
				want = append(want, want[i-2])
			}
			if e := backendtest.RelError(got, want[i]); !(e <= 1e-5) {
				t.Errorf("gamma at %d, beta at %d: output %d: relative error %.2g", c.gamma, c.beta, i, e)
			}
		}
	}
}

// The gradients of gamma and beta are views of one value, which must live as
// long as they do.
func TestViewOutlivesOtherValues(t *testing.T) {
	n := &net{T: t, g: G.NewGraph(), r: rand.New(rand.NewPCG(1, 3))}
	x := n.input("x", 0, 2, 4, 4, 8)
	y := n.must(ops.GlobalAvgPool(n.norm(x, backend.Swish)))
	loss := n.must(ops.SoftmaxCrossEntropy(y, n.input("targets", .5, 2, 8)))
	grads, err := G.Grad(loss, n.params...)
	if err != nil {
		t.Fatal(err)
	}
	// So many values that they take all memory that is free.
	many := make(G.Nodes, 100)
	for i := range many {
		many[i] = n.must(ops.GlobalAvgPool(x))
	}
	z := many[0]
	for _, m := range many[1:] {
		z = n.must(ops.Add(z, m))
	}
	n.outputs = G.Nodes{z}
	for _, grad := range grads {
		n.outputs = append(n.outputs, n.must(ops.Activate(grad, backend.Sigmoid)))
	}

	b := cpu.NewWith(kernel.Available()[0], 1)
	defer b.Close()
	m, err := New(n.g, n.outputs, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	want := n.runTape()
	for i, got := range n.read(m) {
		if e := backendtest.RelError(got, want[i]); !(e <= 1e-5) {
			t.Errorf("output %d: relative error %.2g", i, e)
		}
	}
}
