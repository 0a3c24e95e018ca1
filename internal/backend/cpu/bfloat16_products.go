package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// Products of maps of bfloat16, and the fused launches that are made of them: as in
// pointwise.go and pointwise_grad.go, by pairs of neighbours along the inner dimension.

// pairWeights are a product's weights [k,n], or [n,k] if they are turned, as pairs: made
// anew in each launch.
type pairWeights struct {
	w        []float32
	k, n     int
	turned   bool
	packing  *kernel.Packing
	narrow   slot // w as bfloat16
	packed   slot
	narrowed backend.Launch
	pack     func(worker, i int)
	blocks   int
}

// fewValues is how many values of a map are made at once where they are wanted again at
// once: they stay in L1.
const fewValues = 2 << 10

// packedPairs is how many pairs of the inner dimension a task packs.
const packedPairs = 64

// newPairWeights plans the memory of weights.
func (b *Backend) newPairWeights(l *layout, w []float32, k, n int, turned bool) *pairWeights {
	p := &pairWeights{w: w, k: k, n: n, turned: turned, packing: b.set.NewPairPacking(k, n)}
	p.narrow, p.packed = l.take(1, (len(w)+1)/2), l.take(1, p.packing.Size())
	p.blocks = (p.packing.K + packedPairs - 1) / packedPairs
	p.narrowed = b.flat(len(w), func(from, to int) { b.set.Narrow(kernel.Halves(p.narrow.of(b, 0))[from:to], w[from:to]) })
	brs, bcs := n, 1
	if turned {
		brs, bcs = 1, k
	}
	p.pack = func(_, i int) {
		from := i * packedPairs
		b.set.PackPairs(p.packed.of(b, 0), p.packing, from, min(from+packedPairs, p.packing.K), k, kernel.Halves(p.narrow.of(b, 0)), brs, bcs)
	}
	return p
}

// prepare packs the weights as they are now.
func (p *pairWeights) prepare(b *Backend) {
	p.narrowed()
	b.pool.run(p.blocks, p.pack)
}

// times multiplies rows of bfloat16 with the weights.
func (p *pairWeights) times(b *Backend, rows, y []kernel.BF16, to *kernel.Store) {
	b.set.GemmHalf(len(rows)/p.k, kernel.Words(rows), p.k/2, 1, p.packing, p.packed.of(b, 0), y, p.n, to)
}

// pairGrad is weightGrad for maps of bfloat16: rows are taken in pairs.
type pairGrad struct {
	narrow, wide int
	p            *kernel.Packing
	zipped       slot // of each worker: the narrow side's pairs of rows
	packed       slot // of each worker
	parts        slot // of each task, [narrow,wide]
}

// pairRows is how many rows are packed and multiplied at once.
const pairRows = 2 * gradRows

func newPairGrad(b *Backend, l *layout, tasks, narrow, wide int) *pairGrad {
	p := b.set.NewPairPacking(pairRows, wide)
	return &pairGrad{narrow, wide, p, l.take(b.pool.threads, p.K*narrow), l.take(b.pool.threads, p.Size()), l.take(tasks, narrow*wide)}
}

// add adds what rows of the two maps give to a task's sum, which first clears.
func (g *pairGrad) add(b *Backend, worker, task int, narrow, wide []kernel.BF16, first bool, ahead []float32) {
	store := kernel.Store{Ahead: ahead}
	packed, zipped, sum := g.packed.of(b, worker), g.zipped.of(b, worker), g.parts.of(b, task)
	p := *g.p
	for len(wide) > 0 {
		rows := min(pairRows, len(wide)/g.wide)
		p.K = (rows + 1) / 2
		b.set.ZipRows(zipped, g.narrow, narrow, g.narrow, rows, g.narrow)
		b.set.PackPairs(packed, &p, 0, p.K, rows, wide, g.wide, 1)
		store.Add = !first
		b.set.GemmTo(g.narrow, zipped, 1, g.narrow, &p, packed, sum, g.wide, &store)
		narrow, wide, first = narrow[rows*g.narrow:], wide[rows*g.wide:], false
	}
}

// pairBlockGrad is blockGrad for maps of bfloat16.
type pairBlockGrad struct {
	*pairGrad
	kept *keptGrad
	rows slot // of each chunk that is kept: the narrow side's pairs of rows
}

