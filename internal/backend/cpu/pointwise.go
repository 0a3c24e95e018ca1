package cpu

import (
	"math"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// The fused forms of 1x1 convolutions go through a map by blocks of rows that
// stay in L2: what is read is made in scratch memory, multiplied, and its
// results are summed while they are there.

// rowBlock is a run of a map's rows: of one image, or of several whole ones.
type rowBlock struct{ image, from, to int }

// rowBlocks cuts maps of area rows each into blocks of at most about 64K values
// over width columns, and of 48 to 384 rows, the tiles' heights dividing them, or of 24
// where there would be fewer than wantedTasks blocks. Every image has perImage blocks,
// unless it shares one with others.
func rowBlocks(images, area, width int) (all []rowBlock, perImage int) {
	rows := min(max(64<<10/width, 48), 384) / 12 * 12
	if images*area < wantedTasks*rows {
		rows = 24
	}
	if group := rows / area; group > 1 {
		for n := 0; n < images; n += group {
			all = append(all, rowBlock{n, n * area, min(n+group, images) * area})
		}
		return all, 1
	}
	perImage = max(1, (area+rows/2)/rows)
	for n := range images {
		for p := range perImage {
			from, to := span((area+11)/12, perImage, p)
			all = append(all, rowBlock{n, n*area + from*12, n*area + min(to*12, area)})
		}
	}
	return all, perImage
}

// eachImage calls f for the rows of each image in a block, counted from its
// first.
func (blk rowBlock) eachImage(area int, f func(image, from, to int)) {
	for at, n := blk.from, blk.image; at < blk.to; n++ {
		end := min((n+1)*area, blk.to)
		f(n, at-blk.from, end-blk.from)
		at = end
	}
}

// wantedTasks is how many tasks a launch should have at least, where there is enough to
// do: no thread of as many should be idle.
const wantedTasks = 32

// forwardTasks is into how many tasks the blocks of a forward pass are shared.
const forwardTasks = wantedTasks

// normInput is how a fused launch reads a map: a normalisation of its own, folded
// before each launch.
type normInput struct {
	norm                *kernel.Norm
	act                 kernel.Act
	eps                 float32
	stats, gamma, shift []float32
	std, perStd         []float32 // sqrt(variance + eps), and 1 over it
}

// nextNormInput takes the three operands of a norm.
func nextNormInput(n backend.Norm, v *[][]float32) *normInput {
	stats, gamma, shift := next(v), next(v), next(v)
	c := len(gamma)
	return &normInput{newNorm(c), kernelAct[n.Act], n.Eps, stats, gamma, shift, alloc(c), alloc(c)}
}

func (r *normInput) fold() {
	foldNorm(r.norm, r.stats, r.gamma, r.shift, r.eps)
	for i := range r.std {
		r.std[i] = float32(math.Sqrt(float64(r.stats[len(r.std)+i]) + float64(r.eps)))
		r.perStd[i] = 1 / r.std[i]
	}
}

// next takes the first of v.
func next(v *[][]float32) []float32 {
	x := (*v)[0]
	*v = (*v)[1:]
	return x
}

// normMatMul: for each block of rows, read it into scratch, multiply, and take
// the moments of the result.
func (b *Backend) normMatMul(s backend.NormMatMul, v [][]float32) backend.Launch {
	x := next(&v)
	var in *normInput
	var gate, stats []float32
	if s.Read != backend.Raw {
		in = nextNormInput(s.Norm, &v)
	}
	if s.Read == backend.Gated {
		gate = next(&v)
	}
	w, y := next(&v), next(&v)
	if s.Stats {
		stats = next(&v)
	}

	all := productBlocks(s.M, s.Area, s.K, s.N)
	tasks := min(forwardTasks, len(all))
	p := b.set.NewPacking(s.K, s.N)
	var l layout
	packed, rows := l.take(1, p.Size()), l.take(b.pool.threads, blockSize(all, s.K))
	m := newMoments(&l, tasks, s.N)
	b.reserve(l.size)
	pack := func(_, i int) { b.set.PackBlock(packed.of(b, 0), p, i, w, s.N, 1) }
	task := func(worker, i int) {
		from, to := span(len(all), tasks, i)
		for k := from; k < to; k++ {
			blk := all[k]
			a := x[blk.from*s.K : blk.to*s.K]
			store := kernel.Store{Stream: s.M*s.N >= streamValues}
			if k+1 < to {
				store.Ahead = x[blk.to*s.K : all[k+1].to*s.K]
			}
			if in != nil {
				a = rows.of(b, worker)[:len(a)]
				b.set.NormAct(a, x[blk.from*s.K:blk.to*s.K], in.norm, in.act, s.K)
			}
			if gate != nil {
				blk.eachImage(s.Area, func(n, from, to int) {
					part := a[from*s.K : to*s.K]
					b.set.MulColumns(part, part, gate[n*s.K:][:s.K], s.K)
				})
			}
			out := y[blk.from*s.N : blk.to*s.N]
			if stats != nil {
				store.Stats = m.take(b, i, blk.to-blk.from, func(pivot []float32) {
					b.set.Gemm(1, a, s.K, 1, p, packed.of(b, 0), pivot, s.N, false)
				})
			}
			b.set.GemmTo(blk.to-blk.from, a, s.K, 1, p, packed.of(b, 0), out, s.N, &store)
		}
	}
	return func() {
		if in != nil {
			in.fold()
		}
		m.clear()
		b.pool.run(p.Blocks(), pack)
		b.pool.run(tasks, task)
		if stats != nil {
			m.finish(b, stats)
		}
	}
}

// streamValues is how many values a map has that no cache keeps until it is read
// again: 8 MiB.
const streamValues = 2 << 20

// productBlocks cuts the rows of a product of k inner values and n columns into blocks:
// of about 16K values that are read, which stay in L1 or near it, but enough rows where B
// is large, since each block has all of B pass by.
func productBlocks(m, area, k, n int) (all []rowBlock) {
	const tall = 24 // what the tiles' heights divide
	rows := min(max(16<<10/k/tall*tall, tall), 4*tall)
	if k*n > 32<<10 {
		rows = 4 * tall
	}
	for at := 0; at < m; at += rows {
		all = append(all, rowBlock{at / area, at, min(at+rows, m)})
	}
	return all
}

// blockSize is how many values the largest block has over width columns.
func blockSize(all []rowBlock, width int) int {
	most := 0
	for _, blk := range all {
		most = max(most, (blk.to-blk.from)*width)
	}
	return most
}

// normPool sums an image block by block.
func (b *Backend) normPool(s backend.NormPool, v [][]float32) backend.Launch {
	x := next(&v)
	in := nextNormInput(s.Norm, &v)
	return b.poolImages(s, in, next(&v), func(sum []float32, from, to int) {
		b.set.NormActSum(sum, x[from:to], in.norm, in.act, s.C)
	})
}

// poolImages sums images block by block by add, which is given where in the map one is.
func (b *Backend) poolImages(s backend.NormPool, in *normInput, y []float32, add func(sum []float32, from, to int)) backend.Launch {
	rows := max(1, blockValues/s.C)
	var l layout
	partial := l.take(b.pool.threads, s.C)
	b.reserve(l.size)
	task := func(worker, n int) {
		sum, part := y[n*s.C:][:s.C], partial.of(b, worker)
		clear(sum)
		for r := 0; r < s.Area; r += rows { // one long sum would lose digits
			clear(part)
			add(part, (n*s.Area+r)*s.C, (n*s.Area+min(r+rows, s.Area))*s.C)
			b.set.Add(sum, sum, part)
		}
		b.set.Scale(sum, sum, 1/float32(s.Area))
	}
	return func() {
		in.fold()
		b.pool.run(s.N, task)
	}
}
