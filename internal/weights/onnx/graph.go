package onnx

import (
	"fmt"

	"effnet/internal/checkpoint"
	"effnet/internal/scale"
)

const output = "logits"

// builder adds nodes and constants to a graph. After an error it adds nothing
// that matters.
type builder struct {
	arch         scale.Arch
	opt          Options
	lookup       *checkpoint.Lookup
	nodes        message // a graph's node fields
	initializers []initializer
	err          error
}

// value is a map or a vector of the graph: [batch,channels,side,side], with side 1
// after a mean.
type value struct {
	name     string
	channels int
	side     int
}

// network is the whole graph, as internal/model's graph.go has it.
func (b *builder) network(p checkpoint.Preprocess) {
	x := b.input(p)
	x = b.activate(b.convNorm("conv_stem", "bn1", x, filter{kernel: b.arch.StemSide(), stride: 2, out: b.arch.Stem}))
	if b.arch.StemPool {
		x = b.maxPool("stem_pool", x, filter{kernel: 3, stride: 2})
	}
	for _, block := range b.arch.Blocks() {
		x = b.block(block, x)
	}
	if b.arch.Head > 0 {
		x = b.activate(b.convNorm("conv_head", "bn2", x, filter{kernel: 1, stride: 1, out: b.arch.Head}))
	}
	b.node("GlobalAveragePool", "pool", in{x.name})
	b.node("Flatten", "features", in{"pool"}, attribute{"axis", 1})
	b.constant("classifier.weight", b.arch.Classes, b.arch.Features())
	b.constant("classifier.bias", b.arch.Classes)
	b.node("Gemm", output, in{"features", "classifier.weight", "classifier.bias"}, attribute{"transB", 1})
}

// input is the normalised images.
func (b *builder) input(p checkpoint.Preprocess) value {
	name, _, _ := b.opt.input(b.arch.Resolution)
	x := value{name, 3, b.arch.Resolution}
	if !b.opt.Preprocess {
		return x
	}
	b.add(initializer{name: "mean", dims: []int{3}, data: toFloat32(p.Mean[:])})
	b.add(initializer{name: "std", dims: []int{3}, data: toFloat32(p.Std[:])})
	b.node("Cast", name+".float", in{name}, attribute{"to", float32Type})
	b.node("Sub", name+".centred", in{name + ".float", "mean"})
	b.node("Div", name+".normalised", in{name + ".centred", "std"})
	x.name = b.node("Transpose", name+".nchw", in{name + ".normalised"}, attribute{"perm", []int{0, 3, 1, 2}})
	return x
}

// blocks are the kinds of scale.Stage.Block.
var blocks = map[string]func(b *builder, name string, blk scale.Block, x value) value{
	scale.MBConv:     (*builder).mbconv,
	scale.Fused:      (*builder).fused,
	scale.Separable:  (*builder).separable,
	scale.Bottleneck: (*builder).bottleneck,
}

// block is one block, with the shortcut around it.
func (b *builder) block(blk scale.Block, x value) value {
	kind := b.arch.Stages[blk.Stage].Block
	build, ok := blocks[kind]
	if !ok {
		b.fail(fmt.Errorf("onnx: %s has a block of an unknown kind, %q", b.arch.Name, kind))
		return x
	}
	name := fmt.Sprintf("blocks.%d.%d", blk.Stage, blk.Index)
	y := build(b, name+".", blk, x)
	if blk.Project {
		x = b.convNorm(name+".downsample.0", name+".downsample.1", x, filter{kernel: 1, stride: blk.Stride, out: blk.Out})
	}
	if blk.Residual {
		y.name = b.node("Add", name, in{y.name, x.name})
	}
	if kind == scale.Bottleneck {
		y = b.activate(y)
	}
	return y
}

// mbconv is expand, depthwise, squeeze and excite, project. timm numbers the
// normalisations of blocks without an expansion from the depthwise one.
func (b *builder) mbconv(name string, blk scale.Block, x value) value {
	dw, project := "bn1", [2]string{"conv_pw", "bn2"}
	if blk.Expand {
		x = b.activate(b.convNorm(name+"conv_pw", name+"bn1", x, filter{kernel: 1, stride: 1, out: blk.Inner}))
		dw, project = "bn2", [2]string{"conv_pwl", "bn3"}
	}
	x = b.activate(b.convNorm(name+"conv_dw", name+dw, x, filter{blk.Kernel, blk.Stride, blk.Inner, true}))
	x = b.squeezeExcite(name+"se", x, blk.Squeeze)
	return b.convNorm(name+project[0], name+project[1], x, filter{kernel: 1, stride: 1, out: blk.Out})
}

// fused is EfficientNetV2's block (Tan & Le, 2021, figure 2), whose first
// convolution expands and filters: timm's EdgeResidual, or ConvBnAct where nothing
// is expanded.
func (b *builder) fused(name string, blk scale.Block, x value) value {
	if !blk.Expand {
		return b.activate(b.convNorm(name+"conv", name+"bn1", x, filter{kernel: blk.Kernel, stride: blk.Stride, out: blk.Out}))
	}
	x = b.activate(b.convNorm(name+"conv_exp", name+"bn1", x, filter{kernel: blk.Kernel, stride: blk.Stride, out: blk.Inner}))
	x = b.squeezeExcite(name+"se", x, blk.Squeeze)
	return b.convNorm(name+"conv_pwl", name+"bn2", x, filter{kernel: 1, stride: 1, out: blk.Out})
}

