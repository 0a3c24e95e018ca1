package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// depthwisePlan says, once a layer, how the pixels of an image are computed:
// for each row the runs of pixels that see the same taps.
type depthwisePlan struct {
	in, out     int // values an image
	channels    int
	xstep       int // between a run's neighbours, in values
	ystep       int
	rows        [][]pixelRun
	rowsPerTask int
}

// pixelRun is n pixels of one row that meet the same taps.
type pixelRun struct {
	x, y int // first input and output value, within the image
	n    int
	taps []kernel.Tap
}

// forwardPlan is the convolution itself: output pixel o reads inputs
// o*Stride-before+k.
func forwardPlan(s backend.ConvShape) *depthwisePlan {
	p := &depthwisePlan{
		in: s.H * s.W * s.In, out: s.OutH * s.OutW * s.In, channels: s.In,
		xstep: s.Stride * s.In, ystep: s.In,
	}
	at := func(size, before int) func(o, k int) (int, bool) {
		return func(o, k int) (int, bool) {
			i := o*s.Stride - before + k
			return i, i >= 0 && i < size
		}
	}
	p.build(s.OutH, s.OutW, 1, s.W, s.Kernel, at(s.H, s.Top), at(s.W, s.Left))
	return p
}

// gradInputPlan is the gradient with respect to the input: input pixel i reads
// the output gradients o with o*Stride = i+before-k. At stride 2 the even and
// the odd columns meet different taps.
func gradInputPlan(s backend.ConvShape) *depthwisePlan {
	p := &depthwisePlan{
		in: s.OutH * s.OutW * s.In, out: s.H * s.W * s.In, channels: s.In,
		xstep: s.In, ystep: s.Stride * s.In,
	}
	at := func(size, before int) func(i, k int) (int, bool) {
		return func(i, k int) (int, bool) {
			o := i + before - k
			return o / s.Stride, o >= 0 && o%s.Stride == 0 && o/s.Stride < size
		}
	}
	p.build(s.H, s.W, s.Stride, s.OutW, s.Kernel, at(s.OutH, s.Top), at(s.OutW, s.Left))
	return p
}

// build lists the runs of a height x width image whose columns fall into step
// interleaved classes. row(r,k) and col(c,k) say which input row and column
// weight k meets at output row r and column c, if any.
func (p *depthwisePlan) build(height, width, step, inWidth, kernelSize int, row, col func(o, k int) (int, bool)) {
	p.rows = make([][]pixelRun, height)
	for r := range height {
		for class := range step {
			var run *pixelRun
			lastKey := -1
			for c := class; c < width; c += step {
				key := 0 // the set of valid columns
				for k := range kernelSize {
					if _, ok := col(c, k); ok {
						key |= 1 << k
					}
				}
				if run != nil && key == lastKey {
					run.n++
					continue
				}
				lastKey = key
				p.rows[r] = append(p.rows[r], pixelRun{y: (r*width + c) * p.channels, n: 1})
				run = &p.rows[r][len(p.rows[r])-1]
				for kh := range kernelSize {
					ih, ok := row(r, kh)
					if !ok {
						continue
					}
					for kw := range kernelSize {
						if iw, ok := col(c, kw); ok {
							run.taps = append(run.taps, kernel.Tap{X: (ih*inWidth + iw) * p.channels, W: (kh*kernelSize + kw) * p.channels})
						}
					}
				}
			}
		}
	}
	p.rowsPerTask = max(1, min(height, blockValues/max(1, width*p.channels)))
}

// depthwise runs a plan over n images, a band of rows a task.
func (b *Backend) depthwise(p *depthwisePlan, n int, x, w, y []float32) backend.Launch {
	bands := (len(p.rows) + p.rowsPerTask - 1) / p.rowsPerTask
	task := func(_, i int) {
		xi, yi := x[i/bands*p.in:][:p.in], y[i/bands*p.out:][:p.out]
		from, to := span(len(p.rows), bands, i%bands)
		for _, runs := range p.rows[from:to] {
			for _, r := range runs {
				b.set.Depthwise(yi[r.y:], p.ystep, xi, r.x, p.xstep, w, r.taps, 0, r.n, p.channels, 0)
			}
		}
	}
	return func() { b.pool.run(n*bands, task) }
}

func (b *Backend) depthwiseGradWeight(s backend.DepthwiseGradWeight, v [][]float32) backend.Launch {
	x, dy, dw := v[0], v[1], v[2]
	p := forwardPlan(s.ConvShape)
	rows := s.N * len(p.rows)
	parts := reduceParts(rows*s.OutW, len(dw))
	b.reserve(parts * len(dw))
	task := func(_, i int) {
		sum := b.scratch[i*len(dw):][:len(dw)]
		clear(sum)
		from, to := span(rows, parts, i)
		for r := from; r < to; r++ {
			n := r / len(p.rows)
			xi, yi := x[n*p.in:][:p.in], dy[n*p.out:][:p.out]
			for _, run := range p.rows[r%len(p.rows)] {
				b.set.DepthwiseGradWeight(sum, xi, run.x, p.xstep, yi[run.y:], p.ystep, run.taps, 0, run.n, p.channels, 0)
			}
		}
	}
	return func() {
		b.pool.run(parts, task)
		b.sumParts(dw, b.scratch, parts)
	}
}
