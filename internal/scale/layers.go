package scale

import "slices"

// Op is what a layer does to its input, a map [side,side,channels] or, where the side
// is 1, a vector of channels.
type Op string

// The operations.
const (
	Convolution Op = "convolution" // KxK over all channels, without bias
	Depthwise   Op = "depthwise"   // KxK of each channel by itself, without bias
	Normalise   Op = "normalise"   // batch normalisation, then the activation
	Activate    Op = "activate"    // the activation alone
	MaxPool     Op = "max pool"    // the largest of each KxK window
	Mean        Op = "mean"        // of each channel, over all pixels
	Pointwise   Op = "pointwise"   // a 1x1 convolution of a vector, with bias
	Dense       Op = "dense"       // a matrix on a vector, with bias
	Gate        Op = "gate"        // the first input times the second, a factor a channel
	Add         Op = "add"         // the first input, which training may drop, plus the second
)

// Role is a layer's place: in its block, or in the network where it is in none. A
// normalisation has the role of the convolution before it.
type Role string

// The roles.
const (
	StemRole       Role = "stem"
	ExpandRole     Role = "expand"   // to the block's inner channels; of Bottleneck, to fewer
	FilterRole     Role = "filter"   // the depthwise convolution, or Bottleneck's KxK one
	SqueezeRole    Role = "squeeze"  // squeeze-and-excitation's first pointwise layer
	ExciteRole     Role = "excite"   // its second
	ProjectRole    Role = "project"  // to the block's output channels
	ShortcutRole   Role = "shortcut" // of the input to the output's shape
	HeadRole       Role = "head"
	ClassifierRole Role = "classifier"
)

// Classifier is the classifier's name.
const Classifier = "classifier"

// Images stands for the network's input among the inputs of a layer.
const Images = -1

// Layer is one step of a network's forward pass.
type Layer struct {
	Op   Op
	Name string // timm's, or torchvision's in a Bottleneck; its tensors are called Name.weight and so on
	Role Role
	// Block is the block that the layer is in, nil outside.
	Block *Block
	// Inputs are the layers whose results it reads, by their numbers in Arch.Layers.
	Inputs []int

	Kernel, Stride int // of convolutions and pools; pixels
	In, Out        int // channels
	From, Side     int // of the square maps that it reads and makes; pixels
	Activation     Activation
}

// Layers lists a valid network in the order in which it runs. All that describes it reads
// this list: the graph, the counts, what is written for other programs, the names of
// tensors there, what is frozen, how learning rates decay.
func (a Arch) Layers() []Layer {
	const ofBlock = 14 // about as many layers as a block has
	blocks := a.Blocks()
	layers := make([]Layer, 0, ofBlock*len(blocks)+8)
	a.list(blocks, &lister{visit: func(layer Layer) { layers = append(layers, layer) }, named: true})
	return layers
}

// list visits the layers of a network that has the blocks given.
func (a Arch) list(blocks []Block, l *lister) {
	l.at, l.side, l.channels = Images, a.Resolution, 3
	l.role = StemRole
	l.convolution("conv_stem", a.StemSide(), 2, a.Stem)
	l.normalise("bn1", a.Activation)
	if a.StemPool {
		l.maxPool("stem_pool", 3, 2)
	}
	for i := range blocks {
		l.in(&blocks[i])
		kindOf(l.block.Kind).add(l, l.block)
	}
	l.in(nil)
	l.role = HeadRole
	if a.Head > 0 && !a.HeadPooled {
		l.convolution("conv_head", 1, 1, a.Head)
		l.normalise("bn2", a.Activation)
	}
	l.mean("pool")
	if a.Head > 0 && a.HeadPooled {
		l.add(Layer{Op: Pointwise, Name: "conv_head", Out: a.Head})
		l.activate("act2", a.Activation)
	}
	l.role = ClassifierRole
	l.add(Layer{Op: Dense, Name: Classifier, Out: a.Classes})
}

// lister lists layers. Those that it adds read what the last one made, unless they name
// other inputs.
type lister struct {
	visit  func(Layer)
	named  bool  // whether layers have names and inputs, which take most of a list's time
	number int   // of the layers so far
	inputs []int // of the layers with one, in one piece of memory

	at       int // the layer whose result is read next
	side     int // of that result, pixels
	channels int // of it
	block    *Block
	prefix   string // of names, the block's
	role     Role
}

// in makes what follows a part of a block, or with nil of none.
func (l *lister) in(b *Block) {
	l.block, l.prefix = b, ""
	if b != nil && l.named {
		l.prefix = b.Name()
	}
}

// name is timm's, or torchvision's, of a layer that the present block calls leaf; without
// leaf that of the block.
func (l *lister) name(leaf string) string {
	if l.prefix == "" || leaf == "" {
		return l.prefix + leaf
	}
	return l.prefix + "." + leaf
}