// separable is MobileNetV1's block.
func (b *builder) separable(name string, blk scale.Block, x value) value {
	x = b.activate(b.convNorm(name+"conv_dw", name+"bn1", x, filter{blk.Kernel, blk.Stride, blk.In, true}))
	return b.activate(b.convNorm(name+"conv_pw", name+"bn2", x, filter{kernel: 1, stride: 1, out: blk.Out}))
}

// bottleneck is ResNet's block up to the addition.
func (b *builder) bottleneck(name string, blk scale.Block, x value) value {
	x = b.activate(b.convNorm(name+"conv1", name+"bn1", x, filter{kernel: 1, stride: 1, out: blk.Inner}))
	x = b.activate(b.convNorm(name+"conv2", name+"bn2", x, filter{kernel: blk.Kernel, stride: blk.Stride, out: blk.Inner}))
	return b.convNorm(name+"conv3", name+"bn3", x, filter{kernel: 1, stride: 1, out: blk.Out})
}

// squeezeExcite scales each channel by a gate computed from the channels' means.
// Without a squeeze it is nothing.
func (b *builder) squeezeExcite(name string, x value, squeeze int) value {
	if squeeze == 0 {
		return x
	}
	s := value{b.node("GlobalAveragePool", name+".mean", in{x.name}), x.channels, 1}
	s = b.activate(b.pointwise(name+".conv_reduce", s, squeeze))
	s = b.pointwise(name+".conv_expand", s, x.channels)
	s.name = b.node("Sigmoid", name+".gate", in{s.name})
	x.name = b.node("Mul", name, in{x.name, s.name})
	return x
}

// pointwise is a 1x1 convolution with a bias.
func (b *builder) pointwise(name string, x value, out int) value {
	b.constant(name+".weight", out, x.channels, 1, 1)
	b.constant(name+".bias", out)
	x.name = b.node("Conv", name, in{x.name, name + ".weight", name + ".bias"}, attribute{"kernel_shape", []int{1, 1}})
	x.channels = out
	return x
}

func (b *builder) activate(x value) value {
	switch b.arch.Activation {
	case scale.Swish:
		gate := b.node("Sigmoid", x.name+".sigmoid", in{x.name})
		x.name = b.node("Mul", x.name+".swish", in{x.name, gate})
	case scale.ReLU:
		x.name = b.node("Relu", x.name+".relu", in{x.name})
	case scale.ReLU6:
		x.name = b.node("Clip", x.name+".relu6", in{x.name, b.scalar("zero", 0), b.scalar("six", 6)})
	default:
		b.fail(fmt.Errorf("onnx: %s has an unknown activation, %q", b.arch.Name, b.arch.Activation))
	}
	return x
}

// filter is a convolution's shape.
type filter struct {
	kernel, stride, out int
	depthwise           bool
}

// convNorm is a convolution without bias and its batch normalisation, or one with
// bias that does both: the weights of a channel times gamma/sqrt(variance+eps),
// and a bias of beta less the mean times the same.
func (b *builder) convNorm(conv, norm string, x value, f filter) value {
	groups := 1
	if f.depthwise {
		groups = x.channels
	}
	pads, side := b.pads(x.side, f)
	attributes := []attribute{
		{"kernel_shape", []int{f.kernel, f.kernel}}, {"strides", []int{f.stride, f.stride}}, {"pads", pads}, {"group", groups},
	}
	dims := []int{f.out, x.channels / groups, f.kernel, f.kernel}
	y := value{conv, f.out, side}
	if b.opt.KeepBN {
		b.constant(conv+".weight", dims...)
		b.node("Conv", conv, in{x.name, conv + ".weight"}, attributes...)
		inputs := in{conv, norm + ".weight", norm + ".bias", norm + ".running_mean", norm + ".running_var"}
		for _, name := range inputs[1:] {
			b.constant(name, f.out)
		}
		y.name = b.node("BatchNormalization", norm, inputs, attribute{"epsilon", float32(b.arch.BNEps)})
		return y
	}
	factors, bias := b.fold(norm, f.out)
	b.add(initializer{conv + ".weight", dims, b.take(conv+".weight", dims...), factors})
	b.add(initializer{name: conv + ".bias", dims: []int{f.out}, data: bias})
	b.node("Conv", conv, in{x.name, conv + ".weight", conv + ".bias"}, attributes...)
	return y
}

// maxPool is the largest value of each window; what pads the map is none.
func (b *builder) maxPool(name string, x value, f filter) value {
	pads, side := b.pads(x.side, f)
	x.name = b.node("MaxPool", name, in{x.name}, attribute{"kernel_shape", []int{f.kernel, f.kernel}},
		attribute{"strides", []int{f.stride, f.stride}}, attribute{"pads", pads})
	x.side = side
	return x
}

// pads are the zeros around a map, [top,left,bottom,right], and the side of the
// result; see scale.Padding. ONNX's SAME_UPPER is the same as Same, but not every
// program that reads ONNX has it.
func (b *builder) pads(side int, f filter) (pads []int, out int) {
	out = (side + f.stride - 1) / f.stride
	before, after := (f.kernel-1)/2, (f.kernel-1)/2
	if b.arch.Padding == scale.Same {
		total := max((out-1)*f.stride+f.kernel-side, 0)
		before, after = total/2, total-total/2
	}
	return []int{before, before, after, after}, out
}
