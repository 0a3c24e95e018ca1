package backend

// Spec is one operation with every shape fixed. Its comment gives the operands,
// in order, with their shapes; the last ones are written. Tensors are
// row-major, images NHWC.
//
// A Spec is either Basic or Fused, and describes itself: nothing elsewhere has to name
// it but the backends.
type Spec interface {
	// Operands are what the operation works on.
	Operands() []Operand
	// Validate returns an error if the dimensions or options make no operation.
	Validate() error
}

// Basic is a Spec that has a definition of its own.
type Basic interface {
	Spec
	// Reference is the definition: it computes the operation by plain loops. There is
	// a slice for each operand, of its size; what is written may be any values before.
	Reference(v [][]float32)
	// MultiplyAdds is how many of them a product or convolution does, those with the
	// zeros around an image among them. What is done value by value has none: memory
	// bounds it.
	MultiplyAdds() int
}

// Copy is y = x. Operands: x [N], y [N].
type Copy struct{ N int }

func (s Copy) Operands() []Operand { return []Operand{{s.N, ReadMap}, {s.N, WriteMap}} }

// Activation is the non-linearity of a NormAct or Activate.
type Activation uint8

// The non-linearities.
const (
	Identity    Activation = iota
	Swish                  // x * sigmoid(x)
	ReLU                   // max(x, 0)
	ReLU6                  // min(max(x, 0), 6)
	Sigmoid                // 1 / (1 + exp(-x))
	HardSwish              // x * HardSigmoid(x)
	HardSigmoid            // min(max(x+3, 0), 6) / 6
)

var activationNames = [...]string{"identity", "swish", "relu", "relu6", "sigmoid", "hard-swish", "hard-sigmoid"}

func (a Activation) String() string { return activationNames[a] }

// Activations lists all of them.
func Activations() []Activation {
	all := make([]Activation, len(activationNames))
	for i := range all {
		all[i] = Activation(i)
	}
	return all
}

// MatMul is C = A·B (+ bias), each operand possibly transposed in memory. It
// serves 1x1 convolutions, the classifier and squeeze-and-excitation.
//
// Operands: A [M,K] ([K,M] if TransA), B [K,N] ([N,K] if TransB), bias [N] if
// Bias, C [M,N]. TransA goes with neither of the others.
type MatMul struct {
	M, N, K        int
	TransA, TransB bool
	Bias           bool
}

func (s MatMul) Operands() []Operand {
	if s.TransA { // the gradient of weights
		return []Operand{{s.M * s.K, ReadMap}, {s.K * s.N, ReadMap}, {s.M * s.N, Write}}
	}
	operands := []Operand{{s.M * s.K, ReadMap}, {s.K * s.N, Read}}
	if s.Bias {
		operands = append(operands, Operand{s.N, Read})
	}
	return append(operands, Operand{s.M * s.N, WriteMap})
}

// ColumnSum is y[c] = sum over r of x[r,c].
//
// Operands: x [Rows,Cols], y [Cols].
type ColumnSum struct{ Rows, Cols int }

func (s ColumnSum) Operands() []Operand { return []Operand{{s.Rows * s.Cols, Read}, {s.Cols, Write}} }

// ConvShape is the geometry of a convolution. Output row i reads input rows
// i*Stride-Top ... i*Stride-Top+Kernel-1; those outside the image are zero.
type ConvShape struct {
	N, H, W, In     int // input [N,H,W,In]
	Kernel, Stride  int
	Top, Left       int // zero rows and columns before the image
	OutH, OutW, Out int // output [N,OutH,OutW,Out]; Out == In when depthwise
}

func (c ConvShape) input() int  { return c.N * c.H * c.W * c.In }
func (c ConvShape) output() int { return c.N * c.OutH * c.OutW * c.Out }
func (c ConvShape) dense() int  { return c.Kernel * c.Kernel * c.In * c.Out }
func (c ConvShape) deep() int   { return c.Kernel * c.Kernel * c.In }

// Conv is a dense convolution. Operands: x, w [Kernel,Kernel,In,Out], y.
type Conv struct{ ConvShape }

