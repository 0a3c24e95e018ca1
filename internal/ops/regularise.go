package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"effnet/internal/backend"
)

// Add is a + b, of one shape.
func Add(a, b *G.Node) (*G.Node, error) {
	if !a.Shape().Eq(b.Shape()) {
		return nil, fmt.Errorf("ops: Add: %v and %v differ", a.Shape(), b.Shape())
	}
	return apply(Op{
		name: "Add", spec: backend.Add{N: a.Shape().TotalSize()}, shape: a.Shape(), diff: []bool{true, true},
		gradient: func(_ G.Nodes, dy *G.Node) (G.Nodes, error) { return G.Nodes{dy, dy}, nil },
	}, a, b)
}

// ResidualAdd is shortcut + x with stochastic depth (Huang et al., 2016): an
// image keeps its x, divided by survival, with that probability and loses it
// otherwise. x and shortcut are [N,...]; step [2] is the training step (see
// backend.StepValues).
func ResidualAdd(x, shortcut, step *G.Node, survival float64, random backend.Random) (*G.Node, error) {
	xs := x.Shape()
	if !xs.Eq(shortcut.Shape()) {
		return nil, fmt.Errorf("ops: ResidualAdd: %v and %v differ", xs, shortcut.Shape())
	}
	if xs.Dims() == 0 || step.Shape().TotalSize() != 2 {
		return nil, fmt.Errorf("ops: ResidualAdd: input %v does not fit step %v", xs, step.Shape())
	}
	s := backend.DropPath{Random: random, N: xs[0], Size: xs.TotalSize() / xs[0], Survival: float32(survival)}
	return apply(Op{
		name: "ResidualAdd", spec: backend.ResidualAdd{DropPath: s}, shape: xs, diff: []bool{true, true, false},
		gradient: func(in G.Nodes, dy *G.Node) (G.Nodes, error) {
			dx, err := apply(Op{name: "DropPath", spec: s, shape: xs}, dy, in[2])
			return G.Nodes{dx, dy, nil}, err
		},
	}, x, shortcut, step)
}

// Dropout drops each value with probability p and divides the others by 1-p.
// step is ResidualAdd's.
func Dropout(x, step *G.Node, p float64, random backend.Random) (*G.Node, error) {
	if step.Shape().TotalSize() != 2 {
		return nil, fmt.Errorf("ops: Dropout: step %v is not [2]", step.Shape())
	}
	s := backend.Dropout{Random: random, N: x.Shape().TotalSize(), P: float32(p)}
	return apply(Op{
		name: "Dropout", spec: s, shape: x.Shape(), diff: []bool{true, false},
		gradient: func(in G.Nodes, dy *G.Node) (G.Nodes, error) {
			dx, err := apply(Op{name: "DropoutGrad", spec: s, shape: dy.Shape()}, dy, in[1])
			return G.Nodes{dx, nil}, err
		},
	}, x, step)
}

// SoftmaxCrossEntropy is the mean over the rows of logits [N,K] of the cross
// entropy with targets [N,K], rows of any sum: a scalar.
func SoftmaxCrossEntropy(logits, targets *G.Node) (*G.Node, error) {
	ls := logits.Shape()
	if ls.Dims() != 2 || !ls.Eq(targets.Shape()) {
		return nil, fmt.Errorf("ops: SoftmaxCrossEntropy: logits %v do not fit targets %v", ls, targets.Shape())
	}
	s := backend.SoftmaxCrossEntropy{N: ls[0], K: ls[1]}
	return apply(Op{
		name: "SoftmaxCrossEntropy", spec: s, shape: tensor.ScalarShape(), diff: []bool{true, false},
		gradient: func(in G.Nodes, dy *G.Node) (G.Nodes, error) {
			dx, err := apply(Op{name: "SoftmaxCrossEntropyGrad", spec: backend.SoftmaxCrossEntropyGrad{SoftmaxCrossEntropy: s}, shape: ls}, in[0], in[1], dy)
			return G.Nodes{dx, nil}, err
		},
	}, logits, targets)
}
