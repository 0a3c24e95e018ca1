package cpu

import (
	"slices"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// Folded 1x1 convolutions go through a map by blocks of rows, whose results are
// ended while they are in a cache. A block's boundaries depend on the image's
// shape alone, and each result on its own row and column, so that neither the
// batch nor the number of threads shows.

// blockRows is how many rows a block has at most, but for one that is an image.
const blockRows = 192

// foldedBlocks cuts images of area rows each: into an even number of blocks, or
// one, where an image has more rows than a block should; into blocks of several
// images where it has far fewer. k is the row's length.
func foldedBlocks(images, area, k int) []rowBlock {
	rows := min(max(128<<10/k, 48), blockRows)
	var all []rowBlock
	if area <= rows {
		each := max(1, (rows+rows/8)/area)
		for n := 0; n < images; n += each {
			all = append(all, rowBlock{n, n * area, min(n+each, images) * area})
		}
		return all
	}
	parts := (area + 2*rows - 1) / (2 * rows) * 2
	for n := range images {
		for p := range parts {
			from, to := span((area+11)/12, parts, p)
			all = append(all, rowBlock{n, n*area + from*12, n*area + min(to*12, area)})
		}
	}
	return all
}

// foldedMatMul is one FoldedMatMul.
type foldedMatMul struct {
	backend.FoldedMatMul
	b              *Backend
	w              *weights
	x, shortcut, y operand
	gate           []float32
	blocks         []rowBlock
	rows, results  slot         // of each worker: gated rows, and results of float32 where those are not y
	one            []float32    // [N], with maps of bfloat16
	plain          *kernel.Norm // [K], likewise: changes nothing

	// Where an image has many more rows than w has columns, its gate goes into
	// the weights instead of its rows: here into a copy of each worker's.
	gateWeights bool
	gated       slot
	images      []int // whose gate is in each worker's copy
}

func (b *Backend) foldedMatMul(s backend.FoldedMatMul, v []operand) backend.Program {
	m := &foldedMatMul{FoldedMatMul: s, b: b, x: nextOperand(&v)}
	if s.Gated {
		m.gate = nextFloats(&v)
	}
	w := nextFloats(&v)
	f := nextFolding(s.Norm, &v)
	if s.Residual {
		m.shortcut = nextOperand(&v)
	}
	m.y = nextOperand(&v)
	m.blocks = foldedBlocks(s.M/s.Area, s.Area, s.K)
	groups := b.groupsFor(len(m.blocks))
	if s.Pool {
		groups = b.groupsFor(1)
	}
	var prepare func()
	m.w, prepare = b.newMapWeights(w, blockSize(m.blocks, 1), s.K, s.N, groups, f)
	groups = len(m.w.groups)

	var l layout
	m.gateWeights = s.Gated && !m.w.half && s.Area > blockRows && 4*s.N <= s.Area
	if m.gateWeights {
		m.gated = l.take(b.pool.threads, m.w.size())
		m.images = make([]int, b.pool.threads)
	} else if s.Gated {
		m.rows = l.take(b.pool.threads, blockSize(m.blocks, s.K))
	}
	if s.Pool || m.y.h != nil {
		m.results = l.take(b.pool.threads, blockSize(m.blocks, s.N))
	}
	if m.x.h != nil {
		m.one, m.plain = ones(s.N), unit(s.K)
	}
	b.reserve(l.size)
	tasks, task := groups*len(m.blocks), func(worker, i int) { m.block(worker, i%groups, m.blocks[i/groups]) }
	if s.Pool {
		tasks, task = groups, m.pool
	}
	return backend.Program{Prepare: prepare, Run: func() {
		for i := range m.images {
			m.images[i] = -1
		}
		b.pool.run(tasks, task)
	}}
}

// groupsFor is into how many groups of columns a number of blocks of rows are cut, so
// that every thread has work.
func (b *Backend) groupsFor(blocks int) int { return (b.pool.threads + blocks - 1) / blocks }

// input is a block's rows of x, gated, as they are multiplied.
func (m *foldedMatMul) input(worker int, blk rowBlock) []float32 {
	at, size := blk.from*m.K, (blk.to-blk.from)*m.K
	if m.x.h != nil {
		x := m.x.h[at:][:size]
		if m.gate == nil {
			return kernel.Words(x)
		}
		a := kernel.Halves(m.rows.of(m.b, worker))[:size]
		m.eachGate(blk, func(from, to int, gate []float32) {
			m.b.set.NormActHalf(a[from:to], x[from:to], m.plain, kernel.Identity, gate, m.K)
		})
		return kernel.Words(a)
	}
	x := m.x.f[at:][:size]
	if m.gate != nil && !m.gateWeights {
		a := m.rows.of(m.b, worker)[:size]
		m.eachGate(blk, func(from, to int, gate []float32) {
			m.b.set.MulColumns(a[from:to], x[from:to], gate, m.K)
		})
		x = a
	}
	return m.w.rows(m.b, worker, x)
}

// eachGate calls f for the values of each image in a block, with the image's gate.
func (m *foldedMatMul) eachGate(blk rowBlock, f func(from, to int, gate []float32)) {
	for n, at, end := blk.image, 0, (blk.to-blk.from)*m.K; at < end; n++ {
		to := min(at+m.Area*m.K, end)
		f(at, to, m.gate[n*m.K:][:m.K])
		at = to
	}
}

// multiply is weights.multiply of a block, by the gated weights if they are.
func (m *foldedMatMul) multiply(worker, group int, blk rowBlock, a, c []float32, ldc int, add bool) {
	b, rows := m.b, blk.to-blk.from
	if !m.gateWeights {
		m.w.multiply(b, group, rows, a, c, ldc, add)
		return
	}
	copied := m.gated.of(b, worker)
	if m.images[worker] != blk.image {
		m.images[worker] = blk.image
		m.w.gate(b, copied, m.gate[blk.image*m.K:][:m.K])
	}
	g := &m.w.groups[group]
	b.set.Gemm(rows, a, m.K, 1, g.packing, copied[g.at:], c, ldc, add)
}

// block computes a group of columns of a block.
func (m *foldedMatMul) block(worker, group int, blk rowBlock) {
	g, rows := &m.w.groups[group], blk.to-blk.from
	a := m.input(worker, blk)
	at := blk.from*m.N + g.from
	bias := m.w.bias[g.from:g.to]
	if m.y.h != nil {
		m.halfBlock(worker, group, blk, a, at, bias)
		return
	}
	y := m.y.f[at : (blk.to-1)*m.N+g.to]
	if m.shortcut.f != nil {
		m.eachRow(y, m.shortcut.f[at:], bias, rows, backend.Identity)
	}
	m.multiply(worker, group, blk, a, y, m.N, m.shortcut.f != nil)
	if m.shortcut.f == nil {
		m.eachRow(y, y, bias, rows, m.Norm.Act)
	}
}

// halfBlock is block for results of bfloat16 from at on: they are made as float32.
func (m *foldedMatMul) halfBlock(worker, group int, blk rowBlock, a []float32, at int, bias []float32) {
	b, n, rows := m.b, len(bias), blk.to-blk.from
	c := m.results.of(b, worker)[:rows*n]
	if m.shortcut.h == nil {
		m.multiply(worker, group, blk, a, c, n, false)
		m.y.end(b, nil, at, m.N, c, bias, kernelAct[m.Norm.Act], n)
		return
	}
	for r := range rows {
		b.set.MulAddColumnsHalf(c[r*n:][:n], m.shortcut.h[at+r*m.N:][:n], m.one, bias, n)
	}
	m.multiply(worker, group, blk, a, c, n, true)
	for r := range rows {
		b.set.Narrow(m.y.h[at+r*m.N:], c[r*n:][:n])
	}
}

// eachRow is y = act(x + bias) on rows of one group of columns.
func (m *foldedMatMul) eachRow(y, x, bias []float32, rows int, act backend.Activation) {
	n := len(bias)
	if n == m.N {
		m.b.set.BiasAct(nil, y, n, x[:rows*n], bias, kernelAct[act], n)
		return
	}
	for r := range rows {
		m.b.set.BiasAct(nil, y[r*m.N:], n, x[r*m.N:][:n], bias, kernelAct[act], n)
	}
}

// pool computes the means of a group of columns.
func (m *foldedMatMul) pool(worker, group int) {
	b, g := m.b, &m.w.groups[group]
	n := g.to - g.from
	for _, blk := range m.blocks {
		rows := blk.to - blk.from
		z := m.results.of(b, worker)[:rows*n]
		m.multiply(worker, group, blk, m.input(worker, blk), z, n, false)
		for image, at := blk.image, blk.from; at < blk.to; image++ {
			to := min((image+1)*m.Area, blk.to)
			sum := m.y.f[image*m.N+g.from:][:n]
			if at == image*m.Area {
				clear(sum)
			}
			part := z[(at-blk.from)*n : (to-blk.from)*n]
			for rows := range slices.Chunk(part, kernel.CallRows(m.N)*n) { // the same for any groups, whose number is the threads'
				b.set.BiasAct(sum, rows, n, rows, m.w.bias[g.from:g.to], kernelAct[m.Norm.Act], n)
			}
			if to == (image+1)*m.Area {
				b.set.Scale(sum, sum, 1/float32(m.Area))
			}
			at = to
		}
	}
}

// linear is a product with a bias.
func (b *Backend) linear(s backend.Linear, v [][]float32) backend.Program {
	x, w, bias, y := v[0], v[1], v[2], v[3]
	m, prepare := b.newWeights(w, s.K, s.N, b.groupsFor(1), biasOnly(bias))
	task := func(_, i int) { m.dense(b, i, s.M, x, y, backend.Identity) }
	return backend.Program{Prepare: prepare, Run: func() { b.pool.run(len(m.groups), task) }}
}

// squeezeExcite is two products, cut by their columns.
func (b *Backend) squeezeExcite(s backend.SqueezeExcite, v [][]float32) backend.Program {
	x, gate := v[0], v[5]
	reduce, prepareReduce := b.newWeights(v[1], s.C, s.Squeeze, b.groupsFor(1), biasOnly(v[2]))
	expand, prepareExpand := b.newWeights(v[3], s.Squeeze, s.C, b.groupsFor(1), biasOnly(v[4]))
	var l layout
	hidden := l.take(1, s.N*s.Squeeze)
	b.reserve(l.size)
	first := func(_, i int) { reduce.dense(b, i, s.N, x, hidden.of(b, 0), s.Act) }
	second := func(_, i int) { expand.dense(b, i, s.N, hidden.of(b, 0), gate, s.Gate) }
	return backend.Program{
		Prepare: func() { prepareReduce(); prepareExpand() },
		Run: func() {
			b.pool.run(len(reduce.groups), first)
			b.pool.run(len(expand.groups), second)
		},
	}
}

// dense is y = act(x·w + bias) for a group of columns of rows of y.
func (m *weights) dense(b *Backend, i, rows int, x, y []float32, act backend.Activation) {
	g, n := &m.groups[i], len(m.bias)
	m.multiply(b, i, rows, x, y[g.from:], n, false)
	for r := range rows {
		row := y[r*n:][g.from:g.to]
		b.set.BiasAct(nil, row, n, row, m.bias[g.from:g.to], kernelAct[act], len(row))
	}
}