// ConvGradInput is the gradient with respect to x. Operands: dy, w, dx.
type ConvGradInput struct{ ConvShape }

// ConvGradWeight is the gradient with respect to w. Operands: x, dy, dw.
type ConvGradWeight struct{ ConvShape }

func (s Conv) Operands() []Operand {
	return []Operand{{s.input(), ReadMap}, {s.dense(), Read}, {s.output(), BeginMap}}
}
func (s ConvGradInput) Operands() []Operand {
	return []Operand{{s.output(), ReadMap}, {s.dense(), Read}, {s.input(), WriteMap}}
}
func (s ConvGradWeight) Operands() []Operand {
	return []Operand{{s.input(), ReadMap}, {s.output(), ReadMap}, {s.dense(), Write}}
}

// Depthwise is a depthwise convolution: every channel has its own filter.
// Operands: x, w [Kernel,Kernel,C], y.
type Depthwise struct{ ConvShape }

// DepthwiseGradInput is the gradient with respect to x. Operands: dy, w, dx.
type DepthwiseGradInput struct{ ConvShape }

// DepthwiseGradWeight is the gradient with respect to w. Operands: x, dy, dw.
type DepthwiseGradWeight struct{ ConvShape }

func (s Depthwise) Operands() []Operand {
	return []Operand{{s.input(), ReadMap}, {s.deep(), Read}, {s.output(), WriteMap}}
}
func (s DepthwiseGradInput) Operands() []Operand {
	return []Operand{{s.output(), ReadMap}, {s.deep(), Read}, {s.input(), WriteMap}}
}
func (s DepthwiseGradWeight) Operands() []Operand {
	return []Operand{{s.input(), ReadMap}, {s.output(), ReadMap}, {s.deep(), Write}}
}

// MaxPool is the largest of the values of each channel that a filter would meet;
// nothing is around the image. Out is In, and every window meets a pixel.
//
//	y[n,i,j,c] = max over a, b < Kernel of x[n, i*Stride-Top+a, j*Stride-Left+b, c]
//
// A NaN is the largest. Operands: x, y.
type MaxPool struct{ ConvShape }

// MaxPoolGrad is the gradient with respect to x: each output's goes to the largest
// value of its window, to the first in row-major order where there are several.
// Operands: x, dy, dx.
type MaxPoolGrad struct{ MaxPool }

func (s MaxPool) Operands() []Operand {
	return []Operand{{s.input(), ReadMap}, {s.output(), WriteMap}}
}
func (s MaxPoolGrad) Operands() []Operand {
	return []Operand{{s.input(), ReadMap}, {s.output(), ReadMap}, {s.input(), WriteMap}}
}

// BatchStats gathers the statistics of a batch normalisation.
//
// Operands: x [Rows,C], stats [2,C]: the means, then the variances (divided by
// Rows).
type BatchStats struct{ Rows, C int }

func (s BatchStats) Operands() []Operand { return []Operand{{s.Rows * s.C, ReadMap}, {2 * s.C, Write}} }

// NormAct is batch normalisation with the activation inside:
//
//	z = gamma*(x-mean)/sqrt(variance+Eps) + beta,  y = act(z)
//
// Operands: x [Rows,C], stats [2,C], gamma [C], beta [C], y [Rows,C].
type NormAct struct {
	Rows, C int
	Eps     float32
	Act     Activation
}

// NormActGradSums recomputes z from x and sums, over the rows, the gradients
// of beta and gamma:
//
//	dz = dy*act'(z),  dbeta = sum dz,  dgamma = sum dz*(x-mean)/sqrt(variance+Eps)
//
// Operands: x, stats, gamma, beta, dy [Rows,C], sums [2,C]: dbeta, then dgamma.
type NormActGradSums struct{ NormAct }

