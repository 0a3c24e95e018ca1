package scale

import (
	"fmt"
	"slices"
)

// blockKinds are the kinds of Stage.Block.
var blockKinds = []blockKind{
	{MBConv, "MBConv", (*lister).mbconv},
	{Fused, "Fused-MBConv", (*lister).fused},
	{Separable, "Separable", (*lister).separable},
	{Bottleneck, "Bottleneck", (*lister).bottleneck},
}

// A blockKind is one of them.
type blockKind struct {
	name  string                // Stage.Block
	title string                // the papers' name
	add   func(*lister, *Block) // adds a block's layers, with the shortcut around them
}

// kindOf is the kind of a name, or the zero one.
func kindOf(name string) (k blockKind) {
	if i := slices.IndexFunc(blockKinds, func(k blockKind) bool { return k.name == name }); i >= 0 {
		k = blockKinds[i]
	}
	return k
}

// kindNames are the names of all.
func kindNames() (all []string) {
	for _, k := range blockKinds {
		all = append(all, k.name)
	}
	return all
}

// mbconv is a mobile inverted bottleneck: expand, filter, squeeze and excite, project.
// timm numbers the normalisations of blocks without an expansion from the filter's on.
func (l *lister) mbconv(b *Block) {
	name, begin, project, norms := b.Name()+".", l.here(), "conv_pw", 0
	normalise := func(act Activation) {
		norms++
		l.normalise(fmt.Sprintf("%sbn%d", name, norms), act)
	}
	if b.Expand {
		l.role = ExpandRole
		l.convolution(name+"conv_pw", 1, 1, b.Inner)
		normalise(b.Activation)
		project = "conv_pwl"
	}
	l.role = FilterRole
	l.depthwise(name+"conv_dw", b.Kernel, b.Stride)
	normalise(b.Activation)
	l.squeezeExcite(name+"se", b)
	l.role = ProjectRole
	l.convolution(name+project, 1, 1, b.Out)
	normalise(Identity)
	l.shortcut(b, begin)
}

// fused is EfficientNetV2's block: a whole convolution that expands and filters, and
// the projection; or without an expansion that convolution alone, which is then the
// projection. The names are timm's EdgeResidual's and ConvBnAct's.
func (l *lister) fused(b *Block) {
	name, begin := b.Name()+".", l.here()
	if b.Expand {
		l.role = ExpandRole
		l.convolution(name+"conv_exp", b.Kernel, b.Stride, b.Inner)
		l.normalise(name+"bn1", b.Activation)
		l.role = ProjectRole
		l.convolution(name+"conv_pwl", 1, 1, b.Out)
		l.normalise(name+"bn2", Identity)
	} else {
		l.role = ProjectRole
		l.convolution(name+"conv", b.Kernel, b.Stride, b.Out)
		l.normalise(name+"bn1", b.Activation)
	}
	l.shortcut(b, begin)
}

// separable is MobileNetV1's block: filter and project, both activated.
func (l *lister) separable(b *Block) {
	name, begin := b.Name()+".", l.here()
	l.role = FilterRole
	l.depthwise(name+"conv_dw", b.Kernel, b.Stride)
	l.normalise(name+"bn1", b.Activation)
	l.role = ProjectRole
	l.convolution(name+"conv_pw", 1, 1, b.Out)
	l.normalise(name+"bn2", b.Activation)
	l.shortcut(b, begin)
}

// bottleneck is ResNet's block: reduce, filter, restore, add, activate. The names
// within it are torchvision's.
func (l *lister) bottleneck(b *Block) {
	name, begin := b.Name()+".", l.here()
	l.role = ExpandRole
	l.convolution(name+"conv1", 1, 1, b.Inner)
	l.normalise(name+"bn1", b.Activation)
	l.role = FilterRole
	l.convolution(name+"conv2", b.Kernel, b.Stride, b.Inner)
	l.normalise(name+"bn2", b.Activation)
	l.role = ProjectRole
	l.convolution(name+"conv3", 1, 1, b.Out)
	l.normalise(name+"bn3", Identity)
	if b.Project {
		branch := l.here()
		l.to(begin)
		l.role = ShortcutRole
		l.convolution(name+"downsample.0", 1, b.Stride, b.Out)
		l.normalise(name+"downsample.1", Identity)
		begin = l.here()
		l.to(branch)
		l.role = ProjectRole
	}
	l.shortcut(b, begin)
	l.activate(name+"act3", b.Activation)
}

// squeezeExcite scales each channel by a gate computed from the channels' means (Hu et
// al., 2018). Without a width it is nothing.
func (l *lister) squeezeExcite(name string, b *Block) {
	if b.Squeeze == 0 {
		return
	}
	x := l.here()
	l.role = SqueezeRole
	l.mean(name + ".mean")
	l.add(Layer{Op: Pointwise, Name: name + ".conv_reduce", Out: b.Squeeze})
	l.activate(name+".act1", b.SE.Activation)
	l.role = ExciteRole
	l.add(Layer{Op: Pointwise, Name: name + ".conv_expand", Out: x.channels})
	l.activate(name+".gate", b.SE.Gate)
	gate := l.at
	l.to(x)
	l.add(Layer{Op: Gate, Name: name, Inputs: []int{x.at, gate}})
}

// shortcut adds what was there at the block's beginning, if the block has a shortcut.
func (l *lister) shortcut(b *Block, begin place) {
	if b.Residual {
		l.add(Layer{Op: Add, Name: b.Name(), Inputs: []int{l.at, begin.at}})
	}
}

// place is a point of the network from which layers can be added.
type place struct{ at, side, channels int }

func (l *lister) here() place { return place{l.at, l.side, l.channels} }

func (l *lister) to(p place) { l.at, l.side, l.channels = p.at, p.side, p.channels }
