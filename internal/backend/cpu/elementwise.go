package cpu

import (
	"math"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// compileElementwise compiles the operations whose every output value depends
// on a few inputs, and the small ones.
func (b *Backend) compileElementwise(spec backend.Spec, v [][]float32) backend.Launch {
	switch s := spec.(type) {
	case backend.Activate:
		return b.activate(s, v)
	case backend.ActivateGrad:
		return b.activateGrad(s, v)
	case backend.MaxPool:
		return b.maxPool(s, v)
	case backend.MaxPoolGrad:
		return b.maxPoolGrad(s, v)
	case backend.GlobalAvgPool:
		return b.images(s.N, func(n int) {
			y := v[1][n*s.C:][:s.C]
			clear(y)
			b.set.ColumnSum(y, v[0][n*s.Area*s.C:][:s.Area*s.C], s.C)
			b.set.Scale(y, y, 1/float32(s.Area))
		})
	case backend.GlobalAvgPoolGrad:
		return b.images(s.N, func(n int) {
			dx := v[1][n*s.Area*s.C:][:s.Area*s.C]
			b.set.Scale(dx[:s.C], v[0][n*s.C:][:s.C], 1/float32(s.Area))
			for filled := s.C; filled < len(dx); filled *= 2 {
				copy(dx[filled:], dx[:filled])
			}
		})
	case backend.ChannelScale:
		return b.images(s.N, func(n int) {
			size := s.Area * s.C
			b.set.MulColumns(v[2][n*size:][:size], v[0][n*size:][:size], v[1][n*s.C:][:s.C], s.C)
		})
	case backend.ChannelScaleGrad:
		return b.images(s.N, func(n int) {
			size := s.Area * s.C
			ds := v[2][n*s.C:][:s.C]
			clear(ds)
			b.set.ColumnDot(ds, v[0][n*size:][:size], v[1][n*size:][:size], s.C)
		})
	case backend.DropPath:
		return b.images(s.N, func(n int) {
			b.set.Scale(v[2][n*s.Size:][:s.Size], v[0][n*s.Size:][:s.Size], keep(s, v[1], n))
		})
	case backend.ResidualAdd:
		return b.images(s.N, func(n int) {
			at := n * s.Size
			b.set.ScaleAdd(v[3][at:][:s.Size], v[0][at:][:s.Size], v[1][at:][:s.Size], keep(s.DropPath, v[2], n))
		})
	case backend.Add:
		return b.flat(s.N, func(from, to int) { b.set.Add(v[2][from:to], v[0][from:to], v[1][from:to]) })
	case backend.Copy:
		return func() { copy(v[1], v[0]) }
	case backend.Dropout:
		return b.flat(s.N, func(from, to int) { dropout(s, v, from, to) })
	case backend.Pixels:
		return b.images(s.N, func(n int) { pixels(s, v, n) })
	case backend.SoftmaxCrossEntropy:
		return b.softmaxCrossEntropy(s, v)
	case backend.SoftmaxCrossEntropyGrad:
		return b.softmaxCrossEntropyGrad(s, v)
	case backend.RMSProp:
		rule := kernel.RMSPropRule{Rho: s.Rho, Momentum: s.Momentum, Eps: s.Eps}
		return b.update(s.N, s.Decay, &rule.Rates, v[1], func(from, to int) {
			b.set.RMSProp(v[2][from:to], v[0][from:to], v[3][from:to], v[4][from:to], &rule)
		})
	case backend.SGD:
		rule := kernel.SGDRule{Momentum: s.Momentum}
		return b.update(s.N, s.Decay, &rule.Rates, v[1], func(from, to int) {
			b.set.SGD(v[2][from:to], v[0][from:to], v[3][from:to], &rule)
		})
	case backend.Adam:
		rule := kernel.AdamRule{Beta1: float32(s.Beta1), Fresh1: float32(1 - s.Beta1), Beta2: float32(s.Beta2), Fresh2: float32(1 - s.Beta2), Eps: s.Eps}
		return b.update(s.N, s.Decay, &rule.Rates, v[1], func(from, to int) {
			b.set.Adam(v[2][from:to], v[0][from:to], v[3][from:to], v[4][from:to], &rule)
		})
	case backend.Guard:
		return func() { s.Hold(v[0][0], v[1]) }
	case backend.ClipNorm:
		return b.clipNorm(s, v)
	case backend.Average:
		return b.flat(s.N, func(from, to int) { b.set.Average(v[2][from:to], v[0][from:to], v[1][0]) })
	case backend.RunningStats:
		return func() {
			for i, batch := range v[0] {
				v[2][i] += s.Momentum * (batch*v[1][i] - v[2][i])
			}
		}
	default:
		return nil
	}
}

// update runs an update rule on blocks of weights, with the rates of the step.
func (b *Backend) update(n int, decay backend.Decay, r *kernel.Rates, rates []float32, task func(from, to int)) backend.Launch {
	run := b.flat(n, task)
	return func() {
		if rates[1] != rates[1] {
			return
		}
		*r = kernel.Rates{LR: rates[0], Factor: rates[1], Correct1: rates[2], Correct2: rates[3], L2: decay.WeightDecay, Keep: 1}
		if decay.Decoupled {
			r.L2, r.Keep = 0, 1-rates[0]*decay.WeightDecay
		}
		run()
	}
}

// clipNorm sums the squares of each block in four strands, and these in order.
func (b *Backend) clipNorm(s backend.ClipNorm, v [][]float32) backend.Launch {
	parts := blocks(s.N, 1)
	sums := make([]float64, parts)
	f := func(_, part int) {
		from, to := span(s.N, parts, part)
		var sum [4]float64
		for i, g := range v[0][from:to] {
			sum[i&3] += float64(g) * float64(g)
		}
		sums[part] = (sum[0] + sum[1]) + (sum[2] + sum[3])
	}
	return func() {
		b.pool.run(parts, f)
		total := 0.0
		for _, sum := range sums {
			total += sum
		}
		s.Clip(v[1], v[2], total)
	}
}

// images makes every image a task.
func (b *Backend) images(n int, task func(n int)) backend.Launch {
	f := func(_, i int) { task(i) }
	return func() { b.pool.run(n, f) }
}

// flat cuts n values into blocks.
func (b *Backend) flat(n int, task func(from, to int)) backend.Launch {
	parts := blocks(n, 1)
	f := func(_, i int) { task(span(n, parts, i)) }
	return func() { b.pool.run(parts, f) }
}

// keep is what DropPath multiplies image n by.
func keep(s backend.DropPath, step []float32, n int) float32 {
	if s.Survival >= 1 {
		return 1
	}
	if s.Uniform(backend.StepOf(step), n) < s.Survival {
		return 1 / s.Survival
	}
	return 0
}

func dropout(s backend.Dropout, v [][]float32, from, to int) {
	step := backend.StepOf(v[1])
	for i := from; i < to; i++ {
		if s.Uniform(step, i) >= s.P {
			v[2][i] = v[0][i] / (1 - s.P)
		} else {
			v[2][i] = 0
		}
	}
}

// unit is the normalisation that changes nothing, for an activation alone.
func unit(n int) *kernel.Norm {
	u := newNorm(n)
	u.Mean = u.Shift
	for i := range u.Scale {
		u.Scale[i] = 1
	}
	return u
}

// actCols is how many columns an activation of a flat array is seen as having.
const actCols = 16

func (b *Backend) activate(s backend.Activate, v [][]float32) backend.Launch {
	act, one := kernelAct[s.Act], unit(actCols)
	return b.flat(s.N, func(from, to int) {
		x, y := v[0][from:to], v[1][from:to]
		whole := len(x) / actCols * actCols
		b.set.NormAct(y[:whole], x[:whole], one, act, actCols)
		if rest := len(x) - whole; rest > 0 {
			b.set.NormAct(y[whole:], x[whole:], one, act, rest)
		}
	})
}

func (b *Backend) activateGrad(s backend.ActivateGrad, v [][]float32) backend.Launch {
	act, one := kernelAct[s.Act], unit(actCols)
	zero := alloc(actCols)
	return b.flat(s.N, func(from, to int) {
		x, dy, dx := v[0][from:to], v[1][from:to], v[2][from:to]
		whole := len(x) / actCols * actCols
		b.set.NormActGradInput(dx[:whole], x[:whole], dy[:whole], one, zero, zero, act, actCols)
		if rest := len(x) - whole; rest > 0 {
			b.set.NormActGradInput(dx[whole:], x[whole:], dy[whole:], one, zero, zero, act, rest)
		}
	})
}

// softmaxCrossEntropy computes the rows' losses side by side and adds them in
// their order.
func (b *Backend) softmaxCrossEntropy(s backend.SoftmaxCrossEntropy, v [][]float32) backend.Launch {
	logits, targets, losses := v[0], v[1], make([]float64, s.N)
	var l layout
	exps := l.take(b.pool.threads, s.K)
	b.reserve(l.size)
	task := func(worker, n int) {
		row := logits[n*s.K:][:s.K]
		top, sum := b.softmax(exps.of(b, worker), row)
		norm, loss := float64(top)+math.Log(sum), 0.0
		for k, t := range targets[n*s.K:][:s.K] {
			loss += float64(t) * (norm - float64(row[k]))
		}
		losses[n] = loss
	}
	return func() {
		b.pool.run(s.N, task)
		var sum float64
		for _, loss := range losses {
			sum += loss
		}
		v[2][0] = float32(sum / float64(s.N))
	}
}

func (b *Backend) softmaxCrossEntropyGrad(s backend.SoftmaxCrossEntropyGrad, v [][]float32) backend.Launch {
	return b.images(s.N, func(n int) {
		targets, grad := v[1][n*s.K:][:s.K], v[3][n*s.K:][:s.K]
		_, sum := b.softmax(grad, v[0][n*s.K:][:s.K])
		scale, each := v[2][0]/float32(s.N), targetSum(targets)*float32(1/sum)
		for k, t := range targets {
			grad[k] = scale * (grad[k]*each - t)
		}
	})
}

// targetSum returns the sum of a row of targets. Probabilities sum to one: what
// rounding makes of that is taken off.
func targetSum(row []float32) float32 {
	var sum float64
	for _, t := range row {
		sum += float64(t)
	}
	if math.Abs(sum-1) < 1e-6 {
		return 1
	}
	return float32(sum)
}

// softmax writes e^(row-top), where top is the largest of the row, and returns
// top and the sum.
func (b *Backend) softmax(exps, row []float32) (top float32, sum float64) {
	top = row[0]
	for _, z := range row {
		top = max(top, z) // keeps a NaN
	}
	b.set.Exp(exps, row, top)
	for _, e := range exps {
		sum += float64(e)
	}
	return top, sum
}