// NormActGradInput is the gradient with respect to x. With BatchStats the
// statistics are those of x itself and the gradient goes through them too:
//
//	xhat = (x-mean)/sqrt(variance+Eps)
//	dx   = gamma/sqrt(variance+Eps) * (dz - (dbeta + xhat*dgamma)/Rows)
//
// Otherwise they are constants: dx = gamma/sqrt(variance+Eps) * dz.
//
// Operands: x, stats, gamma, beta, dy [Rows,C], sums [2,C] from
// NormActGradSums, dx [Rows,C].
type NormActGradInput struct {
	NormAct
	BatchStats bool
}

func (s NormAct) Operands() []Operand {
	m, c := s.Rows*s.C, s.C
	return []Operand{{m, SpendMap}, {2 * c, Read}, {c, Read}, {c, Read}, {m, WriteMap}}
}
func (s NormActGradSums) Operands() []Operand {
	m, c := s.Rows*s.C, s.C
	return []Operand{{m, ReadMap}, {2 * c, Read}, {c, Read}, {c, Read}, {m, ReadMap}, {2 * c, Write}}
}
func (s NormActGradInput) Operands() []Operand {
	m, c := s.Rows*s.C, s.C
	return []Operand{{m, SpendMap}, {2 * c, Read}, {c, Read}, {c, Read}, {m, SpendMap}, {2 * c, Read}, {m, WriteMap}}
}

// Activate is y = act(x). Operands: x [N], y [N].
type Activate struct {
	N   int
	Act Activation
}

// ActivateGrad is dx = dy*act'(x). Operands: x [N], dy [N], dx [N].
type ActivateGrad struct{ Activate }

func (s Activate) Operands() []Operand { return []Operand{{s.N, SpendMap}, {s.N, WriteMap}} }
func (s ActivateGrad) Operands() []Operand {
	return []Operand{{s.N, SpendMap}, {s.N, SpendMap}, {s.N, WriteMap}}
}

// GlobalAvgPool is the mean over an image's Area pixels.
//
// Operands: x [N,Area,C], y [N,C].
type GlobalAvgPool struct{ N, Area, C int }

// GlobalAvgPoolGrad is dx = dy/Area at every pixel. Operands: dy [N,C],
// dx [N,Area,C].
type GlobalAvgPoolGrad struct{ GlobalAvgPool }

func (s GlobalAvgPool) Operands() []Operand {
	return []Operand{{s.N * s.Area * s.C, ReadMap}, {s.N * s.C, Write}}
}
func (s GlobalAvgPoolGrad) Operands() []Operand {
	return []Operand{{s.N * s.C, Read}, {s.N * s.Area * s.C, BeginMap}}
}

// ChannelScale is squeeze-and-excitation's product: y = x*s, s one factor an
// image and channel.
//
// Operands: x [N,Area,C], s [N,C], y [N,Area,C].
type ChannelScale struct{ N, Area, C int }

// ChannelScaleGrad is the gradient with respect to s: ds = sum over the pixels
// of x*dy. Operands: x [N,Area,C], dy [N,Area,C], ds [N,C].
type ChannelScaleGrad struct{ ChannelScale }

func (s ChannelScale) Operands() []Operand {
	return []Operand{{s.N * s.Area * s.C, SpendMap}, {s.N * s.C, Read}, {s.N * s.Area * s.C, WriteMap}}
}
func (s ChannelScaleGrad) Operands() []Operand {
	return []Operand{{s.N * s.Area * s.C, ReadMap}, {s.N * s.Area * s.C, ReadMap}, {s.N * s.C, Write}}
}

// Add is y = a+b. Operands: a [N], b [N], y [N].
type Add struct{ N int }

func (s Add) Operands() []Operand {
	return []Operand{{s.N, SpendMap}, {s.N, SpendMap}, {s.N, WriteMap}}
}

// Random identifies a stream of random numbers. Draw i at training step t is
// Uniform(Seed, Layer, t, i): a function, not a state, so that a resumed run,
// any number of workers and any device draw the same.
type Random struct {
	Seed  uint64
	Layer uint32
}

// DropPath is stochastic depth: y = keep[n]*x, keep[n] = 1/Survival where draw
// n < Survival and 0 elsewhere.
//
// Operands: x [N,Size], step [2], y [N,Size]. The training
// step t is step[0] + step[1]<<24.
type DropPath struct {
	Random
	N, Size  int
	Survival float32
}

