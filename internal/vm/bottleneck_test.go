package vm

import (
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/ops"
)

// bottleneckNet is a stem with a max pool, two ResNet blocks, the first with a
// convolution in its shortcut, and a classifier: in training, where branches are
// dropped, or in evaluation.
func bottleneckNet(t *testing.T, training bool) *net {
	n := &net{T: t, g: G.NewGraph(), r: rand.New(rand.NewPCG(1, 6))}
	norm := n.frozen
	if training {
		norm = n.norm
	}
	conv := func(x *G.Node, kernel, stride, out int) *G.Node {
		return n.must(ops.Conv2D(x, n.param(0, kernel, kernel, x.Shape()[3], out), stride, ops.Symmetric))
	}
	x := n.input("images", 0, 6, 25, 21, 3)
	step := n.input("step", 0, 2)
	copy(step.Value().Data().([]float32), []float32{5, 1})
	x = norm(conv(x, 7, 2, 8), backend.ReLU)
	x = n.must(ops.MaxPool(x, 3, 2, ops.Symmetric))
	for i, stride := range []int{2, 1} {
		y := norm(conv(x, 1, 1, 4), backend.ReLU)
		y = norm(conv(y, 3, stride, 4), backend.ReLU)
		y = norm(conv(y, 1, 1, 16), backend.Identity)
		if stride > 1 {
			x = norm(conv(x, 1, stride, 16), backend.Identity)
		}
		if training {
			x = n.must(ops.ResidualAdd(y, x, step, .6, backend.Random{Seed: 4, Layer: uint32(i)}))
		} else {
			x = n.must(ops.Add(y, x))
		}
		x = n.must(ops.Activate(x, backend.ReLU))
	}
	logits := n.must(ops.Dense(n.must(ops.GlobalAvgPool(x)), n.param(0, 16, 5), n.param(0, 5)))
	n.outputs = G.Nodes{logits}
	if !training {
		return n
	}
	targets := n.input("targets", .7, 6, 5)
	loss := n.must(ops.SoftmaxCrossEntropy(logits, targets))
	grads, err := G.Grad(loss, n.params...)
	if err != nil {
		t.Fatal(err)
	}
	n.outputs = append(append(n.outputs, loss), grads...)
	return n
}

// Gorgonia's machine is the oracle of the values and of every gradient.
func TestBottlenecksAgainstTapeMachine(t *testing.T) {
	for _, training := range []bool{false, true} {
		want := bottleneckNet(t, training).runTape()
		for _, set := range kernel.Available() {
			n := bottleneckNet(t, training)
			b := cpu.NewWith(set, 2)
			defer b.Close()
			m, err := New(n.g, n.outputs, b, n.inputViews(b))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second run finds the first one's values in its memory
				if err := m.RunAll(); err != nil {
					t.Fatal(err)
				}
				for i, got := range n.read(m) {
					if e := backendtest.RelError(got, want[i]); !(e <= 1e-4) {
						t.Errorf("%s, training %t: output %d: relative error %.2g", set.Name, training, i, e)
					}
				}
			}
		}
	}
}
