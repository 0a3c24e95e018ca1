package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// A folded depthwise convolution takes an image, or a part of its rows, and a
// group of its channels at a time: the group's rows come into a ring, either
// copied or straight from the convolution before it, a band of rows for each
// product. The band and the ring stay in a cache, and what that convolution gives
// is never in memory.

// foldedDepthwise is one FoldedDepthwise.
type foldedDepthwise struct {
	backend.FoldedDepthwise
	b      *Backend
	before *weights // nil: the input is read as it is
	w      *depthwiseWeights
	x, y   operand
	images slot // x as float32, where the convolution before it wants that
	means  []float32

	parts        int // of an image's rows, each a task's
	band         int // input rows made at once
	ring         *ring
	patches      slot // of each worker: of a row of the convolution before
	wide, narrow slot // of each worker: its results, a row of results
	sums         slot // of each part of each image, [In]
	taps         [][]kernel.Tap
	done         []progress // of each worker
}

// progress is what a worker did last: with the next part of the same image and
// channels it continues.
type progress struct{ group, part, filled int }

// expandGroup is about how many channels are expanded at once: two of the widest
// tiles.
const expandGroup = 96

// bandRows is how many rows a product of a band should have.
const bandRows = 96

// partRows is how many rows of results a task does where all channels are done
// at once.
const partRows = 14

func (b *Backend) foldedDepthwise(s backend.FoldedDepthwise, v []operand) backend.Program {
	d := &foldedDepthwise{FoldedDepthwise: s, b: b, x: nextOperand(&v), parts: 1, band: 1}
	groups := 1
	prepareBefore := func() {}
	if s.Before.Pointwise() {
		// An even number of groups, for two threads.
		groups = max(1, (s.In+expandGroup-1)/expandGroup+1) / 2 * 2
		d.band = min((bandRows+s.W-1)/s.W, s.H)
	} else {
		d.parts = (s.OutH + partRows - 1) / partRows
	}
	if before := s.Before; before.Kernel > 0 {
		w := nextFloats(&v)
		d.before, prepareBefore = b.newMapWeights(w, d.band*s.W, before.Kernel*before.Kernel*before.In, s.In, groups, nextFolding(s.BeforeNorm, &v))
	}
	w := nextFloats(&v)
	var prepare func()
	d.w, prepare = b.newDepthwiseWeights(w, s.In, groups, nextFolding(s.Norm, &v))
	d.y = nextOperand(&v)
	if s.Pool {
		d.means = nextFloats(&v)
	}
	d.reserve()
	tasks, task, widen := s.N*d.parts*(len(d.w.cuts)-1), d.task, d.widen
	return backend.Program{
		Prepare: func() { prepareBefore(); prepare() },
		Run: func() {
			clear(d.done)
			if d.widens() {
				b.pool.run(s.N, widen)
			}
			b.pool.run(tasks, task)
			d.finish()
		},
	}
}

// widens says whether the images are made float32 first.
func (d *foldedDepthwise) widens() bool {
	return d.x.h != nil && d.before != nil && !d.Before.Pointwise()
}

func (d *foldedDepthwise) widen(_, n int) {
	size := len(d.x.h) / d.N
	d.b.set.Widen(d.images.of(d.b, 0)[n*size:][:size], d.x.h[n*size:][:size])
}

// reserve takes scratch memory.
func (d *foldedDepthwise) reserve() {
	s, workers, cols := d.ConvShape, d.b.pool.threads, 0
	for i := range len(d.w.cuts) - 1 {
		cols = max(cols, d.w.cuts[i+1]-d.w.cuts[i])
	}
	var l layout
	right := max(0, (s.OutW-1)*s.Stride+s.Kernel-s.Left-s.W)
	d.ring = newRing(&l, workers, min(s.Kernel-1+d.band, s.H), s.W, s.Left, right, cols)
	if d.before != nil {
		d.wide = l.take(workers, d.band*s.W*cols)
	}
	if d.before != nil && !d.Before.Pointwise() {
		d.patches = l.take(workers, d.before.k*s.W+kernel.Tail)
	}
	d.narrow = l.take(workers, s.OutW*cols)
	if d.widens() {
		d.images = l.take(1, len(d.x.h))
	}
	if d.means != nil {
		d.sums = l.take(s.N*d.parts, s.In)
	}
	d.b.reserve(l.size)
	d.taps = tapLists(workers, s.Kernel*s.Kernel)
	d.done = make([]progress, workers)
}

