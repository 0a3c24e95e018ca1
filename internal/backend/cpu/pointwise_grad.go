package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// gradTasks is into how many tasks the blocks of a backward pass are shared, each with its
// own sum of size weights' gradients. Where these would be too large, later says that the
// tasks sum nothing: the weights' gradient is made of the whole maps when they have ended,
// by columns.
func gradTasks(blocks, size int) (tasks int, later bool) {
	if wantedTasks*size > 2<<20 {
		return min(2*wantedTasks, blocks), true
	}
	return min(wantedTasks, blocks), false
}

// keptGrad is the gradient of a 1x1 convolution's weights where it is made later: each
// block of rows is packed when it is there, some blocks after one another, and all are
// multiplied at the end, in parts of the gradient that are sums of their own.
type keptGrad struct {
	narrow, wide int
	p            *kernel.Packing // of keptInner
	packed       slot            // of each chunk of blocks
	chunks       []keptChunk
	chunk, at    []int // of each block: its chunk, and where it begins there
}

// keptChunk is some blocks: the first, and their values of the inner dimension.
type keptChunk struct{ first, inner int }

// keptInner is how many values of the inner dimension a chunk has at most.
const keptInner = 240

// newKeptGrad plans chunks of blocks of a given inner size.
func newKeptGrad(p *kernel.Packing, l *layout, inner []int, narrow, wide int) *keptGrad {
	k := &keptGrad{narrow: narrow, wide: wide, p: p}
	for i, n := range inner {
		last := len(k.chunks) - 1
		if last < 0 || k.chunks[last].inner+n > keptInner {
			k.chunks = append(k.chunks, keptChunk{first: i})
			last++
		}
		k.chunk, k.at = append(k.chunk, last), append(k.at, k.chunks[last].inner)
		k.chunks[last].inner += n
	}
	k.packed = l.take(len(k.chunks), p.Size())
	return k
}

// of is where a chunk is packed, and how.
func (k *keptGrad) of(b *Backend, chunk int) ([]float32, *kernel.Packing) {
	p := *k.p
	p.K = k.chunks[chunk].inner
	return k.packed.of(b, chunk), &p
}

// finish returns the launch that makes the gradient: narrow is where the narrow map's rows
// of a chunk begin, as they are multiplied.
func (k *keptGrad) finish(b *Backend, sum slot, narrow func(chunk int) []float32) backend.Launch {
	panels := k.p.Panels()
	down := columnCuts(k.narrow, (wantedTasks+panels-1)/panels)
	task := func(_, i int) {
		from, to := down[i/panels], down[i/panels+1]
		for c := range k.chunks {
			packed, p := k.of(b, c)
			panel, at := p.Panel(i % panels)
			b.set.Gemm(to-from, narrow(c)[from:], 1, k.narrow, &panel, packed[at*p.K:], sum.of(b, 0)[from*k.wide+at:], k.wide, c > 0)
		}
	}
	tasks := panels * (len(down) - 1)
	return func() { b.pool.run(tasks, task) }
}

// weightGrad sums the gradient of a 1x1 convolution's weights: for a block of
// rows, narrowᵀ·wide, where wide, the map with more channels, is packed as the
// tiles' vector side.
type weightGrad struct {
	narrow, wide int
	p            *kernel.Packing
	packed       slot // of each worker
	parts        slot // of each task, [narrow,wide]
}

// gradRows is how many rows are packed and multiplied at once: a panel of them
// stays in L1 while all rows of the narrow side pass by.
const gradRows = 128

func newWeightGrad(b *Backend, l *layout, tasks, narrow, wide int) *weightGrad {
	p := b.set.NewPacking(gradRows, wide)
	return &weightGrad{narrow, wide, p, l.take(b.pool.threads, p.Size()), l.take(tasks, narrow*wide)}
}

