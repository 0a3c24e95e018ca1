package cpu

import (
	"math"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

var kernelAct = [...]kernel.Act{
	backend.Identity:    kernel.Identity,
	backend.Swish:       kernel.Swish,
	backend.ReLU:        kernel.ReLU,
	backend.ReLU6:       kernel.ReLU6,
	backend.Sigmoid:     kernel.Sigmoid,
	backend.HardSwish:   kernel.HardSwish,
	backend.HardSigmoid: kernel.HardSigmoid,
}

// batchStats takes each block's moments.
func (b *Backend) batchStats(s backend.BatchStats, v [][]float32) backend.Launch {
	x, stats := v[0], v[1]
	n := blocks(s.Rows, s.C)
	var l layout
	m := newMoments(&l, n, s.C)
	b.reserve(l.size)
	task := func(_, i int) {
		from, to := span(s.Rows, n, i)
		m.add(b, i, x[from*s.C:to*s.C])
	}
	return func() {
		m.clear()
		b.pool.run(n, task)
		m.finish(b, stats)
	}
}

// moments gathers the mean and the variance of each channel of a map from the
// parts that tasks see: about a pivot of the task's own, the mean of its first
// rows, so that nothing cancels however large the mean. Parts are combined in their order by
// Chan's formula (Chan, Golub & LeVeque, 1979).
type moments struct {
	c        int
	parts    slot // of each part: pivot [C], sum [C], squares [C]
	rows     []int
	mean, m2 []float64
	task     func(worker, i int) // of finish
}

func newMoments(l *layout, parts, c int) *moments {
	return &moments{c: c, parts: l.take(parts, 3*c), rows: make([]int, parts), mean: make([]float64, c), m2: make([]float64, c)}
}

func (m *moments) clear() { clear(m.rows) }

// add takes rows [.., C] into a part.
func (m *moments) add(b *Backend, part int, x []float32) {
	p, c := m.parts.of(b, part), m.c
	if m.rows[part] == 0 {
		clear(p)
		b.set.ColumnSum(p[:c], x, c)
		b.set.Scale(p[:c], p[:c], float32(c)/float32(len(x)))
	}
	m.rows[part] += len(x) / c
	b.set.ColumnMoments(p[c:2*c], p[2*c:], x, p[:c], c)
}

// take is where a product's rows add to a part (kernel.Store); pivot makes the first
// row of the product, which is the part's pivot.
func (m *moments) take(b *Backend, part, rows int, pivot func([]float32)) []float32 {
	p := m.parts.of(b, part)
	if m.rows[part] == 0 {
		clear(p)
		pivot(p[:m.c])
	}
	m.rows[part] += rows
	return p
}

// finish writes stats [2,C]: the means, then the variances.
func (m *moments) finish(b *Backend, stats []float32) {
	if m.task == nil {
		m.task = func(_, i int) { m.finishSome(b, stats, i*finishedAtOnce, min((i+1)*finishedAtOnce, m.c)) }
	}
	b.pool.run((m.c+finishedAtOnce-1)/finishedAtOnce, m.task)
}

// finishedAtOnce is how many channels' parts a task combines.
const finishedAtOnce = 64

// finishSome is finish for the channels from..to.
func (m *moments) finishSome(b *Backend, stats []float32, from, to int) {
	mean, m2, count := m.mean[from:to], m.m2[from:to], 0.0
	clear(mean)
	clear(m2)
	for i, rows := range m.rows {
		if rows == 0 {
			continue
		}
		p, k := m.parts.of(b, i), float64(rows)
		share, each := k/(count+k), 1/k
		pivot, sums, squares := p[from:to], p[m.c+from:m.c+to], p[2*m.c+from:2*m.c+to]
		for c, sum := range sums {
			s := float64(sum)
			d := float64(pivot[c]) + s*each - mean[c]
			mean[c] += d * share
			m2[c] += float64(squares[c]) - s*s*each + d*d*count*share
		}
		count += k
	}
	for c := range mean {
		stats[from+c], stats[m.c+from+c] = float32(mean[c]), float32(max(m2[c], 0)/count)
	}
}

// foldNorm computes the per-channel form of a normalisation.
func foldNorm(n *kernel.Norm, stats, gamma, beta []float32, eps float32) {
	c := len(gamma)
	n.Mean = stats[:c]
	for i := range c {
		n.Scale[i] = gamma[i] / float32(math.Sqrt(float64(stats[c+i])+float64(eps)))
		n.Shift[i] = beta[i] - stats[i]*n.Scale[i]
	}
}

func newNorm(c int) *kernel.Norm {
	return &kernel.Norm{Scale: alloc(c), Shift: alloc(c)}
}

func (b *Backend) normAct(s backend.NormAct, v [][]float32) backend.Launch {
	x, y := v[0], v[4]
	norm, act, n := newNorm(s.C), kernelAct[s.Act], blocks(s.Rows, s.C)
	task := func(_, i int) {
		from, to := span(s.Rows, n, i)
		b.set.NormAct(y[from*s.C:to*s.C], x[from*s.C:to*s.C], norm, act, s.C)
	}
	return func() {
		foldNorm(norm, v[1], v[2], v[3], s.Eps)
		b.pool.run(n, task)
	}
}

func (b *Backend) normActGradSums(s backend.NormActGradSums, v [][]float32) backend.Launch {
	x, dy := v[0], v[4]
	return b.gradSums(s, v[1], v[2], v[3], v[5], func(db, dg []float32, from, to int, norm *kernel.Norm, act kernel.Act) {
		b.set.NormActGradSums(db, dg, x[from:to], dy[from:to], norm, act, s.C)
	})
}

// gradSums sums blocks of rows by add, which is given where in the maps they are.
func (b *Backend) gradSums(s backend.NormActGradSums, stats, gamma, beta, sums []float32,
	add func(db, dg []float32, from, to int, norm *kernel.Norm, act kernel.Act)) backend.Launch {
	norm, act, n := newNorm(s.C), kernelAct[s.Act], blocks(s.Rows, s.C)
	var l layout
	parts := l.take(n, 2*s.C)
	b.reserve(l.size)
	task := func(_, i int) {
		from, to := span(s.Rows, n, i)
		part := parts.of(b, i)
		clear(part)
		add(part[:s.C], part[s.C:], from*s.C, to*s.C, norm, act)
	}
	sum := b.sumSlots(sums, parts, n)
	return func() {
		foldNorm(norm, stats, gamma, beta, s.Eps)
		b.pool.run(n, task)
		sum()
		for c := range s.C {
			sums[s.C+c] /= float32(math.Sqrt(float64(stats[s.C+c]) + float64(s.Eps)))
		}
	}
}

func (b *Backend) normActGradInput(s backend.NormActGradInput, v [][]float32) backend.Launch {
	x, dy, dx := v[0], v[4], v[6]
	return b.gradInput(s, v[1], v[2], v[3], v[5], func(from, to int, norm *kernel.Norm, k1, k0 []float32, act kernel.Act) {
		b.set.NormActGradInput(dx[from:to], x[from:to], dy[from:to], norm, k1, k0, act, s.C)
	})
}

// gradInput makes blocks of rows by block, which is given where in the maps they are.
func (b *Backend) gradInput(s backend.NormActGradInput, stats, gamma, beta, sums []float32,
	block func(from, to int, norm *kernel.Norm, k1, k0 []float32, act kernel.Act)) backend.Launch {
	norm, act, n := newNorm(s.C), kernelAct[s.Act], blocks(s.Rows, s.C)
	k1, k0 := alloc(s.C), alloc(s.C)
	task := func(_, i int) {
		from, to := span(s.Rows, n, i)
		block(from*s.C, to*s.C, norm, k1, k0, act)
	}
	return func() {
		foldNorm(norm, stats, gamma, beta, s.Eps)
		if s.BatchStats {
			for c := range s.C {
				std := float32(math.Sqrt(float64(stats[s.C+c]) + float64(s.Eps)))
				k0[c] = -norm.Scale[c] * sums[c] / float32(s.Rows)
				k1[c] = -norm.Scale[c] * sums[s.C+c] / (std * float32(s.Rows))
			}
		}
		b.pool.run(n, task)
	}
}

func (b *Backend) columnSum(s backend.ColumnSum, v [][]float32) backend.Launch {
	x, y := v[0], v[1]
	n := blocks(s.Rows, s.Cols)
	var l layout
	parts := l.take(n, s.Cols)
	b.reserve(l.size)
	task := func(_, i int) {
		from, to := span(s.Rows, n, i)
		part := parts.of(b, i)
		clear(part)
		b.set.ColumnSum(part, x[from*s.Cols:to*s.Cols], s.Cols)
	}
	sum := b.sumSlots(y, parts, n)
	return func() {
		b.pool.run(n, task)
		sum()
	}
}