// add adds a layer, whose Name is that within its block, and makes its result the next
// one's input.
func (l *lister) add(layer Layer) {
	layer.Role, layer.Block, layer.In, layer.From = l.role, l.block, l.channels, l.side
	if l.named {
		layer.Name = l.name(layer.Name)
		if layer.Inputs == nil {
			n := len(l.inputs)
			l.inputs = append(l.inputs, l.at)
			layer.Inputs = l.inputs[n : n+1 : n+1]
		}
	}
	if layer.Side == 0 {
		layer.Side = l.side
	}
	if layer.Out == 0 {
		layer.Out = l.channels
	}
	l.at, l.side, l.channels = l.number, layer.Side, layer.Out
	l.number++
	l.visit(layer)
}

// strided is the side of what a window with a stride makes of the present map. Both
// paddings give the same: with an odd kernel k, (side + 2*(k-1)/2 - k)/stride + 1 is
// ceil(side/stride).
func (l *lister) strided(stride int) int { return (l.side + stride - 1) / stride }

func (l *lister) convolution(name string, kernel, stride, out int) {
	l.add(Layer{Op: Convolution, Name: name, Kernel: kernel, Stride: stride, Out: out, Side: l.strided(stride)})
}

func (l *lister) depthwise(name string, kernel, stride int) {
	l.add(Layer{Op: Depthwise, Name: name, Kernel: kernel, Stride: stride, Side: l.strided(stride)})
}

func (l *lister) maxPool(name string, kernel, stride int) {
	l.add(Layer{Op: MaxPool, Name: name, Kernel: kernel, Stride: stride, Side: l.strided(stride)})
}

func (l *lister) normalise(name string, act Activation) {
	l.add(Layer{Op: Normalise, Name: name, Activation: act})
}

func (l *lister) activate(name string, act Activation) {
	l.add(Layer{Op: Activate, Name: name, Activation: act})
}

func (l *lister) mean(name string) { l.add(Layer{Op: Mean, Name: name, Side: 1}) }

// InBlock says whether a layer is in a block.
func (l Layer) InBlock() bool { return l.Block != nil }

// Weights is how many values the layer's weight tensor has, 0 without one.
func (l Layer) Weights() int {
	switch l.Op {
	case Convolution:
		return l.Kernel * l.Kernel * l.In * l.Out
	case Depthwise:
		return l.Kernel * l.Kernel * l.Out
	case Pointwise, Dense:
		return l.In * l.Out
	case Normalise:
		return l.Out
	}
	return 0
}

// Params is how many trained values the layer has: weights, and the bias of all but
// convolutions.
func (l Layer) Params() int {
	if l.Op == Convolution || l.Op == Depthwise || l.Weights() == 0 {
		return l.Weights()
	}
	return l.Weights() + l.Out
}

// MACs is how many multiply-adds the layer does for one image. Of normalisations,
// activations, pooling, gates and biases none are counted.
func (l Layer) MACs() int {
	if l.Op == Normalise {
		return 0
	}
	return l.Weights() * l.Side * l.Side
}

// Activations is how many values the layer makes for one image, where it multiplies: the
// measure of Dollár et al. 2021 and Radosavovic et al. 2020, which on many processors tells
// more of the time than multiply-adds do. Others count none.
func (l Layer) Activations() int {
	if l.MACs() == 0 {
		return 0
	}
	return l.Out * l.Side * l.Side
}

// Tensor is one of a network's tensors.
type Tensor struct {
	Layer Layer
	Leaf  string // weight, bias, running_mean or running_var
	Shape []int  // PyTorch's
}

// Name is timm's.
func (t Tensor) Name() string { return t.Layer.Name + "." + t.Leaf }

// Tensors are those of the layer, first what is trained.
func (l Layer) Tensors() []Tensor {
	weight := l.weightShape()
	if weight == nil {
		return nil
	}
	all := []Tensor{{l, "weight", weight}}
	switch l.Op {
	case Pointwise, Dense:
		all = append(all, Tensor{l, "bias", []int{l.Out}})
	case Normalise:
		for _, leaf := range []string{"bias", "running_mean", "running_var"} {
			all = append(all, Tensor{l, leaf, []int{l.Out}})
		}
	}
	return all
}

// weightShape is PyTorch's shape of the weights, nil without.
func (l Layer) weightShape() []int {
	switch l.Op {
	case Convolution:
		return []int{l.Out, l.In, l.Kernel, l.Kernel}
	case Depthwise:
		return []int{l.Out, 1, l.Kernel, l.Kernel}
	case Pointwise:
		return []int{l.Out, l.In, 1, 1}
	case Dense:
		return []int{l.Out, l.In}
	case Normalise:
		return []int{l.Out}
	}
	return nil
}

// Trained says whether the tensor is a parameter; else it is a running statistic.
func (t Tensor) Trained() bool { return t.Leaf == "weight" || t.Leaf == "bias" }

// Tensors are those of the network: the parameters in the order of the layers, then
// the running statistics.
func (a Arch) Tensors() []Tensor {
	var params, running []Tensor
	for _, l := range a.Layers() {
		for _, t := range l.Tensors() {
			if t.Trained() {
				params = append(params, t)
			} else {
				running = append(running, t)
			}
		}
	}
	return slices.Concat(params, running)
}
