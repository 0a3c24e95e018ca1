package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// With precision bf16, maps and their gradients are bfloat16 in memory, by the same rules
// as on a GPU (backend.SetTypes), and products are of bfloat16 with sums of float32.
// Everything else, and all arithmetic between, is float32.
//
// What has no launch for such maps runs as it is, on float32 made of them and narrowed
// again.

// Keep has the backend keep maps as a type; before anything is compiled.
func (b *Backend) Keep(maps backend.DType) { b.maps = maps }

// Types implements backend.Typer.
func (b *Backend) Types(spec backend.Spec, types []backend.DType) {
	backend.SetTypes(spec, b.maps, types)
}

// operand is the memory of one of a Spec's: of float32 or, for a map, of bfloat16.
type operand struct {
	f []float32
	h []kernel.BF16
}

func halves(v backend.View) []kernel.BF16 {
	return kernel.Halves(v.Buffer.(buffer)[v.Offset : v.Offset+v.DType.Room(v.Len)])[:v.Len]
}

// compileTyped compiles a Spec with operands of bfloat16.
func (b *Backend) compileTyped(spec backend.Spec, views []backend.View) (backend.Program, error) {
	if v := b.halfOperands(spec, views); v != nil {
		if program := b.compileHalf(spec, v); program.Run != nil {
			return program, nil
		}
	}
	wide := make([]backend.View, len(views))
	var before, after []func()
	for i, o := range spec.Operands() {
		wide[i] = views[i]
		if views[i].DType == backend.Float32 {
			continue
		}
		var err error
		if wide[i], err = b.temporary(i, o.Size); err != nil {
			return backend.Program{}, err
		}
		floats, half := values(wide[i]), halves(views[i])
		if o.Role.Reads() {
			before = append(before, b.flat(o.Size, func(from, to int) { b.set.Widen(floats[from:to], half[from:to]) }))
		}
		if o.Role.Writes() {
			after = append(after, b.flat(o.Size, func(from, to int) { b.set.Narrow(half[from:to], floats[from:to]) }))
		}
	}
	program, err := b.Compile(spec, wide...)
	if err != nil {
		return program, err
	}
	run := program.Run
	program.Run = func() {
		for _, widen := range before {
			widen()
		}
		run()
		for _, narrow := range after {
			narrow()
		}
	}
	return program, nil
}

// temporary is memory of float32 for operand i of the launch that runs.
func (b *Backend) temporary(i, n int) (backend.View, error) {
	for len(b.temporaries) <= i {
		b.temporaries = append(b.temporaries, nil)
	}
	if len(b.temporaries[i]) < n {
		made, err := b.Alloc(n)
		if err != nil {
			return backend.View{}, err
		}
		b.temporaries[i] = made.(buffer)
	}
	return backend.View{Buffer: b.temporaries[i], Len: n}, nil
}

// halfOperands are the operands of a Spec all of whose maps are of bfloat16; nil for
// others.
func (b *Backend) halfOperands(spec backend.Spec, views []backend.View) []operand {
	v := make([]operand, len(views))
	for i, o := range spec.Operands() {
		switch half := views[i].DType == backend.BFloat16; {
		case half != o.Role.Map():
			return nil
		case half:
			v[i].h = halves(views[i])
		default:
			v[i].f = values(views[i])
		}
	}
	return v
}

// floatOperands are operands of float32.
func floatOperands(v [][]float32) []operand {
	all := make([]operand, len(v))
	for i := range v {
		all[i].f = v[i]
	}
	return all
}

// compileHalf compiles what there is a launch for with maps of bfloat16; without a Run it
// is anything else.
func (b *Backend) compileHalf(spec backend.Spec, v []operand) backend.Program {
	switch s := spec.(type) {
	case backend.FoldedMatMul:
		if s.K%2 == 0 {
			return b.foldedMatMul(s, v)
		}
	case backend.FoldedConv:
		if s.In%2 == 0 {
			return b.foldedConv(s, v)
		}
	case backend.FoldedDepthwise:
		if s.Before.Kernel == 0 || s.Before.In%2 == 0 || !s.Before.Pointwise() {
			return b.foldedDepthwise(s, v)
		}
	default:
		return backend.Program{Run: b.compileHalfLaunch(spec, v)}
	}
	return backend.Program{}
}

