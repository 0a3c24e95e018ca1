package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// depthwiseGrad is the backward pass of a depthwise convolution, an output row
// at a time: its gradient is made in a ring, summed into the weights' gradient
// with the input rows it met, and then the input rows it completes are computed.
type depthwiseGrad struct {
	backend.ConvShape
	in *normInput // of x; nil if it is read as it is

	// gradRow makes row r, of N*OutH, of the convolution's gradient.
	gradRow func(worker int, dst []float32, r int)
	x, w    []float32
	dx      []float32     // nil if not wanted
	half    []kernel.BF16 // in place of x, and
	halfOut []kernel.BF16 // of dx, with maps of bfloat16
	wide    slot          // then, of each worker: a row of dx
	dw      []float32     // nil if not wanted
	dsums   []float32     // NormActGradSums of x and dx; nil if not wanted

	tasks            int
	inputs, grads    *ring
	slopes           *ring // of the rows in inputs
	flipped          slot  // w with every row of the filter reversed
	dwParts, dsParts slot
	taps             [][]kernel.Tap
	fold             func()
}

func (b *Backend) newDepthwiseGrad(d *depthwiseGrad, l *layout) backend.Launch {
	s := d.ConvShape
	d.tasks = min(s.N, maxImageTasks)
	d.inputs = inputRing(l, b.pool.threads, s)
	left := (max(s.Kernel-1-s.Left, 0) + s.Stride - 1) / s.Stride
	right := max(0, (s.W-1+s.Left)/s.Stride-(s.OutW-1))
	d.grads = newRing(l, b.pool.threads, s.Kernel, s.OutW, left, right, s.In)
	if d.dsums != nil {
		d.slopes = newRing(l, b.pool.threads, s.Kernel+s.Stride, s.W, 0, 0, s.In)
	}
	d.flipped = l.take(1, len(d.w))
	d.dwParts, d.dsParts = l.take(d.tasks, len(d.dw)), l.take(d.tasks, len(d.dsums))
	d.taps = tapLists(b.pool.threads, s.Kernel*s.Kernel)
	b.reserve(l.size)
	task := func(worker, i int) {
		clear(d.inputs.mem.of(b, worker))
		clear(d.grads.mem.of(b, worker))
		clear(d.dwParts.of(b, i))
		clear(d.dsParts.of(b, i))
		from, to := span(s.N, d.tasks, i)
		for n := from; n < to; n++ {
			d.image(b, worker, i, n)
		}
	}
	sumWeights, sumNorm := b.sumSlots(d.dw, d.dwParts, d.tasks), b.sumSlots(d.dsums, d.dsParts, d.tasks)
	return func() {
		d.fold()
		d.flip(b)
		b.pool.run(d.tasks, task)
		sumWeights()
		sumNorm()
		for c := range len(d.dsums) / 2 {
			d.dsums[s.In+c] /= d.in.std[c]
		}
	}
}

// wantsInput says whether the gradient with respect to the input is wanted.
func (d *depthwiseGrad) wantsInput() bool { return d.dx != nil || d.halfOut != nil }

func (d *depthwiseGrad) flip(b *Backend) {
	if !d.wantsInput() || d.Stride != 1 {
		return
	}
	k, c, dst := d.Kernel, d.In, d.flipped.of(b, 0)
	for i := range k * k {
		copy(dst[i*c:][:c], d.w[(i/k*k+k-1-i%k)*c:])
	}
}

