package backend

// Fused is a Spec that does several at once, so that a map goes to memory and
// back fewer times. What it means is Unfused.
type Fused interface {
	Spec
	// Unfused returns the Specs it stands for, in order. Their operands are
	// numbers: those below len(Operands()) are the fused Spec's own, the others
	// temporary.
	Unfused() []Step
}

// Step is a Spec and the numbers of its operands.
type Step struct {
	Spec     Spec
	Operands []int
}

// Norm is how a fused operation normalises a map that it reads: by statistics
// [2,C], gamma [C] and beta [C], three operands that come after the map.
type Norm struct {
	Eps float32
	Act Activation
}

func (n Norm) over(rows, c int) NormAct { return NormAct{Rows: rows, C: c, Eps: n.Eps, Act: n.Act} }

// Reading is what a fused operation does to a map before it uses it.
type Reading uint8

// The readings.
const (
	Raw    Reading = iota // nothing
	Normed                // NormAct
	Gated                 // NormAct, then ChannelScale
)

// operands numbers a fused Spec's operands in the order they are asked for and
// then the temporaries.
type operands struct {
	all []Operand
}

func (o *operands) take(size int, role Role) int {
	o.all = append(o.all, Operand{size, role})
	return len(o.all) - 1
}

// temporary takes one that is not the fused Spec's own.
func (o *operands) temporary(size int) int { return o.take(size, Write) }

// norm takes a normalisation's three operands.
func (o *operands) norm(c int) [3]int {
	return [3]int{o.take(2*c, Read), o.take(c, Read), o.take(c, Read)}
}

// NormMatMul is the product of a 1x1 convolution whose input is read through a
// normalisation, and the statistics of its output. MatMul's own operands and
// sizes, neither transposed; rows belong to images of Area rows.
//
// Operands: x [M,K]; unless Raw the norm's three; if Gated gate [M/Area,K];
// w [K,N], y [M,N]; with Stats, stats [2,N] of y.
type NormMatMul struct {
	M, N, K int
	Read    Reading
	Norm    Norm
	Area    int
	Stats   bool
}

// Operands implements Spec.
func (s NormMatMul) Operands() []Operand { own, _ := s.build(); return own }

// Unfused implements Fused.
func (s NormMatMul) Unfused() []Step { _, steps := s.build(); return steps }

func (s NormMatMul) build() (own []Operand, steps []Step) {
	var o operands
	x := o.take(s.M*s.K, ReadMap)
	var norm [3]int
	gate := -1
	if s.Read != Raw {
		norm = o.norm(s.K)
	}
	if s.Read == Gated {
		gate = o.take(s.M/s.Area*s.K, Read)
	}
	w, y, stats := o.take(s.K*s.N, Read), o.take(s.M*s.N, WriteMap), -1
	if s.Stats {
		stats = o.take(2*s.N, Write)
	}
	own = o.all
	if s.Read != Raw {
		a := o.temporary(s.M * s.K)
		steps = append(steps, Step{s.Norm.over(s.M, s.K), []int{x, norm[0], norm[1], norm[2], a}})
		x = a
	}
	if s.Read == Gated {
		a := o.temporary(s.M * s.K)
		steps = append(steps, Step{ChannelScale{N: s.M / s.Area, Area: s.Area, C: s.K}, []int{x, gate, a}})
		x = a
	}
	steps = append(steps, Step{MatMul{M: s.M, N: s.N, K: s.K}, []int{x, w, y}})
	if s.Stats {
		steps = append(steps, Step{BatchStats{Rows: s.M, C: s.N}, []int{y, stats}})
	}
	return own, steps
}

// NormDepthwise is a depthwise convolution whose input is read through a
// normalisation, and the statistics of its output.
//
// Operands: x; if Normed the norm's three; w, y; with Stats, stats [2,C] of y.
type NormDepthwise struct {
	ConvShape
	Read  Reading // Raw or Normed
	Norm  Norm
	Stats bool
}

// Operands implements Spec.
func (s NormDepthwise) Operands() []Operand { own, _ := s.build(); return own }

// Unfused implements Fused.
func (s NormDepthwise) Unfused() []Step { _, steps := s.build(); return steps }

func (s NormDepthwise) build() (own []Operand, steps []Step) {
	var o operands
	x := o.take(s.input(), ReadMap)
	var norm [3]int
	if s.Read != Raw {
		norm = o.norm(s.In)
	}
	w, y, stats := o.take(s.deep(), Read), o.take(s.output(), WriteMap), -1
	if s.Stats {
		stats = o.take(2*s.In, Write)
	}
	own = o.all
	if s.Read != Raw {
		a := o.temporary(s.input())
		steps = append(steps, Step{s.Norm.over(s.input()/s.In, s.In), []int{x, norm[0], norm[1], norm[2], a}})
		x = a
	}
	steps = append(steps, Step{Depthwise{s.ConvShape}, []int{x, w, y}})
	if s.Stats {
		steps = append(steps, Step{BatchStats{Rows: s.output() / s.In, C: s.In}, []int{y, stats}})
	}
	return own, steps
}