// compileHalfLaunch is compileHalf for what has nothing to prepare.
func (b *Backend) compileHalfLaunch(spec backend.Spec, v []operand) backend.Launch {
	switch s := spec.(type) {
	case backend.NormMatMul:
		return b.normMatMulHalf(s, v)
	case backend.ExpandGrad:
		return b.expandGradHalf(s, v)
	case backend.ProjectGrad:
		return b.projectGradHalf(s, v)
	case backend.NormDepthwise:
		return b.normDepthwiseHalf(s, v)
	case backend.DepthwiseGrad:
		return b.depthwiseGradHalf(s, v)
	case backend.NormPool:
		return b.normPoolHalf(s, v)
	case backend.Conv:
		return b.convHalf(s, v)
	case backend.ConvGradWeight:
		return b.convGradWeightHalf(s, v)
	case backend.ConvGradInput:
		return b.convGradInputHalf(s, v)
	case backend.BatchStats:
		return b.batchStatsHalf(s, v)
	case backend.NormAct:
		return b.normActHalf(s, v)
	case backend.NormActGradSums:
		return b.normActGradSumsHalf(s, v)
	case backend.NormActGradInput:
		return b.normActGradInputHalf(s, v)
	case backend.DropPath:
		return b.images(s.N, func(n int) {
			b.set.ScaleHalf(v[2].h[n*s.Size:][:s.Size], v[0].h[n*s.Size:][:s.Size], keep(s, v[1].f, n))
		})
	case backend.ResidualAdd:
		return b.images(s.N, func(n int) {
			at := n * s.Size
			b.set.ScaleAddHalf(v[3].h[at:][:s.Size], v[0].h[at:][:s.Size], v[1].h[at:][:s.Size], keep(s.DropPath, v[2].f, n))
		})
	case backend.Add:
		return b.flat(s.N, func(from, to int) { b.set.AddHalf(v[2].h[from:to], v[0].h[from:to], v[1].h[from:to]) })
	case backend.Copy:
		return func() { copy(v[1].h, v[0].h) }
	}
	return nil
}

// upload is Upload to values of bfloat16, download Download of them.
func (b *Backend) upload(dst backend.View, src []float32) { b.set.Narrow(halves(dst), src) }
func (b *Backend) download(dst []float32, src backend.View) {
	b.set.Widen(dst, halves(src))
}

// reserveNarrow makes sure that narrowed has room for n values for each worker.
func (b *Backend) reserveNarrow(n int) {
	if len(b.narrow) > 0 && len(b.narrow[0]) >= n {
		return
	}
	b.narrow = make([][]kernel.BF16, b.pool.threads)
	for i := range b.narrow {
		b.narrow[i] = kernel.Halves(alloc((n + 1) / 2))
	}
}

// narrowed is rows of k values as pairs, the last of an odd number with a zero. They last
// until a worker narrows others.
func (b *Backend) narrowed(worker int, rows []float32, k int) []float32 {
	dst := b.narrow[worker][:len(rows)/k*even(k)]
	if k%2 == 0 {
		b.set.Narrow(dst, rows)
		return kernel.Words(dst)
	}
	for at := dst; len(rows) > 0; rows, at = rows[k:], at[k+1:] {
		b.set.Narrow(at[:k], rows[:k])
		at[k] = 0
	}
	return kernel.Words(dst)
}

// even is k or the number after it.
func even(k int) int { return (k + 1) / 2 * 2 }

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

// nextHalfNorm is nextNormInput of operands.
func nextHalfNorm(n backend.Norm, v *[]operand) *normInput {
	floats := [][]float32{(*v)[0].f, (*v)[1].f, (*v)[2].f}
	*v = (*v)[3:]
	return nextNormInput(n, &floats)
}

func nextHalf(v *[]operand) []kernel.BF16 {
	h := (*v)[0].h
	*v = (*v)[1:]
	return h
}

func nextFloats(v *[]operand) []float32 {
	f := (*v)[0].f
	*v = (*v)[1:]
	return f
}

// wordsOf is memory to fetch (kernel.Store.Ahead).
func wordsOf(h []kernel.BF16) []float32 { return kernel.Words(h[:len(h)/2*2]) }

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
		in = nextHalfNorm(s.Norm, &v)
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
	out := nextHalfNorm(s.Norm, &v)
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
	in := nextHalfNorm(s.Norm, &v)
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

