package vm

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/ops"
)

// frozen is a normalisation by statistics that are an input.
func (n *net) frozen(x *G.Node, act backend.Activation) *G.Node {
	c := x.Shape()[x.Dims()-1]
	return n.must(ops.NormAct(x, n.input(fmt.Sprint("running", len(n.inputs)), 1, 2, c), n.param(1, c), n.param(0, c), 1e-3, act, false))
}

// evalNet is a network in evaluation: a stem, a block without and one with an
// expansion, both with squeeze-and-excitation, a dense convolution and a head. watched makes the
// values in the middle of what is folded outputs too.
func evalNet(t *testing.T, watched bool) *net {
	n := &net{T: t, g: G.NewGraph(), r: rand.New(rand.NewPCG(1, 4))}
	watch := func(x *G.Node) *G.Node {
		if watched {
			n.outputs = append(n.outputs, x)
		}
		return x
	}
	excite := func(x *G.Node, gate backend.Activation) *G.Node {
		c := x.Shape()[3]
		s := watch(n.must(ops.GlobalAvgPool(x)))
		s = watch(n.must(ops.Activate(n.must(ops.Dense(s, n.param(0, c, 3), n.param(0, 3))), backend.Swish)))
		s = n.must(ops.Activate(n.must(ops.Dense(s, n.param(0, 3, c), n.param(0, c))), gate))
		return watch(n.must(ops.ChannelScale(x, s)))
	}
	x := n.input("images", 0, 3, 11, 9, 3)
	x = n.frozen(watch(n.must(ops.Conv2D(x, n.param(0, 3, 3, 3, 8), 2, ops.Same))), backend.Swish)
	x = n.frozen(n.must(ops.DepthwiseConv2D(x, n.param(0, 3, 3, 8), 1, ops.Same)), backend.Swish)
	x = excite(x, backend.Sigmoid)
	x = n.frozen(n.must(ops.Conv2D(x, n.param(0, 1, 1, 8, 10), 1, ops.Same)), backend.Identity)
	shortcut := x
	x = watch(n.frozen(n.must(ops.Conv2D(x, n.param(0, 1, 1, 10, 20), 1, ops.Same)), backend.ReLU6))
	x = n.frozen(watch(n.must(ops.DepthwiseConv2D(x, n.param(0, 5, 5, 20), 1, ops.Symmetric))), backend.HardSwish)
	x = excite(x, backend.HardSigmoid)
	x = watch(n.frozen(watch(n.must(ops.Conv2D(x, n.param(0, 1, 1, 20, 10), 1, ops.Same))), backend.Identity))
	x = n.must(ops.Add(shortcut, x))
	x = n.frozen(watch(n.must(ops.Conv2D(x, n.param(0, 3, 3, 10, 10), 2, ops.Same))), backend.Swish)
	x = watch(n.frozen(n.must(ops.Conv2D(x, n.param(0, 1, 1, 10, 30), 1, ops.Same)), backend.Swish))
	x = n.must(ops.GlobalAvgPool(x))
	n.outputs = append(n.outputs, n.must(ops.Dense(x, n.param(0, 30, 5), n.param(0, 5))))
	return n
}

// Folded or, where something else needs what a folded step would hide, not, the
// network computes what Gorgonia's machine does.
func TestFold(t *testing.T) {
	for _, watched := range []bool{false, true} {
		want := evalNet(t, watched).runTape()
		for _, set := range kernel.Available() {
			n := evalNet(t, watched)
			b := cpu.NewWith(set, 2)
			defer b.Close()
			m, err := New(n.g, n.outputs, b, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.RunAll(); err != nil {
				t.Fatal(err)
			}
			for i, got := range n.read(m) {
				if e := backendtest.RelError(got, want[i]); !(e <= 1e-5) {
					t.Errorf("%s, watched %t: output %d: relative error %.2g", set.Name, watched, i, e)
				}
			}
			var names []string
			for _, s := range m.Specs() {
				names = append(names, reflect.TypeOf(s).Name())
			}
			folded := []string{
				"FoldedDepthwise", "SqueezeExcite", "FoldedMatMul",
				"FoldedDepthwise", "SqueezeExcite", "FoldedMatMul", "FoldedConv", "FoldedMatMul", "Linear",
			}
			if slices.Equal(names, folded) == watched {
				t.Errorf("%s, watched %t: Specs %v", set.Name, watched, names)
			}
		}
	}
}

// Prepare takes weights that have changed; RunPrepared does not look.
func TestPrepare(t *testing.T) {
	n := evalNet(t, false)
	b := cpu.NewWith(kernel.Available()[0], 1)
	defer b.Close()
	bind := n.inputViews(b)
	m, err := New(n.g, n.outputs, b, bind)
	if err != nil {
		t.Fatal(err)
	}
	run := func(f func() error) [][]float32 {
		if err := f(); err != nil {
			t.Fatal(err)
		}
		return n.read(m)
	}
	first := run(m.RunAll)
	w := n.params[0]
	if err := b.Upload(bind[w], make([]float32, w.Shape().TotalSize())); err != nil {
		t.Fatal(err)
	}
	if !sameBits(run(m.RunPrepared), first) {
		t.Error("RunPrepared sees other weights")
	}
	if sameBits(run(m.RunAll), first) {
		t.Error("RunAll does not see other weights")
	}
}
