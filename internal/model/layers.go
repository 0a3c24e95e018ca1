package model

import (
	G "gorgonia.org/gorgonia"

	"effnet/internal/ops"
	"effnet/internal/scale"
)

// layerOps add a layer to a graph, on the results of its inputs.
var layerOps = map[scale.Op]func(*builder, scale.Layer, []*G.Node) (*G.Node, error){
	scale.Convolution: (*builder).convolution,
	scale.Depthwise:   (*builder).depthwise,
	scale.Normalise:   (*builder).normalise,
	scale.Activate:    (*builder).activate,
	scale.MaxPool:     (*builder).maxPool,
	scale.Mean:        func(_ *builder, _ scale.Layer, in []*G.Node) (*G.Node, error) { return ops.GlobalAvgPool(in[0]) },
	scale.Pointwise:   func(b *builder, l scale.Layer, in []*G.Node) (*G.Node, error) { return b.dense(l, Pointwise, in[0]) },
	scale.Dense:       func(b *builder, l scale.Layer, in []*G.Node) (*G.Node, error) { return b.dense(l, Linear, in[0]) },
	scale.Gate:        func(_ *builder, _ scale.Layer, in []*G.Node) (*G.Node, error) { return ops.ChannelScale(in[0], in[1]) },
	scale.Add:         (*builder).add,
}

func (b *builder) convolution(l scale.Layer, in []*G.Node) (*G.Node, error) {
	w := b.param(l, "weight", Conv, l.Kernel, l.Kernel, l.In, l.Out)
	return ops.Conv2D(in[0], w, l.Stride, paddings[b.arch.Padding])
}

func (b *builder) depthwise(l scale.Layer, in []*G.Node) (*G.Node, error) {
	w := b.param(l, "weight", Depthwise, l.Kernel, l.Kernel, l.Out)
	return ops.DepthwiseConv2D(in[0], w, l.Stride, paddings[b.arch.Padding])
}

func (b *builder) maxPool(l scale.Layer, in []*G.Node) (*G.Node, error) {
	return ops.MaxPool(in[0], l.Kernel, l.Stride, paddings[b.arch.Padding])
}

func (b *builder) activate(l scale.Layer, in []*G.Node) (*G.Node, error) {
	return ops.Activate(in[0], activations[l.Activation])
}

func (b *builder) dense(l scale.Layer, kind Kind, x *G.Node) (*G.Node, error) {
	w := b.param(l, "weight", kind, l.In, l.Out)
	return ops.Dense(x, w, b.param(l, "bias", Bias, l.Out))
}

// normalise normalises by the batch's statistics in training, unless they are frozen,
// and by the running ones elsewhere.
func (b *builder) normalise(l scale.Layer, in []*G.Node) (*G.Node, error) {
	x := in[0]
	gamma, beta := b.param(l, "weight", Scale, l.Out), b.param(l, "bias", Shift, l.Out)
	ofBatch := b.training && !b.frozen.norm(l)
	var stats *G.Node
	if ofBatch {
		stats = b.node(ops.BatchStats(x))
	} else {
		stats = b.input(l.Name+".running", 2, l.Out)
	}
	if b.err != nil {
		return nil, b.err
	}
	b.norms = append(b.norms, Norm{Name: l.Name, C: l.Out, Rows: x.Shape().TotalSize() / l.Out})
	b.stats = append(b.stats, stats)
	return ops.NormAct(x, stats, gamma, beta, b.arch.BNEps, activations[l.Activation], ofBatch)
}

// add adds a block's shortcut to its branch, which training may drop.
func (b *builder) add(l scale.Layer, in []*G.Node) (*G.Node, error) {
	if !b.training || l.Block.Survival >= 1 || b.frozen.layer(l) {
		return ops.Add(in[0], in[1])
	}
	return ops.ResidualAdd(in[0], in[1], b.step, l.Block.Survival, b.random())
}
