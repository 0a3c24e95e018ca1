package ops

import (
	"errors"
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"effnet/internal/backend"
)

// BatchStats gathers the mean and variance of each channel of x [...,C] over
// all else: [2,C], means first. The gradient through them is NormAct's.
func BatchStats(x *G.Node) (*G.Node, error) {
	if x.Dims() == 0 {
		return nil, errors.New("ops: BatchStats: the input is a scalar")
	}
	rows, c := rowsOf(x.Shape())
	return apply(Op{name: "BatchStats", spec: backend.BatchStats{Rows: rows, C: c}, shape: tensor.Shape{2, c}}, x)
}

// NormAct is batch normalisation with the activation inside:
// act(gamma*(x-mean)/sqrt(variance+eps) + beta), for x [...,C], stats [2,C],
// gamma and beta [C]. ofBatch says that stats are BatchStats of x, so that the
// gradient goes through them; otherwise they are constants. The backward pass
// recomputes everything from x.
func NormAct(x, stats, gamma, beta *G.Node, eps float64, act backend.Activation, ofBatch bool) (*G.Node, error) {
	if x.Dims() == 0 {
		return nil, errors.New("ops: NormAct: the input is a scalar")
	}
	rows, c := rowsOf(x.Shape())
	if stats.Shape().TotalSize() != 2*c || gamma.Shape().TotalSize() != c || beta.Shape().TotalSize() != c {
		return nil, fmt.Errorf("ops: NormAct: input %v does not fit stats %v, gamma %v and beta %v", x.Shape(), stats.Shape(), gamma.Shape(), beta.Shape())
	}
	s := backend.NormAct{Rows: rows, C: c, Eps: float32(eps), Act: act}
	return apply(Op{
		name: "NormAct", spec: s, shape: x.Shape(), diff: []bool{true, false, true, true},
		gradient: func(in G.Nodes, dy *G.Node) (G.Nodes, error) {
			x, stats, gamma, beta := in[0], in[1], in[2], in[3]
			sums, err := apply(Op{name: "NormActGradSums", spec: backend.NormActGradSums{NormAct: s}, shape: tensor.Shape{2, c}}, x, stats, gamma, beta, dy)
			if err != nil {
				return nil, err
			}
			g, err := nodes(
				later(Op{name: "NormActGradInput", spec: backend.NormActGradInput{NormAct: s, BatchStats: ofBatch}, shape: x.Shape()}, x, stats, gamma, beta, dy, sums),
				later(Op{name: "Row", shape: gamma.Shape(), isView: true, offset: c}, sums),
				later(Op{name: "Row", shape: beta.Shape(), isView: true, offset: 0}, sums),
			)
			if err != nil {
				return nil, err
			}
			return G.Nodes{g[0], nil, g[1], g[2]}, nil
		},
	}, x, stats, gamma, beta)
}

// Activate is act(x).
func Activate(x *G.Node, act backend.Activation) (*G.Node, error) {
	s := backend.Activate{N: x.Shape().TotalSize(), Act: act}
	return apply(Op{
		name: act.String(), spec: s, shape: x.Shape(), diff: []bool{true},
		gradient: func(in G.Nodes, dy *G.Node) (G.Nodes, error) {
			return nodes(later(Op{name: act.String() + "Grad", spec: backend.ActivateGrad{Activate: s}, shape: in[0].Shape()}, in[0], dy))
		},
	}, x)
}

// GlobalAvgPool is the mean over the pixels: x [N,H,W,C] to [N,C].
func GlobalAvgPool(x *G.Node) (*G.Node, error) {
	xs := x.Shape()
	if xs.Dims() != 4 {
		return nil, fmt.Errorf("ops: GlobalAvgPool: input %v is not [N,H,W,C]", xs)
	}
	s := backend.GlobalAvgPool{N: xs[0], Area: xs[1] * xs[2], C: xs[3]}
	return apply(Op{
		name: "GlobalAvgPool", spec: s, shape: tensor.Shape{xs[0], xs[3]}, diff: []bool{true},
		gradient: func(_ G.Nodes, dy *G.Node) (G.Nodes, error) {
			return nodes(later(Op{name: "GlobalAvgPoolGrad", spec: backend.GlobalAvgPoolGrad{GlobalAvgPool: s}, shape: xs}, dy))
		},
	}, x)
}

// MaxPool is the largest value of each channel that a window of kernel x kernel
// pixels meets: x [N,H,W,C] to [N,H',W',C], of a convolution's sizes. What pads the
// image is never the largest. The gradient goes to the first of equal values.
func MaxPool(x *G.Node, kernel, stride int, p Padding) (*G.Node, error) {
	xs := x.Shape()
	if xs.Dims() != 4 {
		return nil, fmt.Errorf("ops: MaxPool: input %v is not [N,H,W,C]", xs)
	}
	if stride < 1 || kernel < 1 {
		return nil, fmt.Errorf("ops: MaxPool: kernel %d, stride %d", kernel, stride)
	}
	s := backend.MaxPool{ConvShape: convShape(xs, xs[3], kernel, stride, p)}
	return apply(Op{
		name: "MaxPool", spec: s, shape: tensor.Shape{s.N, s.OutH, s.OutW, s.Out}, diff: []bool{true},
		gradient: func(in G.Nodes, dy *G.Node) (G.Nodes, error) {
			return nodes(later(Op{name: "MaxPoolGrad", spec: backend.MaxPoolGrad{MaxPool: s}, shape: xs}, in[0], dy))
		},
	}, x)
}

// ChannelScale multiplies each channel of each image: x [N,H,W,C] by s [N,C].
func ChannelScale(x, s *G.Node) (*G.Node, error) {
	xs := x.Shape()
	if xs.Dims() != 4 || !s.Shape().Eq(tensor.Shape{xs[0], xs[3]}) {
		return nil, fmt.Errorf("ops: ChannelScale: input %v does not fit scale %v", xs, s.Shape())
	}
	spec := backend.ChannelScale{N: xs[0], Area: xs[1] * xs[2], C: xs[3]}
	return apply(Op{
		name: "ChannelScale", spec: spec, shape: xs, diff: []bool{true, true},
		gradient: func(in G.Nodes, dy *G.Node) (G.Nodes, error) {
			return nodes(
				later(Op{name: "ChannelScale", spec: spec, shape: xs}, dy, in[1]),
				later(Op{name: "ChannelScaleGrad", spec: backend.ChannelScaleGrad{ChannelScale: spec}, shape: in[1].Shape()}, in[0], dy),
			)
		},
	}, x, s)
}

// rowsOf sees a shape [...,C] as rows of C values.
func rowsOf(s tensor.Shape) (rows, c int) {
	c = s[s.Dims()-1]
	return s.TotalSize() / c, c
}
