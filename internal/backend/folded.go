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

// Operands implements Spec.
func (s FoldedMatMul) Operands() []Operand { own, _ := s.build(); return own }

// Unfused implements Fused.
func (s FoldedMatMul) Unfused() []Step { _, steps := s.build(); return steps }

func (s FoldedMatMul) build() (own []Operand, steps []Step) {
	var o operands
	images := s.M / s.Area
	x, gate, shortcut := o.take(s.M*s.K, ReadMap), -1, -1
	if s.Gated {
		gate = o.take(images*s.K, Read)
	}
	w, norm := o.take(s.K*s.N, Read), o.norm(s.N)
	if s.Residual {
		shortcut = o.take(s.M*s.N, SpendMap)
	}
	rows, role := s.M, WriteMap
	if s.Pool {
		rows, role = images, Write
	}
	y := o.take(rows*s.N, role)
	own = o.all
	if s.Gated {
		a := o.temporary(s.M * s.K)
		steps = append(steps, Step{ChannelScale{N: images, Area: s.Area, C: s.K}, []int{x, gate, a}})
		x = a
	}
	c, z := o.temporary(s.M*s.N), y
	if s.Residual || s.Pool {
		z = o.temporary(s.M * s.N)
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
	return own, steps
}

// FoldedConv is a dense convolution and its normalisation.
//
// Operands: x, w [Kernel,Kernel,In,Out], the norm's three, y.
type FoldedConv struct {
	ConvShape
	Norm Norm
}

// Operands implements Spec.
func (s FoldedConv) Operands() []Operand {
	return []Operand{{s.input(), ReadMap}, {s.dense(), Read}, {2 * s.Out, Read}, {s.Out, Read}, {s.Out, Read}, {s.output(), BeginMap}}
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

// Operands implements Spec.
func (s FoldedDepthwise) Operands() []Operand { own, _ := s.build(); return own }

// Unfused implements Fused.
func (s FoldedDepthwise) Unfused() []Step { _, steps := s.build(); return steps }

func (s FoldedDepthwise) build() (own []Operand, steps []Step) {
	var o operands
	before, c := s.Before, s.In
	var x, w1 int
	var norm1 [3]int
	role := WriteMap
	if before.Kernel > 0 {
		x, w1, norm1 = o.take(before.input(), ReadMap), o.take(before.dense(), Read), o.norm(c)
		role = BeginMap // as Conv does
	} else {
		x = o.take(s.input(), ReadMap)
	}
	w, norm, y, means := o.take(s.deep(), Read), o.norm(c), o.take(s.output(), role), -1
	if s.Pool {
		means = o.take(s.N*c, Write)
	}
	own = o.all
	if before.Kernel > 0 {
		wide, a := o.temporary(s.input()), o.temporary(s.input())
		steps = append(steps,
			Step{Conv{before}, []int{x, w1, wide}},
			Step{s.BeforeNorm.over(s.input()/c, c), []int{wide, norm1[0], norm1[1], norm1[2], a}})
		x = a
	}
	z := o.temporary(s.output())
	steps = append(steps,
		Step{Depthwise{s.ConvShape}, []int{x, w, z}},
		Step{s.Norm.over(s.output()/c, c), []int{z, norm[0], norm[1], norm[2], y}})
	if s.Pool {
		steps = append(steps, Step{GlobalAvgPool{N: s.N, Area: s.OutH * s.OutW, C: c}, []int{y, means}})
	}
	return own, steps
}

// Pointwise says whether a convolution is a product of its input's pixels.
func (c ConvShape) Pointwise() bool { return c.Kernel == 1 && c.Stride == 1 }

// SqueezeExcite is what makes a gate from the channels' means:
// gate = g(act(x·w1 + b1)·w2 + b2), where Gate says which function g is.
//
// Operands: x [N,C], w1 [C,Squeeze], b1 [Squeeze], w2 [Squeeze,C], b2 [C], gate
// [N,C].
type SqueezeExcite struct {
	N, C, Squeeze int
	Act, Gate     Activation
}

// Operands implements Spec.
func (s SqueezeExcite) Operands() []Operand {
	return []Operand{{s.N * s.C, Read}, {s.C * s.Squeeze, Read}, {s.Squeeze, Read}, {s.Squeeze * s.C, Read}, {s.C, Read}, {s.N * s.C, Write}}
}

// Unfused implements Fused.
func (s SqueezeExcite) Unfused() []Step {
	return []Step{
		{MatMul{M: s.N, N: s.Squeeze, K: s.C, Bias: true}, []int{0, 1, 2, 6}},
		{Activate{N: s.N * s.Squeeze, Act: s.Act}, []int{6, 7}},
		{MatMul{M: s.N, N: s.C, K: s.Squeeze, Bias: true}, []int{7, 3, 4, 8}},
		{Activate{N: s.N * s.C, Act: s.Gate}, []int{8, 5}},
	}
}

// Linear is a MatMul with a bias whose weights are prepared.
//
// Operands: x [M,K], w [K,N], bias [N], y [M,N].
type Linear struct{ M, N, K int }

// Operands implements Spec.
func (s Linear) Operands() []Operand {
	return []Operand{{s.M * s.K, Read}, {s.K * s.N, Read}, {s.N, Read}, {s.M * s.N, Write}}
}

// Unfused implements Fused.
func (s Linear) Unfused() []Step {
	return []Step{{MatMul{M: s.M, N: s.N, K: s.K, Bias: true}, []int{0, 1, 2, 3}}}
}
