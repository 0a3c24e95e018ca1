package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// Dense convolutions of maps of bfloat16. Patches are gathered as pairs of channels, as
// products take them. Where channels do not come in pairs, as those of an image, the rows
// that a row of results meets are made float32, and so is the product.

// patchRows gathers the patches of rows of results from a map of bfloat16.
type patchRows struct {
	backend.ConvShape
	x     []kernel.BF16
	pairs bool
	mem   slot // of each worker: the patches of a row
	rows  slot // of each worker, unless pairs: the input rows that it meets
}

func newPatchRows(l *layout, workers int, s backend.ConvShape, x []kernel.BF16) *patchRows {
	p := &patchRows{ConvShape: s, x: x, pairs: s.In%2 == 0}
	p.mem = l.take(workers, s.OutW*s.Kernel*s.Kernel*s.In+kernel.Tail)
	if !p.pairs {
		p.rows = l.take(workers, s.Kernel*s.W*s.In)
	}
	return p
}

// of gathers the patches of row r of N*OutH: as pairs, or as float32.
func (p *patchRows) of(b *Backend, worker, r int) []float32 {
	patches, s := p.mem.of(b, worker), p.ConvShape
	if p.pairs {
		s.In /= 2
		b.gatherPatches(patches, kernel.Words(p.x), s, r)
		return patches
	}
	n, top := r/s.OutH, r%s.OutH*s.Stride-s.Top
	from, to := max(top, 0), min(top+s.Kernel, s.H)
	rows, row := p.rows.of(b, worker), s.W*s.In
	b.set.Widen(rows, p.x[(n*s.H+from)*row:(n*s.H+max(from, to))*row])
	s.N, s.H, s.OutH, s.Top = 1, max(from, to)-from, 1, from-top
	b.gatherPatches(patches, rows, s, 0)
	return patches
}

// convHalf is conv.
func (b *Backend) convHalf(s backend.Conv, v []operand) backend.Launch {
	w, y := v[1].f, v[2].h
	patch := s.Kernel * s.Kernel * s.In
	var l layout
	patches := newPatchRows(&l, b.pool.threads, s.ConvShape, v[0].h)
	var row func(worker, i int)
	var prepare backend.Launch
	if patches.pairs {
		weights := b.newPairWeights(&l, w, patch, s.Out, false)
		prepare = func() { weights.prepare(b) }
		row = func(worker, i int) {
			words := patches.of(b, worker, i)[:s.OutW*patch/2]
			weights.times(b, kernel.Halves(words), y[i*s.OutW*s.Out:][:s.OutW*s.Out], &kernel.Store{})
		}
	} else {
		p := b.set.NewPacking(patch, s.Out)
		packed, results := l.take(1, p.Size()), l.take(b.pool.threads, s.OutW*s.Out)
		pack := func(_, i int) { b.set.PackBlock(packed.of(b, 0), p, i, w, s.Out, 1) }
		prepare = func() { b.pool.run(p.Blocks(), pack) }
		row = func(worker, i int) {
			c := results.of(b, worker)
			b.set.Gemm(s.OutW, patches.of(b, worker, i), patch, 1, p, packed.of(b, 0), c, s.Out, false)
			b.set.Narrow(y[i*s.OutW*s.Out:], c)
		}
	}
	b.reserve(l.size)
	return func() {
		prepare()
		b.pool.run(s.N*s.OutH, row)
	}
}

// convGradWeightHalf is convGradWeight.
func (b *Backend) convGradWeightHalf(s backend.ConvGradWeight, v []operand) backend.Launch {
	dy, dw := v[1].h, v[2].f
	patch, size := s.Kernel*s.Kernel*s.In, s.OutW*s.Out
	rows := s.N * s.OutH
	parts := reduceParts(rows*s.OutW, patch*s.Out)
	var l layout
	patches := newPatchRows(&l, b.pool.threads, s.ConvShape, v[0].h)
	var sums slot
	var add func(worker, part, r int, first bool)
	if patches.pairs {
		g := newPairGrad(b, &l, parts, patch, s.Out)
		sums = g.parts
		add = func(worker, part, r int, first bool) {
			words := patches.of(b, worker, r)[:s.OutW*patch/2]
			g.add(b, worker, part, kernel.Halves(words), dy[r*size:][:size], first, nil)
		}
	} else {
		g, wide := newWeightGrad(b, &l, parts, patch, s.Out), l.take(b.pool.threads, size)
		sums = g.parts
		add = func(worker, part, r int, first bool) {
			grad := wide.of(b, worker)
			b.set.Widen(grad, dy[r*size:][:size])
			g.add(b, worker, part, patches.of(b, worker, r), grad, first, nil)
		}
	}
	b.reserve(l.size)
	multiply := func(worker, i int) {
		from, to := span(rows, parts, i)
		for r := from; r < to; r++ {
			add(worker, i, r, r == from)
		}
	}
	sum := b.sumSlots(dw, sums, parts)
	return func() {
		b.pool.run(parts, multiply)
		sum()
	}
}

// convGradInputHalf is convGradInput: an image's gradient is summed in float32.
func (b *Backend) convGradInputHalf(s backend.ConvGradInput, v []operand) backend.Launch {
	if s.Out%2 != 0 {
		return nil
	}
	dy, w, dx := v[0].h, v[1].f, v[2].h
	patch, size := s.Kernel*s.Kernel*s.In, s.OutW*s.Out
	image := s.ConvShape
	image.N = 1
	var l layout
	weights := b.newPairWeights(&l, w, s.Out, patch, true)
	patches, sums := l.take(b.pool.threads, s.OutW*patch), l.take(b.pool.threads, s.H*s.W*s.In)
	b.reserve(l.size)
	task := func(worker, n int) {
		a, sum := patches.of(b, worker), sums.of(b, worker)
		clear(sum)
		for r := range s.OutH {
			rows := dy[(n*s.OutH+r)*size:][:size]
			b.set.Gemm(s.OutW, kernel.Words(rows), s.Out/2, 1, weights.packing, weights.packed.of(b, 0), a, patch, false)
			scatterPatches(sum, a, image, r)
		}
		b.set.Narrow(dx[n*len(sum):], sum)
	}
	return func() {
		weights.prepare(b)
		b.pool.run(s.N, task)
	}
}

// batchStatsHalf is batchStats.
func (b *Backend) batchStatsHalf(s backend.BatchStats, v []operand) backend.Launch {
	x, stats := v[0].h, v[1].f
	n := blocks(s.Rows, s.C)
	few := max(1, fewValues/s.C) * s.C
	var l layout
	m, rows := newMoments(&l, n, s.C), l.take(b.pool.threads, few)
	b.reserve(l.size)
	task := func(worker, i int) {
		from, to := span(s.Rows, n, i)
		for at := from * s.C; at < to*s.C; at += few {
			part := rows.of(b, worker)[:min(few, to*s.C-at)]
			b.set.Widen(part, x[at:at+len(part)])
			m.add(b, i, part)
		}
	}
	return func() {
		m.clear()
		b.pool.run(n, task)
		m.finish(b, stats)
	}
}