func newPairBlockGrad(b *Backend, l *layout, all []rowBlock, tasks int, later bool, narrow, wide int) *pairBlockGrad {
	if !later {
		return &pairBlockGrad{pairGrad: newPairGrad(b, l, tasks, narrow, wide)}
	}
	pairs := make([]int, len(all))
	for i, blk := range all {
		pairs[i] = even(blk.to-blk.from) / 2
	}
	g := &pairGrad{narrow: narrow, wide: wide, parts: l.take(1, narrow*wide)}
	kept := newKeptGrad(b.set.NewPairPacking(2*keptInner, wide), l, pairs, narrow, wide)
	return &pairBlockGrad{g, kept, l.take(len(kept.chunks), keptInner*narrow)}
}

// block adds block i, or keeps it.
func (g *pairBlockGrad) block(b *Backend, worker, task, i int, narrow, wide []kernel.BF16, first bool, ahead []float32) {
	if g.kept == nil {
		g.add(b, worker, task, narrow, wide, first, ahead)
		return
	}
	rows, chunk, at := len(wide)/g.wide, g.kept.chunk[i], g.kept.at[i]
	packed, p := g.kept.of(b, chunk)
	b.set.PackPairRows(packed, p, at, rows, wide, g.wide)
	b.set.ZipRows(g.rows.of(b, chunk)[at*g.narrow:], g.narrow, narrow, g.narrow, rows, g.narrow)
}

// finish is blockGrad's.
func (g *pairBlockGrad) finish(b *Backend, tasks int) (run backend.Launch, parts int) {
	if g.kept == nil {
		return func() {}, tasks
	}
	return g.kept.finish(b, g.parts, func(chunk int) []float32 { return g.rows.of(b, chunk) }), 1
}

// normMatMulHalf is normMatMul.
func (b *Backend) normMatMulHalf(s backend.NormMatMul, v []operand) backend.Launch {
	if s.K%2 != 0 || s.N%2 != 0 {
		return nil
	}
	x := nextHalf(&v)
	var in *normInput
	var stats []float32
	gate := ones(s.K)
	gated := s.Read == backend.Gated
	if s.Read != backend.Raw {
		in = nextNorm(s.Norm, &v)
	}
	if gated {
		gate = nextFloats(&v)
	}
	w, y := nextFloats(&v), nextHalf(&v)
	if s.Stats {
		stats = nextFloats(&v)
	}

	all := productBlocks(s.M, s.Area, s.K, s.N)
	tasks := min(forwardTasks, len(all))
	var l layout
	weights, rows := b.newPairWeights(&l, w, s.K, s.N, false), l.take(b.pool.threads, blockSize(all, s.K)/2)
	m := newMoments(&l, tasks, s.N)
	b.reserve(l.size)
	task := func(worker, i int) {
		from, to := span(len(all), tasks, i)
		for k := from; k < to; k++ {
			blk := all[k]
			a := x[blk.from*s.K : blk.to*s.K]
			store := kernel.Store{Stream: s.M*s.N >= 2*streamValues}
			if k+1 < to {
				store.Ahead = wordsOf(x[blk.to*s.K : all[k+1].to*s.K])
			}
			if in != nil {
				a = kernel.Halves(rows.of(b, worker))[:len(a)]
				seen := x[blk.from*s.K : blk.to*s.K]
				if gated {
					blk.eachImage(s.Area, func(n, from, to int) {
						b.set.NormActHalf(a[from*s.K:to*s.K], seen[from*s.K:to*s.K], in.norm, in.act, gate[n*s.K:][:s.K], s.K)
					})
				} else {
					b.set.NormActHalf(a, seen, in.norm, in.act, gate, s.K)
				}
			}
			if stats != nil {
				store.Stats = m.take(b, i, blk.to-blk.from, func(pivot []float32) {
					b.set.Gemm(1, kernel.Words(a), s.K/2, 1, weights.packing, weights.packed.of(b, 0), pivot, s.N, false)
				})
			}
			weights.times(b, a, y[blk.from*s.N:blk.to*s.N], &store)
		}
	}
	return func() {
		if in != nil {
			in.fold()
		}
		m.clear()
		weights.prepare(b)
		b.pool.run(tasks, task)
		if stats != nil {
			m.finish(b, stats)
		}
	}
}

