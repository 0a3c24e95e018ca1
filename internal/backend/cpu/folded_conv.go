package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// convRows is how many rows of results a task of a folded convolution does.
const convRows = 8

// foldedConv multiplies a row of output pixels at a time, its input patches
// gathered into a matrix [OutW, Kernel*Kernel*In], and ends it. Of a map of bfloat16
// patches are gathered as pairs of channels.
func (b *Backend) foldedConv(s backend.FoldedConv, v []operand) backend.Program {
	x, w := nextOperand(&v), nextFloats(&v)
	patch := s.Kernel * s.Kernel * s.In
	m, prepare := b.newMapWeights(w, s.OutW, patch, s.Out, 1, nextFolding(s.Norm, &v))
	y := nextOperand(&v)
	var l layout
	patches, results := l.take(b.pool.threads, s.OutW*patch+kernel.Tail), l.take(b.pool.threads, s.OutW*s.Out)
	b.reserve(l.size)
	tasks := s.N * ((s.OutH + convRows - 1) / convRows)
	pairs := s.ConvShape
	pairs.In /= 2
	task := func(worker, i int) {
		from, to := span(s.N*s.OutH, tasks, i)
		p, c := patches.of(b, worker), results.of(b, worker)
		for r := from; r < to; r++ {
			var rows []float32
			if x.h != nil {
				b.gatherPatches(p, kernel.Words(x.h), pairs, r)
				rows = p
			} else {
				b.gatherPatches(p, x.f, s.ConvShape, r)
				rows = m.rows(b, worker, p[:s.OutW*patch])
			}
			m.multiply(b, 0, s.OutW, rows, c, s.Out, false)
			y.end(b, nil, r*s.OutW*s.Out, s.Out, c, m.bias, kernelAct[s.Norm.Act], s.Out)
		}
	}
	return backend.Program{Prepare: prepare, Run: func() { b.pool.run(tasks, task) }}
}
