package cpu

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// matMul packs B, then multiplies blocks of rows of A with it. With A
// transposed the inner dimension is the long one (a weight's gradient sums over
// pixels), so that is what is cut instead (matMulReduce); with few rows and B
// transposed it is A that is packed (matMulSmall).
func (b *Backend) matMul(s backend.MatMul, v [][]float32) backend.Launch {
	x, w, y := v[0], v[1], v[len(v)-1]
	switch {
	case s.TransA:
		return b.matMulReduce(s, x, w, y)
	case s.TransB && !s.Bias && s.M*(s.K+s.N) < s.K*s.N:
		return b.matMulSmall(s, x, w, y)
	}
	brs, bcs := s.N, 1
	if s.TransB {
		brs, bcs = 1, s.K
	}
	p := b.set.NewPacking(s.K, s.N)
	var l layout
	packed := l.take(1, p.Size())
	b.reserve(l.size)
	pack := func(_, i int) { b.set.PackBlock(packed.of(b, 0), p, i, w, brs, bcs) }
	tasks := rowTasks(s.M)
	multiply := func(_, i int) {
		from, to := span(s.M, tasks, i)
		b.set.Gemm(to-from, x[from*s.K:], s.K, 1, p, packed.of(b, 0), y[from*s.N:], s.N, false)
		if s.Bias {
			for r := from; r < to; r++ {
				row := y[r*s.N : (r+1)*s.N]
				b.set.Add(row, row, v[2])
			}
		}
	}
	return func() {
		b.pool.run(p.Blocks(), pack)
		b.pool.run(tasks, multiply)
	}
}

// matMulSmall is C = A·Bᵀ with few rows of A: Cᵀ = B·Aᵀ packs A and transposes C,
// which are smaller than B.
func (b *Backend) matMulSmall(s backend.MatMul, x, w, y []float32) backend.Launch {
	p := b.set.NewPacking(s.K, s.M)
	var l layout
	packed, turned := l.take(1, p.Size()), l.take(1, s.N*s.M)
	b.reserve(l.size)
	pack := func(_, i int) { b.set.PackBlock(packed.of(b, 0), p, i, x, 1, s.K) }
	tasks := rowTasks(s.N)
	multiply := func(_, i int) {
		from, to := span(s.N, tasks, i)
		c := turned.of(b, 0)[from*s.M : to*s.M]
		b.set.Gemm(to-from, w[from*s.K:], s.K, 1, p, packed.of(b, 0), c, s.M, false)
		for m := range s.M {
			row := y[m*s.N+from : m*s.N+to]
			for n := range row {
				row[n] = c[n*s.M+m]
			}
		}
	}
	return func() {
		b.pool.run(p.Blocks(), pack)
		b.pool.run(tasks, multiply)
	}
}

// rowTasks is into how many blocks the m rows of a product are cut: of about
// 192, enough to pay for a panel's way into cache.
func rowTasks(m int) int { return max(1, min(m/12, max(8, m/192))) }

// matMulReduce is C = Aᵀ·B with A [K,M] and B [K,N]: parts of K side by side,
// each into its own partial C, which are then added in order.
func (b *Backend) matMulReduce(s backend.MatMul, x, w, y []float32) backend.Launch {
	parts := reduceParts(s.K, s.M*s.N)
	var l layout
	g := newWeightGrad(b, &l, parts, s.M, s.N)
	b.reserve(l.size)
	multiply := func(worker, i int) {
		from, to := span(s.K, parts, i)
		g.add(b, worker, i, x[from*s.M:to*s.M], w[from*s.N:to*s.N], true, nil)
	}
	sum := b.sumSlots(y, g.parts, parts)
	return func() {
		b.pool.run(parts, multiply)
		sum()
	}
}

// reduceParts is into how many parts a sum over k rows of size results is cut:
// at most 16, of at least 128 rows, with at most 4M partial results.
func reduceParts(k, size int) int {
	parts := 16
	for parts > 1 && (k/parts < 128 || parts*size > 4<<20) {
		parts /= 2
	}
	return parts
}

// conv multiplies a row of output pixels at a time, its input patches gathered
// into a matrix [OutW, Kernel*Kernel*In].
func (b *Backend) conv(s backend.Conv, v [][]float32) backend.Launch {
	x, w, y := v[0], v[1], v[2]
	patch := s.Kernel * s.Kernel * s.In
	p := b.set.NewPacking(patch, s.Out)
	var l layout
	packed, patches := l.take(1, p.Size()), l.take(b.pool.threads, s.OutW*patch+kernel.Tail)
	b.reserve(l.size)
	pack := func(_, i int) { b.set.PackBlock(packed.of(b, 0), p, i, w, s.Out, 1) }
	row := func(worker, i int) {
		a := patches.of(b, worker)
		b.gatherPatches(a, x, s.ConvShape, i)
		b.set.Gemm(s.OutW, a, patch, 1, p, packed.of(b, 0), y[i*s.OutW*s.Out:], s.Out, false)
	}
	return func() {
		b.pool.run(p.Blocks(), pack)
		b.pool.run(s.N*s.OutH, row)
	}
}

