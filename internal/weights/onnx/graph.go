package onnx

import (
	"fmt"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
	"effnet/internal/scale"
)

const output = "logits"

// builder adds nodes and constants to a graph. After an error it adds nothing
// that matters.
type builder struct {
	arch         scale.Arch
	opt          Options
	lookup       *named.Lookup
	nodes        message // a graph's node fields
	initializers []initializer
	err          error
}

// value is the name of a map or a vector of the graph: [batch,channels,side,side],
// with side 1 after a mean.
type value string

// network is the whole graph: each layer's node or nodes.
func (b *builder) network(p checkpoint.Preprocess) {
	layers := b.arch.Layers()
	results := map[int]value{scale.Images: b.input(p)}
	for i, l := range layers {
		in := make([]value, len(l.Inputs))
		for k, n := range l.Inputs {
			in[k] = results[n]
		}
		switch l.Op {
		case scale.Convolution, scale.Depthwise: // is written with its normalisation
			results[i] = in[0]
		case scale.Normalise:
			x := b.convNorm(layers[l.Inputs[0]], l, in[0])
			results[i] = b.activate(l, x)
		default:
			results[i] = b.layer(l, in)
		}
	}
}

// layer adds a layer that is no convolution nor normalisation.
func (b *builder) layer(l scale.Layer, in []value) value {
	x := in[0]
	switch l.Op {
	case scale.Activate:
		return b.activate(l, x)
	case scale.MaxPool:
		return b.maxPool(l, x)
	case scale.Mean:
		return value(b.node("GlobalAveragePool", l.Name, inputs{string(x)}))
	case scale.Pointwise:
		return b.pointwise(l, x)
	case scale.Dense:
		return b.dense(l, x)
	case scale.Gate:
		return value(b.node("Mul", l.Name, inputs{string(x), string(in[1])}))
	case scale.Add:
		return value(b.node("Add", l.Name, inputs{string(x), string(in[1])}))
	}
	b.fail(fmt.Errorf("onnx: %s is an operation that has no node, %q", l.Name, l.Op))
	return x
}

// input is the normalised images.
func (b *builder) input(p checkpoint.Preprocess) value {
	name, _, _ := b.opt.input(b.arch.Resolution)
	if !b.opt.Preprocess {
		return value(name)
	}
	b.add(initializer{name: "mean", dims: []int{3}, data: toFloat32(p.Mean[:])})
	b.add(initializer{name: "std", dims: []int{3}, data: toFloat32(p.Std[:])})
	b.node("Cast", name+".float", inputs{name}, attribute{"to", float32Type})
	b.node("Sub", name+".centred", inputs{name + ".float", "mean"})
	b.node("Div", name+".normalised", inputs{name + ".centred", "std"})
	return value(b.node("Transpose", name+".nchw", inputs{name + ".normalised"}, attribute{"perm", []int{0, 3, 1, 2}}))
}

// pointwise is a 1x1 convolution with a bias.
func (b *builder) pointwise(l scale.Layer, x value) value {
	weights, bias := b.constants(l)
	return value(b.node("Conv", l.Name, inputs{string(x), weights, bias}, attribute{"kernel_shape", []int{1, 1}}))
}

// dense is the classifier, on the pooled map as a vector.
func (b *builder) dense(l scale.Layer, x value) value {
	weights, bias := b.constants(l)
	b.node("Flatten", "features", inputs{string(x)}, attribute{"axis", 1})
	return value(b.node("Gemm", output, inputs{"features", weights, bias}, attribute{"transB", 1}))
}

// constants adds a layer's weights and bias as they are.
func (b *builder) constants(l scale.Layer) (weights, bias string) {
	all := l.Tensors()
	for _, t := range all {
		b.constant(t.Name(), t.Shape...)
	}
	return all[0].Name(), all[1].Name()
}

// activate adds a layer's activation of x.
func (b *builder) activate(l scale.Layer, x value) value {
	name := string(x)
	switch l.Activation {
	case scale.Identity:
		return x
	case scale.Sigmoid:
		return value(b.node("Sigmoid", l.Name, inputs{name}))
	case scale.Swish:
		gate := b.node("Sigmoid", name+".sigmoid", inputs{name})
		return value(b.node("Mul", name+".swish", inputs{name, gate}))
	case scale.ReLU:
		return value(b.node("Relu", name+".relu", inputs{name}))
	case scale.HardSwish:
		return value(b.node("HardSwish", name+".hard-swish", inputs{name}))
	case scale.HardSigmoid: // min(max(alpha*x+beta, 0), 1)
		return value(b.node("HardSigmoid", l.Name, inputs{name}, attribute{"alpha", float32(1. / 6)}, attribute{"beta", float32(.5)}))
	case scale.ReLU6:
		return value(b.node("Clip", name+".relu6", inputs{name, b.scalar("zero", 0), b.scalar("six", 6)}))
	}
	b.fail(fmt.Errorf("onnx: %s has an unknown activation, %q", l.Name, l.Activation))
	return x
}

// convNorm is a convolution without bias and its batch normalisation, or one with
// bias that does both: the weights of a channel times gamma/sqrt(variance+eps),
// and a bias of beta less the mean times the same.
func (b *builder) convNorm(conv, norm scale.Layer, x value) value {
	groups := 1
	if conv.Op == scale.Depthwise {
		groups = conv.In
	}
	attributes := []attribute{
		{"kernel_shape", []int{conv.Kernel, conv.Kernel}}, {"strides", []int{conv.Stride, conv.Stride}}, {"pads", b.pads(conv)}, {"group", groups},
	}
	weights := conv.Tensors()[0]
	if b.opt.KeepBN {
		b.constant(weights.Name(), weights.Shape...)
		b.node("Conv", conv.Name, inputs{string(x), weights.Name()}, attributes...)
		all := norm.Tensors()
		in := append(make(inputs, 0, 1+len(all)), conv.Name)
		for _, t := range all {
			b.constant(t.Name(), t.Shape...)
			in = append(in, t.Name())
		}
		return value(b.node("BatchNormalization", norm.Name, in, attribute{"epsilon", float32(b.arch.BNEps)}))
	}
	factors, bias := b.fold(norm.Name, norm.Out)
	b.add(initializer{weights.Name(), weights.Shape, b.take(weights.Name(), weights.Shape...), factors})
	b.add(initializer{name: conv.Name + ".bias", dims: []int{conv.Out}, data: bias})
	return value(b.node("Conv", conv.Name, inputs{string(x), weights.Name(), conv.Name + ".bias"}, attributes...))
}

// maxPool is the largest value of each window; what pads the map is none.
func (b *builder) maxPool(l scale.Layer, x value) value {
	return value(b.node("MaxPool", l.Name, inputs{string(x)}, attribute{"kernel_shape", []int{l.Kernel, l.Kernel}},
		attribute{"strides", []int{l.Stride, l.Stride}}, attribute{"pads", b.pads(l)}))
}

// pads are the zeros around a map, [top,left,bottom,right]; see scale.Padding. ONNX's
// SAME_UPPER is the same as Same, but not every program that reads ONNX has it.
func (b *builder) pads(l scale.Layer) []int {
	before, after := (l.Kernel-1)/2, (l.Kernel-1)/2
	if b.arch.Padding == scale.Same {
		total := max((l.Side-1)*l.Stride+l.Kernel-l.From, 0)
		before, after = total/2, total-total/2
	}
	return []int{before, before, after, after}
}