// NormPool is the mean over an image's pixels of a normalised map.
//
// Operands: x [N,Area,C], the norm's three, y [N,C].
type NormPool struct {
	GlobalAvgPool
	Norm Norm
}

// Operands implements Spec.
func (s NormPool) Operands() []Operand {
	m, c := s.N*s.Area*s.C, s.C
	return []Operand{{m, ReadMap}, {2 * c, Read}, {c, Read}, {c, Read}, {s.N * c, Write}}
}

// Unfused implements Fused.
func (s NormPool) Unfused() []Step {
	return []Step{{s.Norm.over(s.N*s.Area, s.C), []int{0, 1, 2, 3, 5}}, {s.GlobalAvgPool, []int{5, 4}}}
}

// GateGrads sums over each image's pixels what the gradients of a gate, and of
// the normalisation before it, are made of. With a = act(z) as in NormAct:
//
//	parts = sum of a*da, da*act'(z), act'(z), da*act'(z)*xhat, act'(z)*xhat
//
// Operands: x [N,Area,C], the norm's three, da [N,Area,C], parts [5,N,C].
type GateGrads struct {
	GlobalAvgPool
	Norm Norm
}

// Operands implements Spec.
func (s GateGrads) Operands() []Operand {
	m, c := s.N*s.Area*s.C, s.C
	return []Operand{{m, ReadMap}, {2 * c, Read}, {c, Read}, {c, Read}, {m, ReadMap}, {5 * s.N * c, Write}}
}

// GatedGradSums is NormActGradSums where dy = da*gate + dpool/Area, from the
// parts of GateGrads: what squeeze-and-excitation sends back, without another
// pass over the maps.
//
// Operands: parts [5,N,C], gate [N,C], dpool [N,C], sums [2,C].
type GatedGradSums struct{ N, Area, C int }

// Operands implements Spec.
func (s GatedGradSums) Operands() []Operand {
	return []Operand{{5 * s.N * s.C, Read}, {s.N * s.C, Read}, {s.N * s.C, Read}, {2 * s.C, Write}}
}

// ProjectGrad is the backward pass of a NormMatMul, Normed or Gated: the
// gradients of what it read and of its weights, and what the normalisation's
// backward pass needs to know about the first.
//
// Operands: x [M,K], the norm's three; if Gated gate [M/Area,K]; w [K,N],
// dy [M,N], da [M,K], dw [K,N]; if Gated parts [5,M/Area,K] as GateGrads',
// otherwise sums [2,K] as NormActGradSums'. If Gated, da is the gradient of
// the map times the gate.
type ProjectGrad struct {
	M, N, K int
	Read    Reading // Normed or Gated
	Norm    Norm
	Area    int
}

// Operands implements Spec.
func (s ProjectGrad) Operands() []Operand { own, _ := s.build(); return own }

// Unfused implements Fused.
func (s ProjectGrad) Unfused() []Step { _, steps := s.build(); return steps }

func (s ProjectGrad) build() (own []Operand, steps []Step) {
	var o operands
	images := s.M / s.Area
	x, norm, gate := o.take(s.M*s.K, ReadMap), o.norm(s.K), -1
	if s.Read == Gated {
		gate = o.take(images*s.K, Read)
	}
	w, dy, da, dw := o.take(s.K*s.N, Read), o.take(s.M*s.N, ReadMap), o.take(s.M*s.K, WriteMap), o.take(s.K*s.N, Write)
	size := 2 * s.K
	if s.Read == Gated {
		size = 5 * images * s.K
	}
	sums := o.take(size, Write)
	own = o.all
	a := o.temporary(s.M * s.K)
	steps = []Step{
		{s.Norm.over(s.M, s.K), []int{x, norm[0], norm[1], norm[2], a}},
		{MatMul{M: s.M, N: s.K, K: s.N, TransB: true}, []int{dy, w, da}},
	}
	pool := GlobalAvgPool{N: images, Area: s.Area, C: s.K}
	if s.Read == Gated {
		steps = append(steps,
			Step{GateGrads{pool, s.Norm}, []int{x, norm[0], norm[1], norm[2], da, sums}},
			Step{ChannelScale(pool), []int{a, gate, a}})
	} else {
		steps = append(steps, Step{NormActGradSums{s.Norm.over(s.M, s.K)}, []int{x, norm[0], norm[1], norm[2], da, sums}})
	}
	return own, append(steps, Step{MatMul{M: s.K, N: s.N, K: s.M, TransA: true}, []int{a, dy, dw}})
}