func (d *depthwiseGrad) image(b *Backend, worker, task, n int) {
	filled, done := 0, 0
	row := d.W * d.In
	for oh := range d.OutH {
		grad := d.grads.row(b, worker, oh, d.OutW)
		d.gradRow(worker, grad, n*d.OutH+oh)
		if d.dw != nil {
			for ; filled <= lastInput(d.ConvShape, oh); filled++ {
				d.readInput(b, worker, n, filled)
			}
			t := forwardTaps(d.taps[worker], d.ConvShape, d.inputs, oh)
			b.set.DepthwiseGradWeight(d.dwParts.of(b, task), d.inputs.mem.of(b, worker), 0, d.Stride*d.In, grad, d.In, t, d.Kernel, d.OutW, d.In)
		}
		if !d.wantsInput() {
			continue
		}
		last := oh*d.Stride - d.Top + d.Stride - 1 // meets no later output row
		if oh == d.OutH-1 {
			last = d.H - 1
		}
		for ; done <= min(last, d.H-1); done++ {
			at := (n*d.H + done) * row
			var dx []float32
			if d.halfOut != nil {
				dx = d.wide.of(b, worker)
			} else {
				dx = d.dx[at:][:row]
			}
			d.inputRow(b, worker, dx, done)
			if d.dsums != nil {
				for ; filled <= done; filled++ { // a row that no output row meets
					d.readInput(b, worker, n, filled)
				}
				d.sumInput(b, worker, task, dx, at, done)
			}
			if d.halfOut != nil {
				b.set.Narrow(d.halfOut[at:][:row], dx)
			}
		}
	}
}

// readInput puts row r of image n into the ring of inputs and, if its gradient
// will be summed, the slope there into another.
func (d *depthwiseGrad) readInput(b *Backend, worker, n, r int) {
	at, row := (n*d.H+r)*d.W*d.In, d.W*d.In
	dst := d.inputs.row(b, worker, r, d.W)
	switch {
	case d.half != nil && d.dsums == nil:
		b.set.Widen(dst, d.half[at:][:row])
	case d.half != nil:
		b.set.NormActSlopeHalf(dst, d.slopes.row(b, worker, r, d.W), d.half[at:][:row], d.in.norm, d.in.act, d.In)
	case d.dsums == nil:
		d.in.read(b, dst, d.x[at:][:row])
	default:
		b.set.NormActSlope(dst, d.slopes.row(b, worker, r, d.W), d.x[at:][:row], d.in.norm, d.in.act, d.In)
	}
}

// sumInput adds row r of the input's gradient, which is at dx and belongs to the input at,
// to a task's sums.
func (d *depthwiseGrad) sumInput(b *Backend, worker, task int, dx []float32, at, r int) {
	sums, slope := d.dsParts.of(b, task), d.slopes.row(b, worker, r, d.W)
	if d.half != nil {
		b.set.SlopeSumsHalf(sums[:d.In], sums[d.In:], d.half[at:][:len(dx)], dx, slope, d.in.norm.Mean, d.In)
		return
	}
	b.set.SlopeSums(sums[:d.In], sums[d.In:], d.x[at:][:len(dx)], dx, slope, d.in.norm.Mean, d.In)
}

// inputRow computes row r of the gradient with respect to the input: pixel i of
// it meets the output pixels o with o*Stride = i+Left-kw, so that at stride 2
// even and odd pixels meet different taps.
func (d *depthwiseGrad) inputRow(b *Backend, worker int, dst []float32, r int) {
	c, k, g := d.In, d.Kernel, d.grads
	for class := range min(d.Stride, d.W) {
		taps := d.taps[worker][:0]
		for kh := k - 1; kh >= 0; kh-- {
			oh := r + d.Top - kh
			if oh < 0 || oh%d.Stride != 0 || oh/d.Stride >= d.OutH {
				continue
			}
			base := g.at(oh/d.Stride) + g.left*c
			for i := range k {
				kw := k - 1 - i
				if o := class + d.Left - kw; o%d.Stride == 0 {
					tap := kernel.Tap{X: base + o/d.Stride*c, W: (kh*k + kw) * c}
					if d.Stride == 1 {
						tap.W = (kh*k + i) * c
					}
					taps = append(taps, tap)
				}
			}
		}
		n := (d.W - class + d.Stride - 1) / d.Stride
		w, inRow := d.w, 0
		if d.Stride == 1 {
			w, inRow = d.flipped.of(b, 0), k
		}
		b.set.Depthwise(dst[class*c:], d.Stride*c, g.mem.of(b, worker), 0, c, w, taps, inRow, n, c)
	}
}

