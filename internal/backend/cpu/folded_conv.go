package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// convRows is how many rows of results a task of a folded convolution does.
const convRows = 8

// foldedConv multiplies a row of output pixels at a time, its input patches
// gathered into a matrix [OutW, Kernel*Kernel*In], and ends it.
func (b *Backend) foldedConv(s backend.FoldedConv, v [][]float32) backend.Program {
	x, w := next(&v), next(&v)
	patch := s.Kernel * s.Kernel * s.In
	m, prepare := b.newWeights(w, patch, s.Out, 1, nextFolding(s.Norm, &v))
	y := next(&v)
	var l layout
	patches := l.take(b.pool.threads, s.OutW*patch+kernel.Tail)
	b.reserve(l.size)
	tasks := s.N * ((s.OutH + convRows - 1) / convRows)
	task := func(worker, i int) {
		from, to := span(s.N*s.OutH, tasks, i)
		p := patches.of(b, worker)
		for r := from; r < to; r++ {
			b.gather(p, x, s.ConvShape, r)
			row := y[r*s.OutW*s.Out:][:s.OutW*s.Out]
			m.multiply(b, 0, s.OutW, p, row, s.Out, false)
			b.set.BiasAct(nil, row, s.Out, row, m.bias, kernelAct[s.Norm.Act], s.Out, 0)
		}
	}
	return backend.Program{Prepare: prepare, Run: func() { b.pool.run(tasks, task) }}
}

// gather is gatherPatches, a row of the filter at a time for the pixels whose
// patches are inside the image: a row of a patch is a run of x.
func (b *Backend) gather(dst, x []float32, s backend.ConvShape, r int) {
	n, top := r/s.OutH, r%s.OutH*s.Stride-s.Top
	from := (s.Left + s.Stride - 1) / s.Stride
	to := min((s.W-s.Kernel+s.Left)/s.Stride+1, s.OutW)
	if top < 0 || top+s.Kernel > s.H || s.W < s.Kernel || from >= to {
		gatherPatches(dst, x, s, r)
		return
	}
	run := s.Kernel * s.In
	patch := s.Kernel * run
	for kh := range s.Kernel {
		at := ((n*s.H+top+kh)*s.W + from*s.Stride - s.Left) * s.In
		b.set.Gather(dst[from*patch+kh*run:], patch, x[at:], s.Stride*s.In, to-from, run)
	}
	for ow := range from {
		gatherPatch(dst[ow*patch:], x, s, n, top, ow*s.Stride-s.Left)
	}
	for ow := to; ow < s.OutW; ow++ {
		gatherPatch(dst[ow*patch:], x, s, n, top, ow*s.Stride-s.Left)
	}
}

// gatherPatch writes the input patch at a place that may be outside the image.
func gatherPatch(dst, x []float32, s backend.ConvShape, n, top, left int) {
	for kh := range s.Kernel {
		for kw := range s.Kernel {
			if ih, iw := top+kh, left+kw; ih < 0 || ih >= s.H || iw < 0 || iw >= s.W {
				clear(dst[:s.In])
			} else {
				copy(dst[:s.In], x[((n*s.H+ih)*s.W+iw)*s.In:])
			}
			dst = dst[s.In:]
		}
	}
}
