package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// Depthwise convolutions go through an image row by row. The rows that a filter
// meets lie in a ring, made as they are needed (normalised, say) and padded with
// zeros on the left and right, so that all pixels of a row are computed alike.

// maxImageTasks bounds the tasks of a depthwise launch, and so its partial sums:
// a task is some of the batch's images.
const maxImageTasks = 32

// ring holds the last rows of an image. Its memory is a worker's.
type ring struct {
	rows, width, left, channels int
	mem                         slot
}

// newRing plans a ring for each worker, of the given rows of width pixels, with left
// and right zero pixels around them.
func newRing(l *layout, workers, rows, width, left, right, channels int) *ring {
	padded := left + width + right
	return &ring{rows, padded, left, channels, l.take(workers, rows*padded*channels)}
}

// at is where row r begins in the ring's memory, its padding first.
func (g *ring) at(r int) int { return r % g.rows * g.width * g.channels }

// row is the memory of row r of width pixels, without the padding.
func (g *ring) row(b *Backend, worker, r, width int) []float32 {
	return g.mem.of(b, worker)[g.at(r)+g.left*g.channels:][:width*g.channels]
}

// inputRing is a ring of a convolution's input rows.
func inputRing(l *layout, workers int, s backend.ConvShape) *ring {
	right := max(0, (s.OutW-1)*s.Stride+s.Kernel-s.Left-s.W)
	return newRing(l, workers, s.Kernel, s.W, s.Left, right, s.In)
}

// forwardTaps are the taps of output row oh: from x's ring and the weights, in
// rows of s.Kernel.
func forwardTaps(taps []kernel.Tap, s backend.ConvShape, g *ring, oh int) []kernel.Tap {
	taps = taps[:0]
	for kh := range s.Kernel {
		if ih := oh*s.Stride - s.Top + kh; ih >= 0 && ih < s.H {
			for kw := range s.Kernel {
				taps = append(taps, kernel.Tap{X: g.at(ih) + kw*s.In, W: (kh*s.Kernel + kw) * s.In})
			}
		}
	}
	return taps
}

// lastInput is the last input row that output row oh meets.
func lastInput(s backend.ConvShape, oh int) int {
	return min(oh*s.Stride-s.Top+s.Kernel-1, s.H-1)
}

// tapLists are lists of taps for each worker, long enough for any row.
func tapLists(workers, size int) [][]kernel.Tap {
	all := make([][]kernel.Tap, workers)
	for i := range all {
		all[i] = make([]kernel.Tap, 0, size)
	}
	return all
}

// normDepthwise is a depthwise convolution; in and stats are nil where there is
// nothing to normalise or to gather.
func (b *Backend) normDepthwise(s backend.ConvShape, in *normInput, x, w, y, stats []float32) backend.Launch {
	if b.set.HasLines(s.Kernel, s.Stride) {
		return b.depthwiseByLines(&lineConv{ConvShape: s, in: in, x: x, y: y}, w, stats)
	}
	tasks := min(s.N, maxImageTasks)
	var l layout
	g := inputRing(&l, b.pool.threads, s)
	m := newMoments(&l, tasks, s.In)
	b.reserve(l.size)
	taps := tapLists(b.pool.threads, s.Kernel*s.Kernel)
	row := s.OutW * s.In
	image := func(worker, task, n int) {
		filled := 0
		for oh := range s.OutH {
			for ; filled <= lastInput(s, oh); filled++ {
				in.read(b, g.row(b, worker, filled, s.W), x[(n*s.H+filled)*s.W*s.In:][:s.W*s.In])
			}
			t := forwardTaps(taps[worker], s, g, oh)
			out := y[(n*s.OutH+oh)*row:][:row]
			b.set.Depthwise(out, s.In, g.mem.of(b, worker), 0, s.Stride*s.In, w, t, s.Kernel, s.OutW, s.In)
			if stats != nil {
				m.add(b, task, out)
			}
		}
	}
	task := func(worker, i int) {
		clear(g.mem.of(b, worker))
		from, to := span(s.N, tasks, i)
		for n := from; n < to; n++ {
			image(worker, i, n)
		}
	}
	return func() {
		if in != nil {
			in.fold()
		}
		m.clear()
		b.pool.run(tasks, task)
		if stats != nil {
			m.finish(b, stats)
		}
	}
}

// read writes rows of a map as they are to be seen.
func (r *normInput) read(b *Backend, dst, x []float32) {
	if r == nil {
		copy(dst, x)
		return
	}
	b.set.NormAct(dst, x, r.norm, r.act, len(r.gamma))
}

func (b *Backend) compileNormDepthwise(s backend.NormDepthwise, v [][]float32) backend.Launch {
	x := next(&v)
	var in *normInput
	var stats []float32
	if s.Read != backend.Raw {
		in = nextNormInput(s.Norm, &v)
	}
	w, y := next(&v), next(&v)
	if s.Stats {
		stats = next(&v)
	}
	return b.normDepthwise(s.ConvShape, in, x, w, y, stats)
}