// ResidualAdd is y = keep[n]*x + shortcut, with DropPath's keep.
//
// Operands: x [N,Size], shortcut [N,Size], step [2], y [N,Size].
type ResidualAdd struct{ DropPath }

// Dropout is y = x/(1-P) where draw i >= P and 0 elsewhere.
//
// Operands: x [N], step [2], y [N].
type Dropout struct {
	Random
	N int
	P float32
}

func (s DropPath) Operands() []Operand {
	return []Operand{{s.N * s.Size, SpendMap}, {2, Read}, {s.N * s.Size, WriteMap}}
}
func (s ResidualAdd) Operands() []Operand {
	return []Operand{{s.N * s.Size, SpendMap}, {s.N * s.Size, SpendMap}, {2, Read}, {s.N * s.Size, WriteMap}}
}
func (s Dropout) Operands() []Operand {
	return []Operand{{s.N, SpendMap}, {2, Read}, {s.N, WriteMap}}
}

// Uniform returns draw i of a stream at a training step, in [0,1): the high
// bits of SplitMix64 (Steele, Lea & Flood, 2014) over the four numbers.
func (r Random) Uniform(step uint64, i int) float32 {
	h := mix(mix(r.Seed^uint64(r.Layer)<<32)+step) + uint64(i)
	return float32(mix(h)>>40) * (1.0 / (1 << 24))
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// StepValues encodes a training step as the two float32 that a step operand
// holds; exact up to 2^48.
func StepValues(step uint64) [2]float32 {
	return [2]float32{float32(step & (1<<24 - 1)), float32(step >> 24)}
}

// StepOf decodes a step operand.
func StepOf(v []float32) uint64 { return uint64(v[0]) + uint64(v[1])<<24 }

// Pixels makes network input of 8-bit pixels, mixed in pairs. With v[n] =
// table[c][x[n]], c being the channel, and v[m] the same of image m = mix[0]-1-n,
//
//	y[n] = v[m]                        within the box
//	y[n] = mix[1]*v[n] + mix[2]*v[m]   elsewhere, or v[n] if mix[2] is 0
//	y[n] = 0                           of images from mix[0] on
//
// each product and the sum rounded to float32.
//
// Operands: x [N,Side,Side,3], bytes, four in a float32's memory; table [3,256];
// mix [7]: how many images there are, the two shares, then the box's left, top, right
// and bottom; y [N,Side,Side,3].
type Pixels struct{ N, Side int }

func (s Pixels) values() int { return s.N * s.Side * s.Side * 3 }
func (s Pixels) Operands() []Operand {
	return []Operand{{(s.values() + 3) / 4, Read}, {3 * 256, Read}, {7, Read}, {s.values(), BeginMap}}
}

// within says whether value i of an image is in mix's box.
func (s Pixels) within(mix []float32, i int) bool {
	x, y := float32(i/3%s.Side), float32(i/3/s.Side)
	return mix[3] <= x && x < mix[5] && mix[4] <= y && y < mix[6]
}

// SoftmaxCrossEntropy is the mean over the N rows of
// -sum over k of targets[n,k]*log softmax(logits[n])[k].
//
// Operands: logits [N,K], targets [N,K], loss [1]. A row of targets may
// sum to anything.
type SoftmaxCrossEntropy struct{ N, K int }

// SoftmaxCrossEntropyGrad is dlogits = dloss*(softmax(logits)*sum(targets)-targets)/N,
// with the sum of each row's targets.
//
// Operands: logits [N,K], targets [N,K], dloss [1], dlogits [N,K].
type SoftmaxCrossEntropyGrad struct{ SoftmaxCrossEntropy }

func (s SoftmaxCrossEntropy) Operands() []Operand {
	return []Operand{{s.N * s.K, Read}, {s.N * s.K, Read}, {1, Write}}
}
func (s SoftmaxCrossEntropyGrad) Operands() []Operand {
	return []Operand{{s.N * s.K, Read}, {s.N * s.K, Read}, {1, Read}, {s.N * s.K, Write}}
}

// Decay is how an update rule makes weights smaller: by L2 in the gradient or,
// Decoupled from it, directly (Loshchilov and Hutter 2019). The rules' d is
//
//	d = rates[1]*g + WeightDecay*w    or, decoupled,    d = rates[1]*g
//	                                                    w -= lr*WeightDecay*w
//
// Their operand rates [4] is the learning rate lr, a factor of the gradient, and
// Adam's two corrections for moments that start at zero, 1/(1-Beta1^t) and
// 1/sqrt(1-Beta2^t) for step t from 1. Where the factor is NaN, see Guard, a rule
// changes nothing.
type Decay struct {
	WeightDecay float32
	Decoupled   bool
}

// RMSProp is TensorFlow's update rule, with momentum and the learning rate inside
// it (timm's RMSpropTF):
//
//	ms  = Rho*ms + (1-Rho)*d*d
//	buf = Momentum*buf + lr*d/sqrt(ms+Eps)
//	w  -= buf
//
// Operands: g [N], rates [4], w [N], ms [N], buf [N].
type RMSProp struct {
	N                  int
	Rho, Momentum, Eps float32
	Decay
}

// SGD is PyTorch's update rule with momentum:
//
//	buf = Momentum*buf + d
//	w  -= lr*buf
//
// Operands: g [N], rates [4], w [N], buf [N].
type SGD struct {
	N        int
	Momentum float32
	Decay
}

// Adam is PyTorch's update rule; decoupled decay makes it AdamW:
//
//	m  = Beta1*m + (1-Beta1)*d
//	v  = Beta2*v + (1-Beta2)*d*d
//	w -= lr*rates[2]*m/(sqrt(v)*rates[3]+Eps)
//
// Beta1 and Beta2 are float64 because 1-Beta2 is small: of a float32 0.999 it is
// wrong by 1e-5 of itself.
//
// Operands: g [N], rates [4], w [N], m [N], v [N].
type Adam struct {
	N            int
	Beta1, Beta2 float64
	Eps          float32
	Decay
}

// Guard keeps a step from changing anything where its loss is not finite: it sets the
// factors, rates[4*i+1], to NaN.
//
// Operands: loss [1], rates [4*Groups].
type Guard struct{ Groups int }

// ClipNorm bounds the length of a gradient, times its factor, by Max
// (torch.nn.utils.clip_grad_norm_):
//
//	norm      = rates[1]*sqrt(sum g*g)
//	rates[1] *= min(1, Max/(norm+1e-6))
//
// Operands: g [N], rates [4], norm [1].
type ClipNorm struct {
	N   int
	Max float32
}

// Average moves a running average: avg = x + decay*(avg-x).
//
// Operands: x [N], decay [1], avg [N].
type Average struct{ N int }

func (s RMSProp) Operands() []Operand {
	return []Operand{{s.N, Read}, {4, Read}, {s.N, Update}, {s.N, Update}, {s.N, Update}}
}
func (s SGD) Operands() []Operand {
	return []Operand{{s.N, Read}, {4, Read}, {s.N, Update}, {s.N, Update}}
}
func (s Adam) Operands() []Operand {
	return []Operand{{s.N, Read}, {4, Read}, {s.N, Update}, {s.N, Update}, {s.N, Update}}
}
func (s Guard) Operands() []Operand    { return []Operand{{1, Read}, {4 * s.Groups, Update}} }
func (s ClipNorm) Operands() []Operand { return []Operand{{s.N, Read}, {4, Update}, {1, Write}} }
func (s Average) Operands() []Operand  { return []Operand{{s.N, Read}, {1, Read}, {s.N, Update}} }

// RunningStats moves running statistics towards a batch's:
// running += Momentum*(batch*correction - running), where correction is
// rows/(rows-1) for a variance (the running one is unbiased) and 1 for a mean.
//
// Operands: batch [N], correction [N], running [N].
type RunningStats struct {
	N        int
	Momentum float32
}

func (s RunningStats) Operands() []Operand { return []Operand{{s.N, Read}, {s.N, Read}, {s.N, Update}} }
