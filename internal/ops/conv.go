package ops

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"effnet/internal/backend"
)

// Padding is the rule that surrounds an image with zeros.
type Padding uint8

// The padding rules.
const (
	// Same is TensorFlow's: ceil(size/stride) outputs, the odd zero after.
	Same Padding = iota
	// Symmetric is PyTorch's with padding (kernel-1)/2.
	Symmetric
)

// pad returns the output size and the zeros before the image.
func (p Padding) pad(size, kernel, stride int) (out, before int) {
	if p == Symmetric {
		before = (kernel - 1) / 2
		return (size+2*before-kernel)/stride + 1, before
	}
	out = (size + stride - 1) / stride
	return out, max((out-1)*stride+kernel-size, 0) / 2
}

func convShape(x tensor.Shape, out, kernel, stride int, p Padding) backend.ConvShape {
	s := backend.ConvShape{N: x[0], H: x[1], W: x[2], In: x[3], Kernel: kernel, Stride: stride, Out: out}
	s.OutH, s.Top = p.pad(s.H, kernel, stride)
	s.OutW, s.Left = p.pad(s.W, kernel, stride)
	return s
}

// Conv2D convolves x [N,H,W,In] with w [K,K,In,Out] to [N,H',W',Out].
func Conv2D(x, w *G.Node, stride int, p Padding) (*G.Node, error) {
	xs, ws := x.Shape(), w.Shape()
	if xs.Dims() != 4 || ws.Dims() != 4 || ws[0] != ws[1] || ws[2] != xs[3] {
		return nil, fmt.Errorf("ops: Conv2D: input %v does not fit weight %v", xs, ws)
	}
	if stride < 1 {
		return nil, fmt.Errorf("ops: Conv2D: stride %d", stride)
	}
	if ws[0] == 1 && stride == 1 {
		rows := xs[0] * xs[1] * xs[2]
		return matMul("Conv1x1", backend.MatMul{M: rows, N: ws[3], K: ws[2]}, tensor.Shape{xs[0], xs[1], xs[2], ws[3]}, x, w)
	}
	s := convShape(xs, ws[3], ws[0], stride, p)
	return apply(Op{
		name: "Conv2D", spec: backend.Conv{ConvShape: s}, shape: tensor.Shape{s.N, s.OutH, s.OutW, s.Out},
		diff: []bool{true, true},
		gradient: func(in G.Nodes, dy *G.Node) (G.Nodes, error) {
			return nodes(
				later(Op{name: "Conv2DGradInput", spec: backend.ConvGradInput{ConvShape: s}, shape: xs}, dy, in[1]),
				later(Op{name: "Conv2DGradWeight", spec: backend.ConvGradWeight{ConvShape: s}, shape: ws}, in[0], dy),
			)
		},
	}, x, w)
}

// DepthwiseConv2D convolves every channel of x [N,H,W,C] with its filter of
// w [K,K,C] to [N,H',W',C].
func DepthwiseConv2D(x, w *G.Node, stride int, p Padding) (*G.Node, error) {
	xs, ws := x.Shape(), w.Shape()
	if xs.Dims() != 4 || ws.Dims() != 3 || ws[0] != ws[1] || ws[2] != xs[3] {
		return nil, fmt.Errorf("ops: DepthwiseConv2D: input %v does not fit weight %v", xs, ws)
	}
	if stride < 1 {
		return nil, fmt.Errorf("ops: DepthwiseConv2D: stride %d", stride)
	}
	s := convShape(xs, xs[3], ws[0], stride, p)
	return apply(Op{
		name: "DepthwiseConv2D", spec: backend.Depthwise{ConvShape: s}, shape: tensor.Shape{s.N, s.OutH, s.OutW, s.Out},
		diff: []bool{true, true},
		gradient: func(in G.Nodes, dy *G.Node) (G.Nodes, error) {
			return nodes(
				later(Op{name: "DepthwiseGradInput", spec: backend.DepthwiseGradInput{ConvShape: s}, shape: xs}, dy, in[1]),
				later(Op{name: "DepthwiseGradWeight", spec: backend.DepthwiseGradWeight{ConvShape: s}, shape: ws}, in[0], dy),
			)
		},
	}, x, w)
}

// Dense is x·w + b: x [N,In], w [In,Out], b [Out].
func Dense(x, w, b *G.Node) (*G.Node, error) {
	xs, ws := x.Shape(), w.Shape()
	if xs.Dims() != 2 || ws.Dims() != 2 || ws[0] != xs[1] || b.Shape().TotalSize() != ws[1] {
		return nil, fmt.Errorf("ops: Dense: input %v does not fit weight %v and bias %v", xs, ws, b.Shape())
	}
	return matMul("Dense", backend.MatMul{M: xs[0], N: ws[1], K: ws[0], Bias: true}, tensor.Shape{xs[0], ws[1]}, x, w, b)
}

// matMul applies a product of x seen as [M,K] and w as [K,N], with a bias if
// there is a third input.
func matMul(name string, s backend.MatMul, shape tensor.Shape, inputs ...*G.Node) (*G.Node, error) {
	diff := make([]bool, len(inputs))
	for i := range diff {
		diff[i] = true
	}
	return apply(Op{
		name: name, spec: s, shape: shape, diff: diff,
		gradient: func(in G.Nodes, dy *G.Node) (G.Nodes, error) {
			grads := []func() (*G.Node, error){
				later(Op{name: name + "GradInput", spec: backend.MatMul{M: s.M, N: s.K, K: s.N, TransB: true}, shape: in[0].Shape()}, dy, in[1]),
				later(Op{name: name + "GradWeight", spec: backend.MatMul{M: s.K, N: s.N, K: s.M, TransA: true}, shape: in[1].Shape()}, in[0], dy),
			}
			if s.Bias {
				grads = append(grads, later(Op{name: name + "GradBias", spec: backend.ColumnSum{Rows: s.M, Cols: s.N}, shape: in[2].Shape()}, dy))
			}
			return nodes(grads...)
		},
	}, inputs...)
}

// later is apply, later; nodes collects several and the first error.
func later(o Op, inputs ...*G.Node) func() (*G.Node, error) {
	return func() (*G.Node, error) { return apply(o, inputs...) }
}

func nodes(makers ...func() (*G.Node, error)) (G.Nodes, error) {
	var all G.Nodes
	for _, f := range makers {
		n, err := f()
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}