// gatherPatches writes the input patches of output row r (of N*OutH) one after
// another, zeros where they leave the image. A row of a patch is a run of x; the
// pixels from..to, whose patches are inside the image, go a row of the filter at
// a time.
func (b *Backend) gatherPatches(dst, x []float32, s backend.ConvShape, r int) {
	n, top := r/s.OutH, r%s.OutH*s.Stride-s.Top
	from := min((s.Left+s.Stride-1)/s.Stride, s.OutW)
	to := max(from, min((s.W-s.Kernel+s.Left)/s.Stride+1, s.OutW))
	if top < 0 || top+s.Kernel > s.H || s.W < s.Kernel {
		from, to = s.OutW, s.OutW
	}
	run := s.Kernel * s.In
	patch := s.Kernel * run
	for kh := 0; kh < s.Kernel && from < to; kh++ {
		at := ((n*s.H+top+kh)*s.W + from*s.Stride - s.Left) * s.In
		b.set.Gather(dst[from*patch+kh*run:], patch, x[at:], s.Stride*s.In, to-from, run)
	}
	for ow := range from {
		gatherPatch(dst[ow*patch:], x, s, n, top, ow*s.Stride-s.Left)
	}
	for ow := to; ow < s.OutW; ow++ {
		gatherPatch(dst[ow*patch:], x, s, n, top, ow*s.Stride-s.Left)
	}
}

// gatherPatch writes the input patch at a place that may be outside the image.
func gatherPatch(dst, x []float32, s backend.ConvShape, n, top, left int) {
	for kh := range s.Kernel {
		for kw := range s.Kernel {
			if ih, iw := top+kh, left+kw; ih < 0 || ih >= s.H || iw < 0 || iw >= s.W {
				clear(dst[:s.In])
			} else {
				copy(dst[:s.In], x[((n*s.H+ih)*s.W+iw)*s.In:])
			}
			dst = dst[s.In:]
		}
	}
}

// convGradWeight is patchesᵀ·dy, summed over the output rows.
func (b *Backend) convGradWeight(s backend.ConvGradWeight, v [][]float32) backend.Launch {
	x, dy, dw := v[0], v[1], v[2]
	patch := s.Kernel * s.Kernel * s.In
	rows := s.N * s.OutH
	parts := reduceParts(rows*s.OutW, patch*s.Out)
	var l layout
	g := newWeightGrad(b, &l, parts, patch, s.Out)
	patches := l.take(b.pool.threads, s.OutW*patch+kernel.Tail)
	b.reserve(l.size)
	multiply := func(worker, i int) {
		from, to := span(rows, parts, i)
		for r := from; r < to; r++ {
			a := patches.of(b, worker)
			b.gatherPatches(a, x, s.ConvShape, r)
			g.add(b, worker, i, a, dy[r*s.OutW*s.Out:(r+1)*s.OutW*s.Out], r == from, nil)
		}
	}
	sum := b.sumSlots(dw, g.parts, parts)
	return func() {
		b.pool.run(parts, multiply)
		sum()
	}
}

// convGradInput is dy·wᵀ a row at a time, each patch's gradient added to where
// the patch came from; an image is one task.
func (b *Backend) convGradInput(s backend.ConvGradInput, v [][]float32) backend.Launch {
	dy, w, dx := v[0], v[1], v[2]
	patch := s.Kernel * s.Kernel * s.In
	p := b.set.NewPacking(s.Out, patch)
	var l layout
	packed, patches := l.take(1, p.Size()), l.take(b.pool.threads, s.OutW*patch)
	b.reserve(l.size)
	pack := func(_, i int) { b.set.PackBlock(packed.of(b, 0), p, i, w, 1, s.Out) }
	image := func(worker, n int) {
		a := patches.of(b, worker)
		clear(dx[n*s.H*s.W*s.In : (n+1)*s.H*s.W*s.In])
		for r := n * s.OutH; r < (n+1)*s.OutH; r++ {
			b.set.Gemm(s.OutW, dy[r*s.OutW*s.Out:], s.Out, 1, p, packed.of(b, 0), a, patch, false)
			scatterPatches(dx, a, s.ConvShape, r)
		}
	}
	return func() {
		b.pool.run(p.Blocks(), pack)
		b.pool.run(s.N, image)
	}
}

// scatterPatches undoes gatherPatches, adding where patches overlap.
func scatterPatches(dx, src []float32, s backend.ConvShape, r int) {
	n, oh := r/s.OutH, r%s.OutH
	for ow := range s.OutW {
		for kh := range s.Kernel {
			ih := oh*s.Stride - s.Top + kh
			for kw := range s.Kernel {
				iw := ow*s.Stride - s.Left + kw
				if ih >= 0 && ih < s.H && iw >= 0 && iw < s.W {
					dst := dx[((n*s.H+ih)*s.W+iw)*s.In:][:s.In]
					for c, g := range src[:s.In] {
						dst[c] += g
					}
				}
				src = src[s.In:]
			}
		}
	}
}
