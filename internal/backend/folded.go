package backend

// The folded Specs are for evaluation, where a normalisation is by statistics
// that do not change from image to image: its scale goes into the weights of the
// convolution before it, w' = w*gamma/sqrt(variance+Eps), and the rest is a bias,
// beta - mean*gamma/sqrt(variance+Eps). Both, and whatever layout the weights
// take, are made by a Program's Prepare.

// FoldedMatMul is a 1x1 convolution, its normalisation and what surrounds them:
//
//	y = act(norm((x*gate)·w)) + shortcut
//
// with a gate if Gated and a shortcut if Residual, which goes with Identity alone; if
// Pool, y is the mean over
// each image's rows instead. Rows belong to images of Area rows.
//
// Operands: x [M,K]; if Gated gate [M/Area,K]; w [K,N], the norm's three; if
// Residual shortcut [M,N]; y [M,N] or, if Pool, [M/Area,N]. With Residual, y may
// be shortcut's View.
type FoldedMatMul struct {
	M, N, K               int
	Norm                  Norm
	Area                  int
	Gated, Residual, Pool bool // not both of the last two
}

// Sizes implements Spec.
func (s FoldedMatMul) Sizes() []int { sizes, _ := s.build(); return sizes }

// Unfused implements Fused.
func (s FoldedMatMul) Unfused() []Step { _, steps := s.build(); return steps }

func (s FoldedMatMul) build() (sizes []int, steps []Step) {
	var o operands
	images := s.M / s.Area
	x, gate, shortcut := o.take(s.M*s.K), -1, -1
	if s.Gated {
		gate = o.take(images * s.K)
	}
	w, norm := o.take(s.K*s.N), o.norm(s.N)
	if s.Residual {
		shortcut = o.take(s.M * s.N)
	}
	rows := s.M
	if s.Pool {
		rows = images
	}
	y := o.take(rows * s.N)
	sizes = o.sizes
	if s.Gated {
		a := o.take(s.M * s.K)
		steps = append(steps, Step{ChannelScale{N: images, Area: s.Area, C: s.K}, []int{x, gate, a}})
		x = a
	}
	c, z := o.take(s.M*s.N), y
	if s.Residual || s.Pool {
		z = o.take(s.M * s.N)
	}
	steps = append(steps,
		Step{MatMul{M: s.M, N: s.N, K: s.K}, []int{x, w, c}},
		Step{s.Norm.over(s.M, s.N), []int{c, norm[0], norm[1], norm[2], z}})
	if s.Residual {
		steps = append(steps, Step{Add{N: s.M * s.N}, []int{z, shortcut, y}})
	}
	if s.Pool {
		steps = append(steps, Step{GlobalAvgPool{N: images, Area: s.Area, C: s.N}, []int{z, y}})
	}
	return sizes, steps
}

// FoldedConv is a dense convolution and its normalisation.
//
// Operands: x, w [Kernel,Kernel,In,Out], the norm's three, y.
type FoldedConv struct {
	ConvShape
	Norm Norm
}

// Sizes implements Spec.
func (s FoldedConv) Sizes() []int {
	return []int{s.input(), s.dense(), 2 * s.Out, s.Out, s.Out, s.output()}
}

// Unfused implements Fused.
func (s FoldedConv) Unfused() []Step {
	return []Step{
		{Conv{s.ConvShape}, []int{0, 1, 6}},
		{s.Norm.over(s.output()/s.Out, s.Out), []int{6, 2, 3, 4, 5}},
	}
}

// FoldedDepthwise is a depthwise convolution and its normalisation and, with
// Pool, the mean of the result over each image's pixels. With Before there is
// another convolution before it, a stem or an expansion, and that one's
// normalisation, whose result [N,H,W,In] is never in memory.
//
// Operands: x [N,H,W,In] or, with Before, that one's input, w1
// [Kernel,Kernel,In,Out] and its norm's three; w [Kernel,Kernel,In], the norm's
// three, y; with Pool, means [N,In].
type FoldedDepthwise struct {
	ConvShape
	Norm       Norm
	Pool       bool
	Before     ConvShape // no kernel: there is none
	BeforeNorm Norm
}

// Sizes implements Spec.
func (s FoldedDepthwise) Sizes() []int { sizes, _ := s.build(); return sizes }

// Unfused implements Fused.
func (s FoldedDepthwise) Unfused() []Step { _, steps := s.build(); return steps }

func (s FoldedDepthwise) build() (sizes []int, steps []Step) {
	var o operands
	before, c := s.Before, s.In
	var x, w1 int
	var norm1 [3]int
	if before.Kernel > 0 {
		x, w1, norm1 = o.take(before.input()), o.take(before.dense()), o.norm(c)
	} else {
		x = o.take(s.input())
	}
	w, norm, y, means := o.take(s.deep()), o.norm(c), o.take(s.output()), -1
	if s.Pool {
		means = o.take(s.N * c)
	}
	sizes = o.sizes
	if before.Kernel > 0 {
		wide, a := o.take(s.input()), o.take(s.input())
		steps = append(steps,
			Step{Conv{before}, []int{x, w1, wide}},
			Step{s.BeforeNorm.over(s.input()/c, c), []int{wide, norm1[0], norm1[1], norm1[2], a}})
		x = a
	}
	z := o.take(s.output())
	steps = append(steps,
		Step{Depthwise{s.ConvShape}, []int{x, w, z}},
		Step{s.Norm.over(s.output()/c, c), []int{z, norm[0], norm[1], norm[2], y}})
	if s.Pool {
		steps = append(steps, Step{GlobalAvgPool{N: s.N, Area: s.OutH * s.OutW, C: c}, []int{y, means}})
	}
	return sizes, steps
}

// Pointwise says whether a convolution is a product of its input's pixels.
func (c ConvShape) Pointwise() bool { return c.Kernel == 1 && c.Stride == 1 }

// SqueezeExcite is what makes a gate from the channels' means:
// gate = sigmoid(act(x·w1 + b1)·w2 + b2).
//
// Operands: x [N,C], w1 [C,Squeeze], b1 [Squeeze], w2 [Squeeze,C], b2 [C], gate
// [N,C].
type SqueezeExcite struct {
	N, C, Squeeze int
	Act           Activation
}

// Sizes implements Spec.
func (s SqueezeExcite) Sizes() []int {
	return []int{s.N * s.C, s.C * s.Squeeze, s.Squeeze, s.Squeeze * s.C, s.C, s.N * s.C}
}

// Unfused implements Fused.
func (s SqueezeExcite) Unfused() []Step {
	return []Step{
		{MatMul{M: s.N, N: s.Squeeze, K: s.C, Bias: true}, []int{0, 1, 2, 6}},
		{Activate{N: s.N * s.Squeeze, Act: s.Act}, []int{6, 7}},
		{MatMul{M: s.N, N: s.C, K: s.Squeeze, Bias: true}, []int{7, 3, 4, 8}},
		{Activate{N: s.N * s.C, Act: Sigmoid}, []int{8, 5}},
	}
}

// Linear is a MatMul with a bias whose weights are prepared.
//
// Operands: x [M,K], w [K,N], bias [N], y [M,N].
type Linear struct{ M, N, K int }

// Sizes implements Spec.
func (s Linear) Sizes() []int { return []int{s.M * s.K, s.K * s.N, s.N, s.M * s.N} }

// Unfused implements Fused.
func (s Linear) Unfused() []Step {
	return []Step{{MatMul{M: s.M, N: s.N, K: s.K, Bias: true}, []int{0, 1, 2, 3}}}
}
