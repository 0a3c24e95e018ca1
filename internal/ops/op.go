// Package ops holds the operations of an EfficientNet as Gorgonia ops: shape
// inference, gradients, and the backend Spec that computes each.
//
// Images are NHWC, float32. Weights are [KH,KW,In,Out] for a dense convolution,
// [KH,KW,C] for a depthwise one and [In,Out] for a dense layer, so that a 1x1
// convolution is a row-major matrix product.
package ops

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"slices"
	"sync/atomic"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"effnet/internal/backend"
)

// Op is a Gorgonia op that is one backend Spec, or a view of its input.
type Op struct {
	name  string
	id    uint64 // Gorgonia merges ops of equal hash, even when their inputs differ
	in    []int  // dimensions of each input; 0 is a scalar
	out   int    // dimensions of the output
	spec  backend.Spec
	shape tensor.Shape // of the output

	// gradient builds the gradient for each input, nil where diff is false;
	// an op without one is not differentiable.
	diff     []bool
	gradient func(in G.Nodes, grad *G.Node) (G.Nodes, error)

	isView bool // the output is the input's values from offset on
	offset int
}

var lastID atomic.Uint64

// apply makes an Op's node. The inputs' shapes are those the Spec was made from.
func apply(o Op, inputs ...*G.Node) (*G.Node, error) {
	o.id = lastID.Add(1)
	for _, n := range inputs {
		o.in = append(o.in, n.Dims())
	}
	o.out = o.shape.Dims()
	n, err := G.ApplyOp(&o, inputs...)
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", o.name, err)
	}
	if n.Op() != G.Op(&o) {
		return nil, fmt.Errorf("ops: %s: merged with another node of the same hash", o.name)
	}
	return n, nil
}

// Spec is the backend operation, its operands the inputs in order and then the
// output; nil for a view.
func (o *Op) Spec() backend.Spec { return o.spec }

// View reports whether the output is a part of the only input, and where in it.
func (o *Op) View() (offset int, ok bool) { return o.offset, o.isView }

// Do computes the op by its definition, backend.Reference. It is what Gorgonia's
// own machines run.
func (o *Op) Do(inputs ...G.Value) (G.Value, error) {
	operands := make([][]float32, 0, len(inputs)+1)
	for _, v := range inputs {
		switch d := v.Data().(type) {
		case []float32:
			operands = append(operands, d)
		case float32:
			operands = append(operands, []float32{d})
		default:
			return nil, fmt.Errorf("ops: %s: input of type %T, want float32", o.name, d)
		}
	}
	out := make([]float32, o.shape.TotalSize())
	if o.isView {
		copy(out, operands[0][o.offset:])
	} else if err := backend.Reference(o.spec, append(operands, out)); err != nil {
		return nil, fmt.Errorf("ops: %s: %w", o.name, err)
	}
	if o.out == 0 {
		return G.NewF32(out[0]), nil
	}
	return tensor.New(tensor.WithShape(o.shape...), tensor.WithBacking(out)), nil
}

// Arity implements gorgonia.Op.
func (o *Op) Arity() int { return len(o.in) }

// Type implements gorgonia.Op.
func (o *Op) Type() hm.Type {
	types := make([]hm.Type, 0, len(o.in)+1)
	for _, d := range append(slices.Clip(o.in), o.out) {
		if d == 0 {
			types = append(types, tensor.Float32)
		} else {
			types = append(types, G.TensorType{Dims: d, Of: tensor.Float32})
		}
	}
	return hm.NewFnType(types...)
}

// InferShape implements gorgonia.Op.
func (o *Op) InferShape(...G.DimSizer) (tensor.Shape, error) { return o.shape, nil }

// DiffWRT implements gorgonia.SDOp.
func (o *Op) DiffWRT(n int) []bool {
	if o.gradient == nil {
		return make([]bool, n)
	}
	return o.diff
}

// SymDiff implements gorgonia.SDOp.
func (o *Op) SymDiff(inputs G.Nodes, _, grad *G.Node) (G.Nodes, error) {
	if o.gradient == nil {
		return nil, fmt.Errorf("ops: %s has no gradient", o.name)
	}
	return o.gradient(inputs, grad)
}

// ReturnsPtr implements gorgonia.Op.
func (o *Op) ReturnsPtr() bool { return false }

// CallsExtern implements gorgonia.Op.
func (o *Op) CallsExtern() bool { return false }

// OverwritesInput implements gorgonia.Op.
func (o *Op) OverwritesInput() int { return -1 }

// WriteHash implements gorgonia.Op.
func (o *Op) WriteHash(h hash.Hash) {
	_, _ = h.Write([]byte(o.name))
	_ = binary.Write(h, binary.LittleEndian, o.id)
}

// Hashcode implements gorgonia.Op.
func (o *Op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *Op) String() string { return o.name }