// add adds what rows of the two maps give to a task's sum, which first clears. What is
// read next comes into the caches meanwhile.
func (g *weightGrad) add(b *Backend, worker, task int, narrow, wide []float32, first bool, ahead []float32) {
	store := kernel.Store{Ahead: ahead}
	packed, sum := g.packed.of(b, worker), g.parts.of(b, task)
	p := *g.p
	for len(wide) > 0 {
		p.K = min(gradRows, len(wide)/g.wide)
		b.set.PackBlock(packed, &p, 0, wide, g.wide, 1)
		store.Add = !first
		b.set.GemmTo(g.narrow, narrow, 1, g.narrow, &p, packed, sum, g.wide, &store)
		narrow, wide, first = narrow[p.K*g.narrow:], wide[p.K*g.wide:], false
	}
}

// blockGrad is a weightGrad of blocks of rows, or a keptGrad.
type blockGrad struct {
	*weightGrad
	kept   *keptGrad // nil: blocks are summed at once
	blocks []rowBlock
}

func newBlockGrad(b *Backend, l *layout, all []rowBlock, tasks int, later bool, narrow, wide int) *blockGrad {
	if !later {
		return &blockGrad{newWeightGrad(b, l, tasks, narrow, wide), nil, all}
	}
	g := &weightGrad{narrow: narrow, wide: wide, parts: l.take(1, narrow*wide)}
	rows := make([]int, len(all))
	for i, blk := range all {
		rows[i] = blk.to - blk.from
	}
	return &blockGrad{g, newKeptGrad(b.set.NewPacking(keptInner, wide), l, rows, narrow, wide), all}
}

// block adds block i, or keeps it.
func (g *blockGrad) block(b *Backend, worker, task, i int, narrow, wide []float32, first bool, ahead []float32) {
	if g.kept == nil {
		g.add(b, worker, task, narrow, wide, first, ahead)
		return
	}
	packed, p := g.kept.of(b, g.kept.chunk[i])
	b.set.PackRows(packed, p, g.kept.at[i], len(wide)/g.wide, wide, g.wide)
}

// finish is what is left to do when the tasks have ended, and how many of parts hold sums
// then.
func (g *blockGrad) finish(b *Backend, tasks int, narrow []float32) (run backend.Launch, parts int) {
	if g.kept == nil {
		return func() {}, tasks
	}
	return g.kept.finish(b, g.parts, func(chunk int) []float32 {
		return narrow[g.blocks[g.kept.chunks[chunk].first].from*g.narrow:]
	}), 1
}

// expandGrad: for each block of rows, make the gradient of the convolution's
// output in scratch, multiply it back to dx, and add it to a task's dw.
func (b *Backend) expandGrad(s backend.ExpandGrad, v [][]float32) backend.Launch {
	x, w, c := next(&v), next(&v), next(&v)
	out := nextNormInput(s.Norm, &v)
	dy, sums, dx, dw := v[0], v[1], v[2], v[3]

	all, _ := rowBlocks(1, s.M, s.N+s.K)
	tasks, later := gradTasks(len(all), s.K*s.N)
	p := b.set.NewPacking(s.N, s.K)
	back := newNormBack(out, sums, s.M)
	var l layout
	packed, rows := l.take(1, p.Size()), l.take(b.pool.threads, blockSize(all, s.N))
	g := newBlockGrad(b, &l, all, tasks, later, s.K, s.N)
	b.reserve(l.size)
	pack := func(_, i int) { b.set.PackBlock(packed.of(b, 0), p, i, w, 1, s.N) }
	task := func(worker, i int) {
		from, to := span(len(all), tasks, i)
		for k, blk := range all[from:to] {
			dc := rows.of(b, worker)[:(blk.to-blk.from)*s.N]
			back.run(b, dc, c[blk.from*s.N:blk.to*s.N], dy[blk.from*s.N:blk.to*s.N])
			nextC, nextDy := []float32(nil), []float32(nil)
			if from+k+1 < to {
				next := all[from+k+1]
				nextC, nextDy = c[next.from*s.N:next.to*s.N], dy[next.from*s.N:next.to*s.N]
			}
			b.set.GemmTo(blk.to-blk.from, dc, s.N, 1, p, packed.of(b, 0), dx[blk.from*s.K:blk.to*s.K], s.K, &kernel.Store{Ahead: nextC})
			g.block(b, worker, i, from+k, x[blk.from*s.K:blk.to*s.K], dc, k == 0, nextDy)
		}
	}
	finish, parts := g.finish(b, tasks, x)
	sum := b.sumSlots(dw, g.parts, parts)
	return func() {
		back.fold()
		b.pool.run(p.Blocks(), pack)
		b.pool.run(tasks, task)
		finish()
		sum()
	}
}