// DepthwiseGrad is the backward pass of a NormDepthwise and of the
// normalisation after it, by the batch's statistics.
//
// Operands: x; if Normed the norm's three; w; the output c and its norm's
// three, dy the gradient of the normalised output, sums [2,C] as
// NormActGradSums'; if Gated gate [N,C] and dpool [N,C], and the gradient is
// dy*gate + dpool/Area instead; dx, the gradient of what was read, dw; if Normed
// dsums [2,C], NormActGradSums of x and dx.
type DepthwiseGrad struct {
	ConvShape
	Read  Reading // Raw or Normed
	Norm  Norm
	Out   Norm
	Gated bool
}

// Operands implements Spec.
func (s DepthwiseGrad) Operands() []Operand { own, _ := s.build(); return own }

// Unfused implements Fused.
func (s DepthwiseGrad) Unfused() []Step { _, steps := s.build(); return steps }

func (s DepthwiseGrad) build() (own []Operand, steps []Step) {
	var o operands
	c := s.In
	x := o.take(s.input(), ReadMap)
	var norm [3]int
	if s.Read == Normed {
		norm = o.norm(c)
	}
	w := o.take(s.deep(), Read)
	y, out, dy, sums := o.take(s.output(), ReadMap), o.norm(c), o.take(s.output(), ReadMap), o.take(2*c, Read)
	gate, dpool, dsums := -1, -1, -1
	if s.Gated {
		gate, dpool = o.take(s.N*c, Read), o.take(s.N*c, Read)
	}
	dx, dw := o.take(s.input(), WriteMap), o.take(s.deep(), Write)
	if s.Read == Normed {
		dsums = o.take(2*c, Write)
	}
	own = o.all
	if s.Gated {
		pool := GlobalAvgPool{N: s.N, Area: s.OutH * s.OutW, C: c}
		scaled, spread, sum := o.temporary(s.output()), o.temporary(s.output()), o.temporary(s.output())
		steps = append(steps,
			Step{ChannelScale(pool), []int{dy, gate, scaled}},
			Step{GlobalAvgPoolGrad{pool}, []int{dpool, spread}},
			Step{Add{s.output()}, []int{scaled, spread, sum}})
		dy = sum
	}
	dc := o.temporary(s.output())
	steps = append(steps,
		Step{NormActGradInput{NormAct: s.Out.over(s.output()/c, c), BatchStats: true}, []int{y, out[0], out[1], out[2], dy, sums, dc}},
		Step{DepthwiseGradInput{s.ConvShape}, []int{dc, w, dx}})
	if s.Read == Normed {
		a, in := o.temporary(s.input()), s.Norm.over(s.input()/c, c)
		steps = append(steps,
			Step{NormActGradSums{in}, []int{x, norm[0], norm[1], norm[2], dx, dsums}},
			Step{in, []int{x, norm[0], norm[1], norm[2], a}})
		x = a
	}
	return own, append(steps, Step{DepthwiseGradWeight{s.ConvShape}, []int{x, dc, dw}})
}

// ExpandGrad is the backward pass of a 1x1 convolution and of the normalisation
// after it, by the batch's statistics.
//
// Operands: x [M,K], w [K,N], the output c [M,N] and its norm's three, dy [M,N]
// the gradient of the normalised output, sums [2,N] as NormActGradSums', dx
// [M,K], dw [K,N].
type ExpandGrad struct {
	M, N, K int
	Norm    Norm
}

// Operands implements Spec.
func (s ExpandGrad) Operands() []Operand {
	in, w, out, c := s.M*s.K, s.K*s.N, s.M*s.N, s.N
	return []Operand{{in, ReadMap}, {w, Read}, {out, ReadMap}, {2 * c, Read}, {c, Read}, {c, Read}, {out, ReadMap}, {2 * c, Read},
		{in, WriteMap}, {w, Write}}
}

// Unfused implements Fused.
func (s ExpandGrad) Unfused() []Step {
	return []Step{
		{NormActGradInput{NormAct: s.Norm.over(s.M, s.N), BatchStats: true}, []int{2, 3, 4, 5, 6, 7, 10}},
		{MatMul{M: s.M, N: s.K, K: s.N, TransB: true}, []int{10, 1, 8}},
		{MatMul{M: s.K, N: s.N, K: s.M, TransA: true}, []int{0, 10, 9}},
	}
}
