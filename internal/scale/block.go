package scale

import "fmt"

// Block is one block of an Arch, as it stands in the network.
type Block struct {
	Stage, Index   int    // stage, and position within it: timm's blocks.STAGE.INDEX
	Global         int    // position among all blocks
	Kind           string // of Stage.Block
	Kernel, Stride int
	In, Out        int     // channels
	Inner          int     // channels before the last convolution: In * expansion, of Bottleneck Out / expansion
	Expand         bool    // whether the expansion is not 1
	Squeeze        int     // SE's inner width; 0 for no SE
	Residual       bool    // whether the input is added to the output
	Project        bool    // whether a 1x1 convolution brings it to the output's shape first
	Survival       float64 // probability that training keeps the block's branch
}

// Name is timm's name of the block.
func (b Block) Name() string { return fmt.Sprintf("blocks.%d.%d", b.Stage, b.Index) }

// Blocks lists every block in order. The block numbered i of N survives
// training with probability 1 - StochasticDepth*i/N, so the first always does.
func (a Arch) Blocks() []Block {
	n := 0
	for _, s := range a.Stages {
		n += s.Repeats
	}
	blocks := make([]Block, 0, n)
	in := a.Stem
	for stage, s := range a.Stages {
		stride := s.Stride
		for i := range s.Repeats {
			global, same := len(blocks), stride == 1 && in == s.Channels
			blocks = append(blocks, Block{
				Stage:    stage,
				Index:    i,
				Global:   global,
				Kind:     s.Block,
				Kernel:   s.Kernel,
				Stride:   stride,
				In:       in,
				Out:      s.Channels,
				Inner:    s.inner(in),
				Expand:   s.Expansion != 1,
				Squeeze:  squeeze(s.SERatio, in),
				Residual: s.Block == Bottleneck || s.Block != Separable && same,
				Project:  s.Block == Bottleneck && !same,
				Survival: 1 - a.StochasticDepth*float64(global)/float64(n),
			})
			in, stride = s.Channels, 1
		}
	}
	return blocks
}

// inner is how many channels the stage's block has before its last convolution.
func (s Stage) inner(in int) int {
	if s.Block == Bottleneck {
		return s.Channels / s.Expansion
	}
	return in * s.Expansion
}

// squeeze is the width of the SE bottleneck: a share of the block's input
// channels, not of the expanded ones (efficientnet_model.py, MBConvBlock._build).
func squeeze(ratio float64, in int) int {
	if ratio == 0 {
		return 0
	}
	return max(1, int(ratio*float64(in)))
}
