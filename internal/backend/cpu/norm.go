package cpu

import (
	"math"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

var kernelAct = [...]kernel.Act{
	backend.Identity: kernel.Identity,
	backend.Swish:    kernel.Swish,
	backend.ReLU6:    kernel.ReLU6,
	backend.Sigmoid:  kernel.Sigmoid,
}

// batchStats takes each block's mean and sum of squared differences from it in
// two passes over cached rows, and combines the blocks by Chan's formula (Chan,
// Golub & LeVeque, 1979): no cancellation, however large the mean.
func (b *Backend) batchStats(s backend.BatchStats, v [][]float32) backend.Launch {
	x, stats := v[0], v[1]
	n := blocks(s.Rows, s.C)
	b.reserve(n * 2 * s.C)
	task := func(_, i int) {
		from, to := span(s.Rows, n, i)
		rows := x[from*s.C : to*s.C]
		mean, squares := b.scratch[i*2*s.C:][:s.C], b.scratch[(i*2+1)*s.C:][:s.C]
		clear(mean)
		clear(squares)
		b.set.ColumnSum(mean, rows, s.C, 0)
		b.set.Scale(mean, mean, 1/float32(to-from), 0)
		b.set.ColumnSquares(squares, rows, mean, s.C, 0)
	}
	return func() {
		b.pool.run(n, task)
		for c := range s.C {
			var count, mean, m2 float64
			for i := range n {
				from, to := span(s.Rows, n, i)
				k := float64(to - from)
				d := float64(b.scratch[i*2*s.C+c]) - mean
				mean += d * k / (count + k)
				m2 += float64(b.scratch[(i*2+1)*s.C+c]) + d*d*count*k/(count+k)
				count += k
			}
			stats[c], stats[s.C+c] = float32(mean), float32(m2/count)
		}
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
		b.set.NormAct(y[from*s.C:to*s.C], x[from*s.C:to*s.C], norm, act, s.C, 0)
	}
	return func() {
		foldNorm(norm, v[1], v[2], v[3], s.Eps)
		b.pool.run(n, task)
	}
}

func (b *Backend) normActGradSums(s backend.NormActGradSums, v [][]float32) backend.Launch {
	x, stats, dy, sums := v[0], v[1], v[4], v[5]
	norm, act, n := newNorm(s.C), kernelAct[s.Act], blocks(s.Rows, s.C)
	b.reserve(n * 2 * s.C)
	task := func(_, i int) {
		from, to := span(s.Rows, n, i)
		db, dg := b.scratch[i*2*s.C:][:s.C], b.scratch[(i*2+1)*s.C:][:s.C]
		clear(db)
		clear(dg)
		b.set.NormActGradSums(db, dg, x[from*s.C:to*s.C], dy[from*s.C:to*s.C], norm, act, s.C, 0)
	}
	return func() {
		foldNorm(norm, stats, v[2], v[3], s.Eps)
		b.pool.run(n, task)
		b.sumParts(sums, b.scratch, n)
		for c := range s.C {
			sums[s.C+c] /= float32(math.Sqrt(float64(stats[s.C+c]) + float64(s.Eps)))
		}
	}
}

func (b *Backend) normActGradInput(s backend.NormActGradInput, v [][]float32) backend.Launch {
	x, stats, dy, sums, dx := v[0], v[1], v[4], v[5], v[6]
	norm, act, n := newNorm(s.C), kernelAct[s.Act], blocks(s.Rows, s.C)
	k1, k0 := alloc(s.C), alloc(s.C)
	task := func(_, i int) {
		from, to := span(s.Rows, n, i)
		b.set.NormActGradInput(dx[from*s.C:to*s.C], x[from*s.C:to*s.C], dy[from*s.C:to*s.C], norm, k1, k0, act, s.C, 0)
	}
	return func() {
		foldNorm(norm, stats, v[2], v[3], s.Eps)
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
	b.reserve(n * s.Cols)
	task := func(_, i int) {
		from, to := span(s.Rows, n, i)
		sum := b.scratch[i*s.Cols:][:s.Cols]
		clear(sum)
		b.set.ColumnSum(sum, x[from*s.Cols:to*s.Cols], s.Cols, 0)
	}
	return func() {
		b.pool.run(n, task)
		b.sumParts(y, b.scratch, n)
	}
}
