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
	m, prepare := b.newMapWeights(w, s.OutW, patch, s.Out, 1, nextFolding(s.Norm, &v))
	y := next(&v)
	var l layout
	patches := l.take(b.pool.threads, s.OutW*patch+kernel.Tail)
	b.reserve(l.size)
	tasks := s.N * ((s.OutH + convRows - 1) / convRows)
	task := func(worker, i int) {
		from, to := span(s.N*s.OutH, tasks, i)
		p := patches.of(b, worker)
		for r := from; r < to; r++ {
			b.gatherPatches(p, x, s.ConvShape, r)
			row := y[r*s.OutW*s.Out:][:s.OutW*s.Out]
			m.multiply(b, worker, 0, s.OutW, p, row, s.Out, false)
			b.set.BiasAct(nil, row, s.Out, row, m.bias, kernelAct[s.Norm.Act], s.Out)
		}
	}
	return backend.Program{Prepare: prepare, Run: func() { b.pool.run(tasks, task) }}
}