// task is a part of an image and a group of channels.
func (d *foldedDepthwise) task(worker, i int) {
	group, part := i/(d.N*d.parts), i%(d.N*d.parts)
	image := part / d.parts
	from, to := span(d.OutH, d.parts, part%d.parts)
	first := d.w.cuts[group]
	cols := d.w.cuts[group+1] - first

	// The group's ring: of its own width, so that its rows lie together.
	s, g := d.ConvShape, *d.ring
	s.In, g.channels = cols, cols
	filled := max(0, from*s.Stride-s.Top)
	if last := d.done[worker]; last.group == group && last.part == part && part%d.parts > 0 {
		filled = max(filled, last.filled)
	} else {
		g.clearEdges(d.b, worker, s.W)
	}
	w, bias := d.w.group(group)
	narrow := d.narrow.of(d.b, worker)[:s.OutW*cols]
	var sums []float32
	if d.means != nil {
		sums = d.sums.of(d.b, part)[first:][:cols]
		clear(sums)
	}
	for oh := from; oh < to; oh++ {
		for last := lastInput(s, oh); filled <= last; {
			rows := min(d.band, s.H-filled)
			d.fill(worker, &g, image, group, filled, rows)
			filled += rows
		}
		taps := forwardTaps(d.taps[worker], s, &g, oh)
		d.b.set.Depthwise(narrow, cols, g.mem.of(d.b, worker), 0, s.Stride*cols, w, taps, s.Kernel, s.OutW, cols)
		d.y.end(d.b, sums, ((image*s.OutH+oh)*s.OutW)*d.In+first, d.In, narrow, bias, kernelAct[d.Norm.Act], cols)
	}
	d.done[worker] = progress{group, part + 1, filled}
}

// fill makes rows of an image's group of channels, from row first on.
func (d *foldedDepthwise) fill(worker int, g *ring, image, group, first, rows int) {
	b, width := d.b, d.W
	at := (image*d.H + first) * width
	if d.before == nil {
		for r := range rows {
			dst, from := g.row(b, worker, first+r, width), (at+r*width)*d.In
			if d.x.h != nil {
				b.set.Widen(dst, d.x.h[from:][:width*d.In])
			} else {
				copy(dst, d.x.f[from:][:width*d.In])
			}
		}
		return
	}
	cols := g.channels
	wide := d.wide.of(b, worker)[:rows*width*cols]
	switch from, size := at*d.Before.In, rows*width*d.Before.In; {
	case d.Before.Pointwise() && d.x.h != nil:
		d.before.multiply(b, group, rows*width, kernel.Words(d.x.h[from:][:size]), wide, cols, false)
	case d.Before.Pointwise():
		d.before.multiply(b, group, rows*width, d.before.rows(b, worker, d.x.f[from:][:size]), wide, cols, false)
	default: // a row at a time
		x := d.x.f
		if d.widens() {
			x = d.images.of(b, 0)
		}
		patches := d.patches.of(b, worker)
		b.gatherPatches(patches, x, d.Before, image*d.H+first)
		d.before.multiply(b, group, width, d.before.rows(b, worker, patches[:width*d.before.k]), wide, cols, false)
	}
	bias := d.before.bias[d.before.groups[group].from:][:cols]
	for r := range rows {
		b.set.BiasAct(nil, g.row(b, worker, first+r, width), cols, wide[r*width*cols:][:width*cols], bias, kernelAct[d.BeforeNorm.Act], cols)
	}
}

// clearEdges clears what surrounds a ring's rows of width pixels.
func (g *ring) clearEdges(b *Backend, worker, width int) {
	mem := g.mem.of(b, worker)
	for r := range g.rows {
		row := mem[g.at(r):][:g.width*g.channels]
		clear(row[:g.left*g.channels])
		clear(row[(g.left+width)*g.channels:])
	}
}

// finish makes the means of the parts' sums.
func (d *foldedDepthwise) finish() {
	if d.means == nil {
		return
	}
	for n := range d.N {
		mean := d.means[n*d.In:][:d.In]
		copy(mean, d.sums.of(d.b, n*d.parts))
		for p := 1; p < d.parts; p++ {
			d.b.set.Add(mean, mean, d.sums.of(d.b, n*d.parts+p))
		}
		d.b.set.Scale(mean, mean, 1/float32(d.OutH*d.OutW))
	}
}
