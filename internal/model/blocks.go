package model

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"effnet/internal/backend"
	"effnet/internal/ops"
	"effnet/internal/scale"
)

// blocks are the kinds of scale.Stage.Block.
var blocks = map[string]func(*builder, scale.Block, *G.Node) *G.Node{
	scale.MBConv:     (*builder).mbconv,
	scale.Fused:      (*builder).fusedMBConv,
	scale.Separable:  (*builder).separable,
	scale.Bottleneck: (*builder).bottleneck,
}

func (b *builder) block(blk scale.Block, x *G.Node) *G.Node {
	build, ok := blocks[blk.Kind]
	if !ok && b.err == nil {
		b.err = fmt.Errorf("model: %s is of an unknown kind, %q", blk.Name(), blk.Kind)
	}
	if b.err != nil {
		return nil
	}
	return build(b, blk, x)
}

// mbconv is a mobile inverted bottleneck: expand, depthwise, squeeze and
// excite, project, and the way round. The names are timm's, whose blocks
// without an expansion number their normalisations from the depthwise one.
func (b *builder) mbconv(blk scale.Block, x *G.Node) *G.Node {
	act := activations[b.arch.Activation]
	name := blk.Name() + "."
	shortcut, project, bn := x, "conv_pw", 1
	norm := func(x *G.Node, act backend.Activation) *G.Node {
		bn++
		return b.norm(fmt.Sprintf("%sbn%d", name, bn-1), x, act)
	}
	if blk.Expand {
		x = b.conv(name+"conv_pw", x, 1, 1, blk.Inner)
		x = norm(x, act)
		project = "conv_pwl"
	}
	x = b.depthwise(name+"conv_dw", x, blk.Kernel, blk.Stride)
	x = norm(x, act)
	if blk.Squeeze > 0 {
		x = b.squeezeExcite(name+"se.", x, blk.Squeeze)
	}
	x = b.conv(name+project, x, 1, 1, blk.Out)
	x = norm(x, backend.Identity)
	return b.residual(blk, x, shortcut)
}

// fusedMBConv is EfficientNetV2's block: a whole convolution and the projection,
// or without an expansion that convolution alone. The names are timm's.
func (b *builder) fusedMBConv(blk scale.Block, x *G.Node) *G.Node {
	act, name, shortcut := activations[b.arch.Activation], blk.Name()+".", x
	if blk.Expand {
		x = b.conv(name+"conv_exp", x, blk.Kernel, blk.Stride, blk.Inner)
		x = b.norm(name+"bn1", x, act)
		x = b.conv(name+"conv_pwl", x, 1, 1, blk.Out)
		x = b.norm(name+"bn2", x, backend.Identity)
	} else {
		x = b.conv(name+"conv", x, blk.Kernel, blk.Stride, blk.Out)
		x = b.norm(name+"bn1", x, act)
	}
	return b.residual(blk, x, shortcut)
}

// separable is MobileNetV1's block: depthwise and 1x1, both activated. The names are
// timm's.
func (b *builder) separable(blk scale.Block, x *G.Node) *G.Node {
	act, name := activations[b.arch.Activation], blk.Name()+"."
	x = b.depthwise(name+"conv_dw", x, blk.Kernel, blk.Stride)
	x = b.norm(name+"bn1", x, act)
	x = b.conv(name+"conv_pw", x, 1, 1, blk.Out)
	return b.norm(name+"bn2", x, act)
}

// bottleneck is ResNet's block: reduce, filter, restore, add, activate. The names
// within the block are torchvision's.
func (b *builder) bottleneck(blk scale.Block, x *G.Node) *G.Node {
	act, name, shortcut := activations[b.arch.Activation], blk.Name()+".", x
	x = b.conv(name+"conv1", x, 1, 1, blk.Inner)
	x = b.norm(name+"bn1", x, act)
	x = b.conv(name+"conv2", x, blk.Kernel, blk.Stride, blk.Inner)
	x = b.norm(name+"bn2", x, act)
	x = b.conv(name+"conv3", x, 1, 1, blk.Out)
	x = b.norm(name+"bn3", x, backend.Identity)
	if blk.Project {
		shortcut = b.conv(name+"downsample.0", shortcut, 1, blk.Stride, blk.Out)
		shortcut = b.norm(name+"downsample.1", shortcut, backend.Identity)
	}
	return b.activate(b.residual(blk, x, shortcut), act)
}

// residual adds the shortcut to a block's branch, if the block has one; training may
// drop the branch.
func (b *builder) residual(blk scale.Block, x, shortcut *G.Node) *G.Node {
	if !blk.Residual {
		return x
	}
	if !b.training || blk.Survival >= 1 || b.frozen.layer(blk.Name()+".") {
		return b.do(func() (*G.Node, error) { return ops.Add(x, shortcut) })
	}
	random := b.random()
	return b.do(func() (*G.Node, error) { return ops.ResidualAdd(x, shortcut, b.step, blk.Survival, random) })
}

// squeezeExcite scales each channel by a gate computed from the channels'
// means (Hu et al., 2018).
func (b *builder) squeezeExcite(name string, x *G.Node, squeeze int) *G.Node {
	s := b.do(func() (*G.Node, error) { return ops.GlobalAvgPool(x) })
	s = b.dense(name+"conv_reduce", Pointwise, s, squeeze)
	s = b.activate(s, activations[b.arch.Activation])
	if b.err != nil {
		return nil
	}
	s = b.dense(name+"conv_expand", Pointwise, s, x.Shape()[3])
	s = b.activate(s, backend.Sigmoid)
	return b.do(func() (*G.Node, error) { return ops.ChannelScale(x, s) })
}