// normDepthwiseHalf is compileNormDepthwise.
func (b *Backend) normDepthwiseHalf(s backend.NormDepthwise, v []operand) backend.Launch {
	if !b.set.HasLines(s.Kernel, s.Stride) {
		return nil
	}
	d := &lineConv{ConvShape: s.ConvShape, half: nextHalf(&v)}
	if s.Read != backend.Raw {
		d.in = nextHalfNorm(s.Norm, &v)
	}
	w, stats := nextFloats(&v), []float32(nil)
	d.halfOut = nextHalf(&v)
	if s.Stats {
		stats = nextFloats(&v)
	}
	return b.depthwiseByLines(d, w, stats)
}

// depthwiseGradHalf is normDepthwiseGrad.
func (b *Backend) depthwiseGradHalf(s backend.DepthwiseGrad, v []operand) backend.Launch {
	var l layout
	d := &depthwiseGrad{ConvShape: s.ConvShape, half: nextHalf(&v)}
	if s.Read == backend.Normed {
		d.in = nextHalfNorm(s.Norm, &v)
	}
	d.w = nextFloats(&v)
	c := nextHalf(&v)
	out := nextHalfNorm(s.Out, &v)
	dy, sums := nextHalf(&v), nextFloats(&v)
	var gate, dpool []float32
	if s.Gated {
		gate, dpool = nextFloats(&v), nextFloats(&v)
	}
	d.halfOut, d.dw = nextHalf(&v), nextFloats(&v)
	if s.Read == backend.Normed {
		d.dsums = nextFloats(&v)
	}

	back := newNormBack(out, sums, s.N*s.OutH*s.OutW)
	row := s.OutW * s.In
	scaled := l.take(b.pool.threads, row)
	d.wide = l.take(b.pool.threads, s.W*s.In)
	spread := alloc(len(dpool)) // of each pixel
	d.gradRow = func(worker int, dst []float32, r int) {
		g := scaled.of(b, worker)
		if gate != nil {
			n := r / s.OutH
			b.set.MulAddColumnsHalf(g, dy[r*row:][:row], gate[n*s.In:][:s.In], spread[n*s.In:][:s.In], s.In)
		} else {
			b.set.Widen(g, dy[r*row:][:row])
		}
		b.set.NormActGradInputFrom(dst, c[r*row:][:row], g, out.norm, back.k1, back.k0, out.act, s.In)
	}
	d.fold = func() {
		back.fold()
		if d.in != nil {
			d.in.fold()
		}
		b.set.Scale(spread, dpool, 1/float32(s.OutH*s.OutW))
	}
	return b.newDepthwiseGrad(d, &l)
}

// normPoolHalf is normPool.
func (b *Backend) normPoolHalf(s backend.NormPool, v []operand) backend.Launch {
	x := nextHalf(&v)
	in := nextHalfNorm(s.Norm, &v)
	return b.poolImages(s, in, nextFloats(&v), func(sum []float32, from, to int) {
		b.set.NormActSumHalf(sum, x[from:to], in.norm, in.act, s.C)
	})
}

// normActHalf is normAct.
func (b *Backend) normActHalf(s backend.NormAct, v []operand) backend.Launch {
	x, y, one := v[0].h, v[4].h, ones(s.C)
	norm, act, n := newNorm(s.C), kernelAct[s.Act], blocks(s.Rows, s.C)
	task := func(_, i int) {
		from, to := span(s.Rows, n, i)
		b.set.NormActHalf(y[from*s.C:to*s.C], x[from*s.C:to*s.C], norm, act, one, s.C)
	}
	return func() {
		foldNorm(norm, v[1].f, v[2].f, v[3].f, s.Eps)
		b.pool.run(n, task)
	}
}

// normActGradSumsHalf is normActGradSums.
func (b *Backend) normActGradSumsHalf(s backend.NormActGradSums, v []operand) backend.Launch {
	x, dy := v[0].h, v[4].h
	return b.gradSums(s, v[1].f, v[2].f, v[3].f, v[5].f, func(db, dg []float32, from, to int, norm *kernel.Norm, act kernel.Act) {
		b.set.NormActGradSumsHalf(db, dg, x[from:to], dy[from:to], norm, act, s.C)
	})
}

// normActGradInputHalf is normActGradInput.
func (b *Backend) normActGradInputHalf(s backend.NormActGradInput, v []operand) backend.Launch {
	x, dy, dx := v[0].h, v[4].h, v[6].h
	return b.gradInput(s, v[1].f, v[2].f, v[3].f, v[5].f, func(from, to int, norm *kernel.Norm, k1, k0 []float32, act kernel.Act) {
		b.set.NormActGradInputHalf(dx[from:to], x[from:to], dy[from:to], norm, k1, k0, act, s.C)
	})
}
