package scale

import (
	"cmp"
	"strconv"
)

// Block is one block of an Arch, as it stands in the network.
type Block struct {
	Stage, Index   int    // stage, and position within it: timm's blocks.STAGE.INDEX
	Row            int    // the block is of Arch.Stages[Row]
	Global         int    // position among all blocks
	Kind           string // of Stage.Block
	Kernel, Stride int
	In, Out        int     // channels
	Inner          int     // channels before the last convolution: In * expansion, or Out / expansion
	Expand         bool    // whether the expansion is not 1
	Squeeze        int     // SE's inner width; 0 for no SE
	Residual       bool    // whether the input is added to the output
	Project        bool    // whether a 1x1 convolution brings it to the output's shape first
	Survival       float64 // probability that training keeps the block's branch
	Activation     Activation
	SE             SE // without defaults
}

// Name is timm's name of the block.
func (b Block) Name() string {
	return "blocks." + strconv.Itoa(b.Stage) + "." + strconv.Itoa(b.Index)
}

// Blocks lists every block in order. The block numbered i of N survives
// training with probability 1 - StochasticDepth*i/N, so the first always does.
func (a Arch) Blocks() []Block {
	n := 0
	for _, s := range a.Stages {
		n += s.Repeats
	}
	blocks := make([]Block, 0, n)
	in, stage, index := a.Stem, -1, 0
	for row, s := range a.Stages {
		kind := kindOf(s.Block)
		if row == 0 || !s.Joined {
			stage, index = stage+1, 0
		}
		stride := s.Stride
		for range s.Repeats {
			global, alike := len(blocks), stride == 1 && in == s.Channels
			b := Block{
				Stage:      stage,
				Index:      index,
				Row:        row,
				Global:     global,
				Kind:       s.Block,
				Kernel:     s.Kernel,
				Stride:     stride,
				In:         in,
				Out:        s.Channels,
				Inner:      s.inner(in),
				Expand:     s.Expansion != 1,
				Residual:   kind.shortcut == projected || kind.shortcut == whereAlike && alike && !s.NoShortcut,
				Project:    kind.shortcut == projected && !alike,
				Survival:   1 - a.StochasticDepth*float64(global)/float64(n),
				Activation: cmp.Or(s.Activation, a.Activation),
			}
			b.squeezeExcite(s.SERatio, a.SE)
			blocks = append(blocks, b)
			in, stride, index = s.Channels, 1, index+1
		}
	}
	return blocks
}

// inner is how many channels the stage's block has before its last convolution: exact
// for a whole expansion, else a multiple of 8 (timm's make_divisible).
func (s Stage) inner(in int) int {
	if s.ExpandFrom > 0 {
		in = s.ExpandFrom
	}
	switch whole := int(s.Expansion); {
	case kindOf(s.Block).expansion == divides:
		return s.Channels / whole
	case s.Expansion == float64(whole):
		return in * whole
	}
	return roundChannels(in, s.Expansion)
}

// squeezeExcite sets the width and the activations of squeeze-and-excitation. The width is
// a share of the block's input channels, not of the expanded ones (efficientnet_model.py,
// MBConvBlock._build), unless the network's rule is another.
func (b *Block) squeezeExcite(ratio float64, rule SE) {
	b.SE = SE{OfInner: rule.OfInner, Activation: cmp.Or(rule.Activation, b.Activation), Gate: cmp.Or(rule.Gate, Sigmoid)}
	switch {
	case ratio == 0:
	case rule.OfInner:
		b.Squeeze = roundChannels(b.Inner, ratio)
	default:
		b.Squeeze = max(1, int(ratio*float64(b.In)))
	}
}
