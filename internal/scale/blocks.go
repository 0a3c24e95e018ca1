package scale

import "slices"

// blockKinds are the kinds of Stage.Block.
var blockKinds = []blockKind{
	{name: MBConv, short: "ir", title: "MBConv", add: (*lister).mbconv, squeezes: true},
	{name: Fused, short: "er", title: "Fused-MBConv", add: (*lister).fused},
	{name: Separable, short: "ds", title: "Separable", add: (*lister).separable, expansion: noExpansion, shortcut: noShortcut},
	{name: Bottleneck, short: "bt", title: "Bottleneck", add: (*lister).bottleneck, expansion: divides, shortcut: projected},
}

// A blockKind is one of them.
type blockKind struct {
	name      string                // Stage.Block
	title     string                // the papers' name
	short     string                // in block strings, see Arch.BlockText
	add       func(*lister, *Block) // adds a block's layers, with the shortcut around them
	expansion expansion
	shortcut  shortcut
	squeezes  bool // may have squeeze-and-excitation
}

// expansion is what a kind of block makes of Stage.Expansion.
type expansion int

const (
	multiplies  expansion = iota // its input's channels are multiplied by it
	divides                      // its output's channels are divided by it, which is whole
	noExpansion                  // it is 1
)

// shortcut is where a kind of block adds its input to its output.
type shortcut int

const (
	whereAlike shortcut = iota // where both have the same shape
	projected                  // everywhere, where the shapes differ through a 1x1 convolution
	noShortcut                 // nowhere
)

// kindOf is the kind of a name, or the zero one.
func kindOf(name string) (k blockKind) {
	if i := slices.IndexFunc(blockKinds, func(k blockKind) bool { return k.name == name }); i >= 0 {
		k = blockKinds[i]
	}
	return k
}

// BlockKinds are the names of all kinds of blocks.
func BlockKinds() (all []string) {
	for _, k := range blockKinds {
		all = append(all, k.name)
	}
	return all
}

// mbconv is a mobile inverted bottleneck: expand, filter, squeeze and excite, project.
// timm numbers the normalisations of blocks without an expansion from the filter's on.
func (l *lister) mbconv(b *Block) {
	begin, project, norms := l.here(), "conv_pw", []string{"bn1", "bn2", "bn3"}
	normalise := func(act Activation) {
		l.normalise(norms[0], act)
		norms = norms[1:]
	}
	if b.Expand {
		l.role = ExpandRole
		l.convolution("conv_pw", 1, 1, b.Inner)
		normalise(b.Activation)
		project = "conv_pwl"
	}
	l.role = FilterRole
	l.depthwise("conv_dw", b.Kernel, b.Stride)
	normalise(b.Activation)
	l.squeezeExcite(b)
	l.role = ProjectRole
	l.convolution(project, 1, 1, b.Out)
	normalise(Identity)
	l.shortcut(b, begin)
}

// fused is EfficientNetV2's block: a whole convolution that expands and filters, and
// the projection; or without an expansion that convolution alone, which is then the
// projection. The names are timm's EdgeResidual's and ConvBnAct's.
func (l *lister) fused(b *Block) {
	begin := l.here()
	if b.Expand {
		l.role = ExpandRole
		l.convolution("conv_exp", b.Kernel, b.Stride, b.Inner)
		l.normalise("bn1", b.Activation)
		l.role = ProjectRole
		l.convolution("conv_pwl", 1, 1, b.Out)
		l.normalise("bn2", Identity)
	} else {
		l.role = ProjectRole
		l.convolution("conv", b.Kernel, b.Stride, b.Out)
		l.normalise("bn1", b.Activation)
	}
	l.shortcut(b, begin)
}

// separable is MobileNetV1's block: filter and project, both activated.
func (l *lister) separable(b *Block) {
	begin := l.here()
	l.role = FilterRole
	l.depthwise("conv_dw", b.Kernel, b.Stride)
	l.normalise("bn1", b.Activation)
	l.role = ProjectRole
	l.convolution("conv_pw", 1, 1, b.Out)
	l.normalise("bn2", b.Activation)
	l.shortcut(b, begin)
}

// bottleneck is ResNet's block: reduce, filter, restore, add, activate. The names
// within it are torchvision's.
func (l *lister) bottleneck(b *Block) {
	begin := l.here()
	l.role = ExpandRole
	l.convolution("conv1", 1, 1, b.Inner)
	l.normalise("bn1", b.Activation)
	l.role = FilterRole
	l.convolution("conv2", b.Kernel, b.Stride, b.Inner)
	l.normalise("bn2", b.Activation)
	l.role = ProjectRole
	l.convolution("conv3", 1, 1, b.Out)
	l.normalise("bn3", Identity)
	l.shortcut(b, begin)
	l.activate("act3", b.Activation)
}

// squeezeExcite scales each channel by a gate computed from the channels' means (Hu et
// al., 2018). Without a width it is nothing.
func (l *lister) squeezeExcite(b *Block) {
	if b.Squeeze == 0 {
		return
	}
	x := l.here()
	l.role = SqueezeRole
	l.mean("se.mean")
	l.add(Layer{Op: Pointwise, Name: "se.conv_reduce", Out: b.Squeeze})
	l.activate("se.act1", b.SE.Activation)
	l.role = ExciteRole
	l.add(Layer{Op: Pointwise, Name: "se.conv_expand", Out: x.channels})
	l.activate("se.gate", b.SE.Gate)
	gate := l.at
	l.to(x)
	l.add(Layer{Op: Gate, Name: "se", Inputs: []int{x.at, gate}})
}

// shortcut adds what was there at the block's beginning, if the block has a shortcut, as
// it is or brought to the output's shape. The names are torchvision's.
func (l *lister) shortcut(b *Block, begin place) {
	if b.Project {
		branch, role := l.here(), l.role
		l.to(begin)
		l.role = ShortcutRole
		l.convolution("downsample.0", 1, b.Stride, b.Out)
		l.normalise("downsample.1", Identity)
		begin = l.here()
		l.to(branch)
		l.role = role
	}
	if b.Residual {
		l.add(Layer{Op: Add, Inputs: []int{l.at, begin.at}})
	}
}

// place is a point of the network from which layers can be added.
type place struct{ at, side, channels int }

func (l *lister) here() place { return place{l.at, l.side, l.channels} }

func (l *lister) to(p place) { l.at, l.side, l.channels = p.at, p.side, p.channels }