// expandGradHalf is expandGrad.
func (b *Backend) expandGradHalf(s backend.ExpandGrad, v []operand) backend.Launch {
	if s.K%2 != 0 || s.N%2 != 0 {
		return nil
	}
	x, w, c := nextHalf(&v), nextFloats(&v), nextHalf(&v)
	out := nextNorm(s.Norm, &v)
	dy, sums, dx, dw := v[0].h, v[1].f, v[2].h, v[3].f

	all, _ := rowBlocks(1, s.M, s.N+s.K)
	tasks, later := gradTasks(len(all), s.K*s.N)
	back := newNormBack(out, sums, s.M)
	var l layout
	weights, rows := b.newPairWeights(&l, w, s.N, s.K, true), l.take(b.pool.threads, blockSize(all, s.N)/2)
	g := newPairBlockGrad(b, &l, all, tasks, later, s.K, s.N)
	b.reserve(l.size)
	task := func(worker, i int) {
		from, to := span(len(all), tasks, i)
		for k, blk := range all[from:to] {
			dc := kernel.Halves(rows.of(b, worker))[:(blk.to-blk.from)*s.N]
			b.set.NormActGradInputHalf(dc, c[blk.from*s.N:blk.to*s.N], dy[blk.from*s.N:blk.to*s.N], out.norm, back.k1, back.k0, out.act, s.N)
			var nextC, nextDy []float32
			if from+k+1 < to {
				next := all[from+k+1]
				nextC, nextDy = wordsOf(c[next.from*s.N:next.to*s.N]), wordsOf(dy[next.from*s.N:next.to*s.N])
			}
			weights.times(b, dc, dx[blk.from*s.K:blk.to*s.K], &kernel.Store{Ahead: nextC})
			g.block(b, worker, i, from+k, x[blk.from*s.K:blk.to*s.K], dc, k == 0, nextDy)
		}
	}
	multiply, parts := g.finish(b, tasks)
	sum := b.sumSlots(dw, g.parts, parts)
	return func() {
		back.fold()
		weights.prepare(b)
		b.pool.run(tasks, task)
		multiply()
		sum()
	}
}

// projectGradHalf is projectGrad.
func (b *Backend) projectGradHalf(s backend.ProjectGrad, v []operand) backend.Launch {
	if s.K%2 != 0 || s.N%2 != 0 {
		return nil
	}
	x := nextHalf(&v)
	in := nextNorm(s.Norm, &v)
	images := s.M / s.Area
	gate := ones(images * s.K)
	if s.Read == backend.Gated {
		gate = nextFloats(&v)
	}
	w, dy, da, dw, sums := v[0].f, v[1].h, v[2].h, v[3].f, v[4].f

	all, perImage := rowBlocks(images, s.Area, s.N+s.K)
	tasks, later := gradTasks(len(all), s.K*s.N)
	var l layout
	few := max(1, fewValues/s.K) * s.K
	weights := b.newPairWeights(&l, w, s.N, s.K, true)
	rows, slopes, gated := l.take(b.pool.threads, few), l.take(b.pool.threads, few), l.take(b.pool.threads, blockSize(all, s.K)/2)
	gateSums := l.take(images*perImage, 5*s.K)
	g := newPairBlockGrad(b, &l, all, tasks, later, s.N, s.K)
	b.reserve(l.size)
	task := func(worker, i int) {
		from, to := span(len(all), tasks, i)
		for k, blk := range all[from:to] {
			din, dout := da[blk.from*s.K:blk.to*s.K], dy[blk.from*s.N:blk.to*s.N]
			seen := x[blk.from*s.K : blk.to*s.K]
			weights.times(b, dout, din, &kernel.Store{Ahead: wordsOf(seen)})
			a, slope := rows.of(b, worker), slopes.of(b, worker)
			product := kernel.Halves(gated.of(b, worker))[:len(din)]
			blk.eachImage(s.Area, func(n, start, end int) {
				sum := gateSums.of(b, n*perImage+(from+k)%perImage)
				clear(sum)
				for at := start * s.K; at < end*s.K; at += few {
					to := min(at+few, end*s.K)
					b.set.NormActSlopeHalf(a, slope, seen[at:to], in.norm, in.act, s.K)
					b.set.GateGradHalf(product[at:to], a, sum, seen[at:to], din[at:to], slope, in.norm.Mean, gate[n*s.K:][:s.K], s.K)
				}
			})
			g.block(b, worker, i, from+k, dout, product, k == 0, nil)
		}
	}
	gather, finish := b.gatherGateSums(s, in, sums, gateSums, perImage)
	multiply, parts := g.finish(b, tasks)
	sum := b.sumSlotsTransposed(dw, g.parts, parts, s.N, s.K)
	return func() {
		in.fold()
		weights.prepare(b)
		b.pool.run(tasks, task)
		multiply()
		sum()
		b.pool.run(images, gather)
		finish()
	}
}