// normBack is the gradient of a normalisation's input, by the batch's
// statistics, ready to apply.
type normBack struct {
	*normInput
	sums   []float32
	rows   int
	k1, k0 []float32
}

func newNormBack(r *normInput, sums []float32, rows int) *normBack {
	c := len(r.gamma)
	return &normBack{r, sums, rows, alloc(c), alloc(c)}
}

func (n *normBack) fold() {
	n.normInput.fold()
	c := len(n.gamma)
	for i := range c {
		n.k0[i] = -n.norm.Scale[i] * n.sums[i] / float32(n.rows)
		n.k1[i] = -n.norm.Scale[i] * n.sums[c+i] / (n.std[i] * float32(n.rows))
	}
}

func (n *normBack) run(b *Backend, dx, x, dy []float32) {
	b.set.NormActGradInput(dx, x, dy, n.norm, n.k1, n.k0, n.act, len(n.gamma))
}

// projectGrad: for each block of rows, multiply dy back to da, compute what the
// convolution had read, take the sums of the gate and the normalisation, and add
// to a task's dw.
func (b *Backend) projectGrad(s backend.ProjectGrad, v [][]float32) backend.Launch {
	x := next(&v)
	in := nextNormInput(s.Norm, &v)
	images := s.M / s.Area
	gate := ones(images * s.K)
	if s.Read == backend.Gated {
		gate = next(&v)
	}
	w, dy, da, dw, sums := v[0], v[1], v[2], v[3], v[4]

	all, perImage := rowBlocks(images, s.Area, s.N+s.K)
	tasks, later := gradTasks(len(all), s.K*s.N)
	p := b.set.NewPacking(s.N, s.K)
	var l layout
	size := blockSize(all, s.K)
	packed, rows, slopes := l.take(1, p.Size()), l.take(b.pool.threads, size), l.take(b.pool.threads, size)
	gateSums := l.take(images*perImage, 5*s.K)
	g := newBlockGrad(b, &l, all, tasks, later, s.N, s.K)
	b.reserve(l.size)
	pack := func(_, i int) { b.set.PackBlock(packed.of(b, 0), p, i, w, 1, s.N) }
	task := func(worker, i int) {
		from, to := span(len(all), tasks, i)
		for k, blk := range all[from:to] {
			din, dout := da[blk.from*s.K:blk.to*s.K], dy[blk.from*s.N:blk.to*s.N]
			seen := x[blk.from*s.K : blk.to*s.K]
			b.set.GemmTo(blk.to-blk.from, dout, s.N, 1, p, packed.of(b, 0), din, s.K, &kernel.Store{Ahead: seen})
			a, slope := rows.of(b, worker)[:len(din)], slopes.of(b, worker)[:len(din)]
			b.set.NormActSlope(a, slope, seen, in.norm, in.act, s.K)
			blk.eachImage(s.Area, func(n, start, end int) {
				sum := gateSums.of(b, n*perImage+(from+k)%perImage)
				clear(sum)
				at, to := start*s.K, end*s.K
				b.set.GateGrad(a[at:to], sum, seen[at:to], din[at:to], slope[at:to], in.norm.Mean, gate[n*s.K:][:s.K], s.K)
			})
			g.block(b, worker, i, from+k, dout, a, k == 0, nil)
		}
	}
	gather, finish := b.gatherGateSums(s, in, sums, gateSums, perImage)
	multiply, parts := g.finish(b, tasks, dy)
	sum := b.sumSlotsTransposed(dw, g.parts, parts, s.N, s.K)
	return func() {
		in.fold()
		b.pool.run(p.Blocks(), pack)
		b.pool.run(tasks, task)
		multiply()
		sum()
		b.pool.run(images, gather)
		finish()
	}
}