// plainGrad makes the rows of a gradient that lies in memory.
func (b *Backend) plainGrad(s backend.ConvShape, dy []float32) func(worker int, dst []float32, r int) {
	row := s.OutW * s.In
	return func(_ int, dst []float32, r int) { copy(dst, dy[r*row:]) }
}

func (b *Backend) depthwiseGradInput(s backend.DepthwiseGradInput, v [][]float32) backend.Launch {
	var l layout
	return b.newDepthwiseGrad(&depthwiseGrad{ConvShape: s.ConvShape, gradRow: b.plainGrad(s.ConvShape, v[0]), w: v[1], dx: v[2], fold: func() {}}, &l)
}

func (b *Backend) depthwiseGradWeight(s backend.DepthwiseGradWeight, v [][]float32) backend.Launch {
	var l layout
	return b.newDepthwiseGrad(&depthwiseGrad{ConvShape: s.ConvShape, gradRow: b.plainGrad(s.ConvShape, v[1]), x: v[0], dw: v[2], fold: func() {}}, &l)
}

// normDepthwiseGrad is for maps of either type.
func (b *Backend) normDepthwiseGrad(s backend.DepthwiseGrad, v []operand) backend.Launch {
	var l layout
	x := nextOperand(&v)
	d := &depthwiseGrad{ConvShape: s.ConvShape, x: x.f, half: x.h}
	if s.Read == backend.Normed {
		d.in = nextNorm(s.Norm, &v)
	}
	d.w = nextFloats(&v)
	c := nextOperand(&v)
	out := nextNorm(s.Out, &v)
	dy, sums := nextOperand(&v), nextFloats(&v)
	var gate, dpool []float32
	if s.Gated {
		gate, dpool = nextFloats(&v), nextFloats(&v)
	}
	dx := nextOperand(&v)
	d.dx, d.halfOut, d.dw = dx.f, dx.h, nextFloats(&v)
	if s.Read == backend.Normed {
		d.dsums = nextFloats(&v)
	}

	back := newNormBack(out, sums, s.N*s.OutH*s.OutW)
	row := s.OutW * s.In
	scaled := l.take(b.pool.threads, row)
	if x.h != nil {
		d.wide = l.take(b.pool.threads, s.W*s.In)
	}
	spread := alloc(len(dpool)) // of each pixel
	gated := func(r int) (scale, shift []float32) {
		at := r / s.OutH * s.In
		return gate[at:][:s.In], spread[at:][:s.In]
	}
	d.gradRow = func(worker int, dst []float32, r int) {
		g := dy.f[r*row:][:row]
		if gate != nil {
			scale, shift := gated(r)
			b.set.MulAddColumns(scaled.of(b, worker), g, scale, shift, s.In)
			g = scaled.of(b, worker)
		}
		back.run(b, dst, c.f[r*row:][:row], g)
	}
	if x.h != nil {
		d.gradRow = func(worker int, dst []float32, r int) {
			g := scaled.of(b, worker)
			if gate != nil {
				scale, shift := gated(r)
				b.set.MulAddColumnsHalf(g, dy.h[r*row:][:row], scale, shift, s.In)
			} else {
				b.set.Widen(g, dy.h[r*row:][:row])
			}
			b.set.NormActGradInputFrom(dst, c.h[r*row:][:row], g, out.norm, back.k1, back.k0, out.act, s.In)
		}
	}
	d.fold = func() {
		back.fold()
		if d.in != nil {
			d.in.fold()
		}
		b.set.Scale(spread, dpool, 1/float32(s.OutH*s.OutW))
	}
	return b.newDepthwiseGrad(d, &l)
}
