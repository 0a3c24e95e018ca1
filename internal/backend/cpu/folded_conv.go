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
			foldedPatches(p, x, s.ConvShape, r)
			row := y[r*s.OutW*s.Out:][:s.OutW*s.Out]
			m.multiply(b, 0, s.OutW, p, row, s.Out, false)
			b.set.BiasAct(nil, row, s.Out, row, m.bias, kernelAct[s.Norm.Act], s.Out, 0)
		}
	}
	return backend.Program{Prepare: prepare, Run: func() { b.pool.run(tasks, task) }}
}

// foldedPatches is gatherPatches, faster for a filter of 3x3 over 3 channels
// where it is inside the image: a row of a patch is 9 values in sequence.
func foldedPatches(dst, x []float32, s backend.ConvShape, r int) {
	n, top := r/s.OutH, r%s.OutH*s.Stride-s.Top
	if s.Kernel != 3 || s.In != 3 || top < 0 || top+3 > s.H {
		gatherPatches(dst, x, s, r)
		return
	}
	for ow := range s.OutW {
		left := ow*s.Stride - s.Left
		p := dst[ow*27:][:27]
		if left < 0 || left+3 > s.W {
			gatherPatch(p, x, s, n, top, left)
			continue
		}
		row := x[((n*s.H+top)*s.W+left)*3:]
		*(*[9]float32)(p) = [9]float32(row)
		*(*[9]float32)(p[9:]) = [9]float32(row[s.W*3:])
		*(*[9]float32)(p[18:]) = [9]float32(row[2*s.W*3:])
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