// gatherGateSums returns the task that gathers an image's sums from its perImage blocks,
// and what is then left to do to have a ProjectGrad's.
func (b *Backend) gatherGateSums(s backend.ProjectGrad, in *normInput, sums []float32, blocks slot, perImage int) (gather func(worker, image int), finish func()) {
	images, parts := s.M/s.Area, sums
	if s.Read != backend.Gated {
		parts = alloc(5 * images * s.K)
	}
	gather = func(_, n int) { in.gateSums(b, parts, n, images, blocks, n*perImage, (n+1)*perImage) }
	return gather, func() {
		if s.Read != backend.Gated {
			sumUngated(b, sums, parts, s.K, images)
		}
	}
}

// gateGrads: each image's sums of the map, its slope and their gradient, which
// kernel.GateGrad multiplies by a gate, so by ones into scratch.
func (b *Backend) gateGrads(s backend.GateGrads, v [][]float32) backend.Launch {
	x := next(&v)
	in := nextNormInput(s.Norm, &v)
	da, parts := v[0], v[1]
	size, gate := s.Area*s.C, ones(s.C)
	var l layout
	maps, slopes, sums := l.take(b.pool.threads, size), l.take(b.pool.threads, size), l.take(s.N, 5*s.C)
	b.reserve(l.size)
	task := func(worker, n int) {
		a, slope, seen, sum := maps.of(b, worker), slopes.of(b, worker), x[n*size:][:size], sums.of(b, n)
		b.set.NormActSlope(a, slope, seen, in.norm, in.act, s.C)
		clear(sum)
		b.set.GateGrad(a, sum, seen, da[n*size:][:size], slope, in.norm.Mean, gate, s.C)
		in.gateSums(b, parts, n, s.N, sums, n, n+1)
	}
	return func() {
		in.fold()
		b.pool.run(s.N, task)
	}
}

// gateSums adds an image's blocks of kernel.GateGrad's sums, which are of x-mean
// where xhat is wanted, into parts [5,images,C].
func (r *normInput) gateSums(b *Backend, parts []float32, image, images int, blocks slot, from, to int) {
	c := len(r.std)
	for k := range 5 {
		part := parts[(k*images+image)*c:][:c]
		clear(part)
		for i := from; i < to; i++ {
			b.set.Add(part, part, blocks.of(b, i)[k*c:][:c])
		}
		if k >= 3 {
			b.set.MulColumns(part, part, r.perStd, c)
		}
	}
}

// sumUngated is NormActGradSums' sums [2,C] from parts of ungated images.
func sumUngated(b *Backend, sums, parts []float32, c, images int) {
	clear(sums)
	for n := range images {
		b.set.Add(sums[:c], sums[:c], parts[(images+n)*c:][:c])
		b.set.Add(sums[c:], sums[c:], parts[(3*images+n)*c:][:c])
	}
}

func ones(n int) []float32 {
	x := alloc(n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// gatedGradSums: both sums are dots over the images, of the parts with the gate
// and of the parts with dpool/Area.
func (b *Backend) gatedGradSums(s backend.GatedGradSums, v [][]float32) backend.Launch {
	parts, gate, dpool, sums := v[0], v[1], v[2], v[3]
	size := s.N * s.C
	return func() {
		for i := range 2 {
			sum, with, without := sums[i*s.C:][:s.C], parts[(2*i+1)*size:][:size], parts[(2*i+2)*size:][:size]
			clear(sum)
			b.set.ColumnDot(sum, without, dpool, s.C)
			b.set.Scale(sum, sum, 1/float32(s.Area))
			b.set.ColumnDot(sum, with, gate, s.C)
		}
	}
}
