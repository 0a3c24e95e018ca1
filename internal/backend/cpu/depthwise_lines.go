package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// Depthwise convolutions of the sizes that networks are made of go through an image 16
// channels at a time, a cache line of each pixel (kernel.Ring): the rows that a filter
// meets stay in L1, and a large map is written past the caches.

const line = kernel.LineChannels

// stripBytes is how much of L1 the ring of a strip of rows takes.
const stripBytes = 24 << 10

// farValues is how many values of an image are too many for L2: all channels of a strip
// are done before the next strip then, so that memory is read as it lies.
const farValues = 256 << 10

// lineConv is a depthwise convolution by lines.
type lineConv struct {
	backend.ConvShape
	in         *normInput // nil: the input is read as it is
	x, y       []float32
	half       []kernel.BF16 // in place of x, and
	halfOut    []kernel.BF16 // of y, with maps of bfloat16
	stats      bool
	ring       kernel.Ring
	strip      int  // output rows done at once
	far        bool // every group of channels has a ring
	mem        slot // of each worker: the rings
	weights    slot // [groups,taps,16]
	moments    *moments
	groups     int  // of 16 channels, the last perhaps of fewer
	perRing    int  // values of a ring
	pastCaches bool // y is larger than they are
}

// depthwiseByLines is normDepthwise of what d has of its fields up to halfOut; stats is nil
// where there is nothing to gather.
func (b *Backend) depthwiseByLines(d *lineConv, w, stats []float32) backend.Launch {
	s, in := d.ConvShape, d.in
	tasks, taps := min(s.N, maxImageTasks), s.Kernel*s.Kernel
	width := s.Left + s.W + max(0, (s.OutW-1)*s.Stride+s.Kernel-s.Left-s.W)
	d.stats, d.groups, d.far = stats != nil, (s.In+line-1)/line, s.H*s.W*s.In > farValues
	d.pastCaches = len(d.y) >= streamValues && s.In%line == 0 // a line of bfloat16 is half a cache line
	d.strip = min(max((stripBytes/(4*line*width)-s.Kernel)/s.Stride+1, 1), s.OutH)
	rings := 1
	if d.far {
		d.strip, rings = 1, d.groups
	}
	d.ring = kernel.Ring{Rows: (d.strip-1)*s.Stride + s.Kernel, Row: width * line}
	d.perRing = d.ring.Rows*d.ring.Row + kernel.Tail
	var l layout
	d.mem, d.weights = l.take(b.pool.threads, rings*d.perRing), l.take(1, d.groups*taps*line)
	d.moments = newMoments(&l, tasks, s.In)
	b.reserve(l.size)
	task := func(worker, i int) {
		clear(d.mem.of(b, worker))
		clear(d.moments.parts.of(b, i))
		from, to := span(s.N, tasks, i)
		for n := from; n < to; n++ {
			d.image(b, worker, i, n)
		}
	}
	return func() {
		if in != nil {
			in.fold()
		}
		lineWeights(d.weights.of(b, 0), w, taps, s.In)
		d.moments.clear()
		b.pool.run(tasks, task)
		if stats != nil {
			d.moments.finish(b, stats)
		}
	}
}

// lineWeights are the taps of a filter [taps,c] as lines: [groups,taps,16].
func lineWeights(dst, w []float32, taps, c int) {
	for from := 0; from < c; from += line {
		for t := range taps {
			copy(dst[:line], w[t*c+from:t*c+min(from+line, c)])
			dst = dst[line:]
		}
	}
}

// image does image n, for a task: group by group or, if it is far, strip by strip.
func (d *lineConv) image(b *Backend, worker, task, n int) {
	rings := d.mem.of(b, worker)
	if !d.far {
		for g := range d.groups {
			filled := 0
			for at := 0; at < d.OutH; at += d.strip {
				filled = d.rows(b, rings, task, n, g, at, filled)
			}
		}
	} else {
		filled := 0
		for at := 0; at < d.OutH; at += d.strip {
			next := filled
			for g := range d.groups {
				next = d.rows(b, rings[g*d.perRing:], task, n, g, at, filled)
			}
			filled = next
		}
	}
	d.moments.rows[task] += d.OutH * d.OutW
}

// rows does a strip of group g of channels of image n from output row at on, where the
// input rows before filled are in the ring, and returns how many are then.
func (d *lineConv) rows(b *Backend, ring []float32, task, n, g, at, filled int) int {
	c, taps := d.In, d.Kernel*d.Kernel
	count := min(d.strip, d.OutH-at)
	if fresh := lastInput(d.ConvShape, at+count-1) + 1 - filled; fresh > 0 {
		row := d.W * c
		fill := kernel.Fill{First: filled, Count: fresh, Pixels: d.W, Step: c, Row: row, Channel: g * line}
		if from, to := (n*d.H+filled)*row+g*line, (n*d.H+filled+fresh)*row; d.half != nil {
			fill.Half = d.half[from:to]
		} else {
			fill.X = d.x[from:to]
		}
		if d.in != nil {
			fill.Norm, fill.Act = d.in.norm, d.in.act
		}
		b.set.FillLines(ring[d.Left*line:], &d.ring, &fill, 2*row)
		filled += fresh
	}
	row := d.OutW * c
	conv := kernel.Conv{Kernel: d.Kernel, Stride: d.Stride, Top: d.Top, Height: d.H, W: d.weights.of(b, 0)[g*taps*line:][:taps*line],
		First: at, Count: count, Pixels: d.OutW, Step: c, Row: row, Channels: c - g*line, Stream: d.pastCaches}
	if from, to := (n*d.OutH+at)*row+g*line, (n*d.OutH+at+count)*row; d.halfOut != nil {
		conv.Half = d.halfOut[from:to]
	} else {
		conv.Y = d.y[from:to]
	}
	if d.stats {
		pivots := d.moments.parts.of(b, task)[g*line:]
		if d.moments.rows[task] == 0 && at == 0 { // the task's first value is the pivot
			first := conv
			first.Y, first.Half, first.Count, first.Pixels, first.Stream = pivots, nil, 1, 1, false
			b.set.DepthwiseLines(ring, &d.ring, &first)
		}
		conv.Stats, conv.SumsAt = pivots, c
	}
	b.set.DepthwiseLines(ring, &d.ring, &conv)
	return filled
}
