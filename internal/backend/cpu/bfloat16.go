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
	return kernel.Halves(v.Buffer.(*buffer).values[v.Offset : v.Offset+v.DType.Room(v.Len)])[:v.Len]
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
		b.temporaries = append(b.temporaries, &buffer{})
	}
	if b.temporaries[i].Len() < n {
		made, err := b.Alloc(n)
		if err != nil {
			return backend.View{}, err
		}
		b.temporaries[i] = made.(*buffer)
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
		return b.normDepthwiseGrad(s, v)
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

// nextNorm is nextNormInput of operands.
func nextNorm(n backend.Norm, v *[]operand) *normInput {
	floats := [][]float32{(*v)[0].f, (*v)[1].f, (*v)[2].f}
	*v = (*v)[3:]
	return nextNormInput(n, &floats)
}

// nextOperand takes the first of v; nextHalf and nextFloats take its values.
func nextOperand(v *[]operand) operand {
	o := (*v)[0]
	*v = (*v)[1:]
	return o
}

func nextHalf(v *[]operand) []kernel.BF16 { return nextOperand(v).h }
func nextFloats(v *[]operand) []float32   { return nextOperand(v).f }

// wordsOf is memory to fetch (kernel.Store.Ahead).
func wordsOf(h []kernel.BF16) []float32 { return kernel.Words(h[:len(h)/2*2]) }

// normDepthwiseHalf is compileNormDepthwise.
func (b *Backend) normDepthwiseHalf(s backend.NormDepthwise, v []operand) backend.Launch {
	if !b.set.HasLines(s.Kernel, s.Stride) {
		return nil
	}
	d := &lineConv{ConvShape: s.ConvShape, half: nextHalf(&v)}
	if s.Read != backend.Raw {
		d.in = nextNorm(s.Norm, &v)
	}
	w, stats := nextFloats(&v), []float32(nil)
	d.halfOut = nextHalf(&v)
	if s.Stats {
		stats = nextFloats(&v)
	}
	return b.depthwiseByLines(d, w, stats)
}

// normPoolHalf is normPool.
func (b *Backend) normPoolHalf(s backend.NormPool, v []operand) backend.Launch {
	x := nextHalf(&v)
	in := nextNorm(s.Norm, &v)
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
