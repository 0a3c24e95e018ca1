// Package scale turns a baseline network and its compound-scaling coefficients
// into a concrete architecture, and counts that architecture's parameters and
// multiply-adds.
//
// The rules are those of Tan & Le, "EfficientNet: Rethinking Model Scaling for
// Convolutional Neural Networks" (2019), sections 3 and 4, with the rounding of
// the reference code (tensorflow/tpu, models/official/efficientnet).
package scale

// Activation names the non-linearity of every convolution but the projections.
type Activation string

// The activations that a network may have, and those that its layers have too.
const (
	Swish Activation = "swish" // x * sigmoid(x)
	ReLU  Activation = "relu"  // max(x, 0)
	ReLU6 Activation = "relu6" // min(max(x, 0), 6)

	HardSwish Activation = "hard-swish" // x * min(max(x+3, 0), 6) / 6

	Identity    Activation = ""             // x: of projections
	Sigmoid     Activation = "sigmoid"      // 1/(1+exp(-x)): of gates
	HardSigmoid Activation = "hard-sigmoid" // min(max(x+3, 0), 6) / 6: of gates
)

// Padding names the rule that pads a convolution's input.
type Padding string

// The two conventions that pretrained weights exist for. They differ at stride 2.
const (
	Same      Padding = "same"      // TensorFlow's: as little as keeps ceil(in/stride), the odd pixel after
	Symmetric Padding = "symmetric" // PyTorch's: (kernel-1)/2 on every side
)

// MBConv is the mobile inverted bottleneck of the paper's table 1: a 1x1
// expansion (absent when the expansion is 1), a depthwise convolution,
// squeeze-and-excitation (absent when the ratio is 0) and a 1x1 projection.
const MBConv = "mbconv"

// Fused is EfficientNetV2's Fused-MBConv (Tan & Le, 2021, figure 2): a whole KxK
// convolution does the expansion's and the depthwise one's work; the projection
// follows, or nothing when the expansion is 1. It has no squeeze-and-excitation.
const Fused = "fused"

// Separable is MobileNetV1's depthwise separable convolution (Howard et al., 2017,
// figure 3): a depthwise convolution and a 1x1 one, each with normalisation and
// activation. It has no expansion and no shortcut.
const Separable = "separable"

// Bottleneck is ResNet's (He et al., 2016, figure 5): a 1x1 convolution to
// 1/Expansion of the output channels, a whole KxK one, which has the stride
// (torchvision's place of it, "v1.5"), and a 1x1 one to the output channels. The
// input is always added, where the shapes differ through a 1x1 convolution of its
// own, and the activation comes after the addition.
const Bottleneck = "bottleneck"

// Stage is one row of the paper's table 1: a block repeated. The first block
// has the stage's stride, the others stride 1.
type Stage struct {
	Block     string  `json:"block" yaml:"block"`         // one of blockKinds
	Kernel    int     `json:"kernel" yaml:"kernel"`       // side of the depthwise kernel, or of the block's only one over 1x1
	Stride    int     `json:"stride" yaml:"stride"`       // of the first block
	Expansion float64 `json:"expansion" yaml:"expansion"` // inner channels = Expansion * input channels, see inner; where the kind divides, output channels / Expansion
	Channels  int     `json:"channels" yaml:"channels"`   // output channels
	Repeats   int     `json:"repeats" yaml:"repeats"`     // number of blocks
	SERatio   float64 `json:"se_ratio" yaml:"se-ratio"`   // squeeze width / block input channels, see SE; 0 for none

	Activation Activation `json:"activation,omitempty" yaml:"activation,omitempty"`   // of its blocks, instead of the network's
	NoShortcut bool       `json:"no_shortcut,omitempty" yaml:"no-shortcut,omitempty"` // even where the shapes are the same
	ExpandFrom int        `json:"expand_from,omitempty" yaml:"expand-from,omitempty"` // channels that Expansion is of; 0 for the block's input
	// Joined rows are of one stage with the row before: in the names of tensors, in what
	// is frozen, and where repeats are scaled.
	Joined bool `json:"joined,omitempty" yaml:"joined,omitempty"`
}

// SE is how a network's squeeze-and-excitation is. The zero value is EfficientNet's.
type SE struct {
	OfInner    bool       `json:"of_inner,omitempty" yaml:"of-inner,omitempty"`     // SERatio is a share of the inner channels, and the width a multiple of 8
	Activation Activation `json:"activation,omitempty" yaml:"activation,omitempty"` // between its two layers; "" for the block's
	Gate       Activation `json:"gate,omitempty" yaml:"gate,omitempty"`             // "" for Sigmoid
}

// Arch is a network with every number fixed: what the model package builds,
// what Count counts and what a checkpoint stores.
type Arch struct {
	Name            string     `json:"name"`
	Resolution      int        `json:"resolution"`            // side of the square input, pixels
	Stem            int        `json:"stem"`                  // output channels of the first convolution, of stride 2
	StemKernel      int        `json:"stem_kernel,omitempty"` // its side; 0 for 3
	StemPool        bool       `json:"stem_pool,omitempty"`   // whether a 3x3 max pool of stride 2 follows it
	Stages          []Stage    `json:"stages"`
	Head            int        `json:"head"`                  // output channels of the last 1x1 convolution; 0 for none
	HeadPooled      bool       `json:"head_pooled,omitempty"` // whether it comes after the pooling, with a bias and no normalisation
	SE              SE         `json:"se,omitzero"`
	Classes         int        `json:"classes"`
	Activation      Activation `json:"activation"`
	Padding         Padding    `json:"padding"`
	Dropout         float64    `json:"dropout"`          // before the classifier: share of features dropped
	StochasticDepth float64    `json:"stochastic_depth"` // block i of N is dropped with probability StochasticDepth*i/N
	BNEps           float64    `json:"bn_eps"`
	BNMomentum      float64    `json:"bn_momentum"` // share of the new batch statistic in the running one
	Width           float64    `json:"width"`       // multipliers the baseline was scaled by
	Depth           float64    `json:"depth"`
}

// defaultStemKernel is the papers' but for ResNet's.
const defaultStemKernel = 3

// StemSide is the side of the stem's kernel.
func (a Arch) StemSide() int {
	if a.StemKernel == 0 {
		return defaultStemKernel
	}
	return a.StemKernel
}

// Features is how many values the classifier reads: the head's channels, or the
// last stage's where there is no head.
func (a Arch) Features() int {
	if a.Head > 0 {
		return a.Head
	}
	return a.Stages[len(a.Stages)-1].Channels
}
