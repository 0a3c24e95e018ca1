package cuda

import (
	"fmt"
	"runtime"

	"effnet/internal/backend"
)

// Compile implements backend.Backend.
func (b *Backend) Compile(spec backend.Spec, operands ...backend.View) (backend.Program, error) {
	if err := backend.Check(spec, operands); err != nil {
		return backend.Program{}, err
	}
	c := &compiler{Backend: b}
	if err := c.compile(spec, places(operands)); err != nil {
		return backend.Program{}, err
	}
	launch, err := c.launch(fmt.Sprintf("%T%+v", spec, spec), c.steps)
	if err != nil {
		return backend.Program{}, err
	}
	program := backend.Program{Run: func() {
		launch()
		runtime.KeepAlive(operands) // the launch has their addresses alone
		runtime.KeepAlive(c.kept)
	}}
	for _, s := range c.steps {
		program.Launched = append(program.Launched, s.Launched)
	}
	if len(c.prepare) == 0 {
		return program, nil
	}
	prepare, err := c.launch(fmt.Sprintf("prepare %T%+v", spec, spec), c.prepare)
	program.Prepare = func() {
		prepare()
		runtime.KeepAlive(operands)
		runtime.KeepAlive(c.kept)
	}
	return program, err
}

// compile adds the launches of a Spec.
func (c *compiler) compile(spec backend.Spec, v []place) error {
	switch s := spec.(type) {
	case normGate:
		return c.typed(s, v, func(v []place) error { return c.normGate(s, v) })
	case gatedGradInput:
		return c.typed(s, v, func(v []place) error { return c.gatedGradInput(s, v) })
	case backend.Fused:
		return c.fused(s, v)
	}
	if s, ok := spec.(backend.Copy); ok && v[0].dtype != v[1].dtype {
		return c.convert(v[0], v[1], s.N)
	}
	return c.typed(spec, v, func(v []place) error { return c.plain(spec, v) })
}

// plain is compile for a Spec that is not fused, whose maps are of one kind.
func (c *compiler) plain(spec backend.Spec, v []place) error {
	switch s := spec.(type) {
	case backend.MatMul:
		return c.matMul(s, v)
	case backend.Conv:
		return c.conv(s, v)
	case backend.ConvGradInput:
		return c.convGradInput(s, v)
	case backend.ConvGradWeight:
		return c.convGradWeight(s, v)
	case backend.Depthwise, backend.DepthwiseGradInput, backend.DepthwiseGradWeight, backend.MaxPool, backend.MaxPoolGrad:
		return c.windows(spec, v)
	case backend.BatchStats, backend.NormAct, backend.NormActGradSums, backend.NormActGradInput, backend.GateGrads, backend.GatedGradSums:
		return c.norms(spec, v)
	case backend.RMSProp, backend.SGD, backend.Adam, backend.Guard, backend.ClipNorm, backend.Average, backend.RunningStats:
		return c.updates(spec, v)
	}
	return c.elementwise(spec, v)
}

// maxSqueeze is MaxSqueeze of the kernel squeezeExcite.
const maxSqueeze = 1024

// fused compiles a fused Spec by a kernel of its own, if it has one.
func (c *compiler) fused(spec backend.Fused, v []place) error {
	switch s := spec.(type) {
	case backend.NormMatMul:
		if c.byTensorCores(v, s.K, s.N) {
			return c.typed(s, v, func(v []place) error { return c.normMatMul(s, v) })
		}
	case backend.ProjectGrad:
		if c.byTensorCores(v, s.K, s.N) && s.N <= mostGradColumns {
			return c.typed(s, v, func(v []place) error { return c.projectGrad(s, v) })
		}
	case backend.ExpandGrad:
		if c.byTensorCores(v, s.K, s.N) {
			return c.typed(s, v, func(v []place) error { return c.expandGrad(s, v) })
		}
	case backend.NormDepthwise:
		if tiling, ok := tilings[[2]int{s.Kernel, s.Stride}]; ok {
			return c.typed(s, v, func(v []place) error { return c.normDepthwise(s, tiling, v) })
		}
	case backend.DepthwiseGrad:
		if tiling, ok := tilings[[2]int{s.Kernel, s.Stride}]; ok {
			return c.typed(s, v, func(v []place) error { return c.depthwiseGrad(s, tiling, v) })
		}
	case backend.NormPool:
		return c.typed(s, v, func(v []place) error {
			return c.sumWith("sumNormAct", s.N, s.Area, s.C, 1, 1/float32(s.Area), v[4], v[:4], s.Norm.Eps, int32(s.Norm.Act))
		})
	case backend.SqueezeExcite:
		if s.Squeeze > maxSqueeze {
			break
		}
		return c.kernel("squeezeExcite", c.rows(s.N), v[0], v[1], v[2], v[3], v[4], v[5], int32(s.C), int32(s.Squeeze), int32(s.Act), int32(s.Gate))
	case backend.FoldedMatMul:
		return c.foldedMatMul(s, v)
	case backend.FoldedConv:
		return c.typed(s, v, func(v []place) error { return c.foldedConv(s, v) })
	case backend.FoldedDepthwise:
		return c.foldedDepthwise(s, v)
	case backend.Linear:
		return c.linear(s, v)
	}
	return c.unfused(spec, v)
}

// unfused compiles what a fused Spec stands for, with its temporaries in the
// scratch. Steps end before the next begin, so all may use what lies beyond them.
func (c *compiler) unfused(s backend.Fused, v []place) error {
	before := c.used
	defer c.release(before)
	steps := gated(s.Unfused())
	types := backend.StepTypes(steps, c.Maps(), typesOf(v))
	return backend.EachStep(steps, v, func(n, size int) (place, error) { return c.temporary(size, types[n]), nil }, c.compile)
}

// elementwise compiles what goes value by value, and the loss.
func (c *compiler) elementwise(spec backend.Spec, v []place) error {
	switch s := spec.(type) {
	case backend.Copy:
		bytes := v[0].bytes()
		c.steps = append(c.steps, step{func() error { return c.device.Copy(c.where(v[1]), c.where(v[0]), bytes) },
			backend.Launched{Name: "copy", Reads: bytes, Writes: bytes}})
		return nil
	case backend.Activate:
		w := vec(s.N, v...)
		return c.kernel(v[0].kernel("activateEach"), c.flat(s.N, w), v[0], v[1], s.N, int32(s.Act), w)
	case backend.ActivateGrad:
		w := vec(s.N, v...)
		return c.kernel(v[0].kernel("activateGrad"), c.flat(s.N, w), v[0], v[1], v[2], s.N, int32(s.Act), w)
	case backend.Add:
		w := vec(s.N, v...)
		return c.kernel(v[0].kernel("add"), c.flat(s.N, w), v[0], v[1], v[2], s.N, w)
	case backend.ColumnSum:
		return c.sum("sumRows", 1, s.Rows, s.Cols, 1, v[1], v[0])
	case backend.GlobalAvgPool:
		return c.sum("sumRows", s.N, s.Area, s.C, 1/float32(s.Area), v[1], v[0])
	case backend.GlobalAvgPoolGrad:
		w := vec(s.C, v...)
		return c.kernel(v[1].kernel("spread"), c.byChannels(s.Area, s.C, w).images(s.N), v[0], v[1], int32(s.N), int32(s.Area), int32(s.C), w)
	case backend.ChannelScale:
		w := vec(s.C, v...)
		return c.kernel(v[0].kernel("channelScale"), c.byChannels(s.Area, s.C, w).images(s.N), v[0], v[1], v[2], int32(s.N), int32(s.Area), int32(s.C), w)
	case backend.ChannelScaleGrad:
		return c.sum("sumProducts", s.N, s.Area, s.C, 1, v[2], v[0], v[1])
	case backend.DropPath:
		return c.dropPath(s, v[0], place{}, v[1], v[2])
	case backend.ResidualAdd:
		return c.dropPath(s.DropPath, v[0], v[1], v[2], v[3])
	case backend.Dropout:
		w := vec(s.N, v[0], v[2])
		return c.kernel(v[0].kernel("dropout"), c.flat(s.N, w), v[0], v[1], v[2], s.N, int(s.Seed), int32(s.Layer), s.P, 1-s.P, w)
	case backend.Pixels:
		w := vec(s.Side*s.Side*3, v[3])
		g := c.flat(s.Side*s.Side*3, w)
		g.grid[1] = uint32(min(s.N, 65535))
		return c.kernel(v[3].kernel("pixels"), g, v[0], v[1], v[2], v[3], int32(s.N), int32(s.Side), w)
	case backend.SoftmaxCrossEntropy:
		losses := c.temporary(s.N, backend.Float32)
		if err := c.kernel("crossEntropy", c.rows(s.N), v[0], v[1], losses, int32(s.N), int32(s.K)); err != nil {
			return err
		}
		return c.sum("sumRows", 1, s.N, 1, 1, v[2], losses)
	case backend.SoftmaxCrossEntropyGrad:
		return c.kernel("crossEntropyGrad", c.rows(s.N), v[0], v[1], v[2], v[3], int32(s.N), int32(s.K))
	}
	return fmt.Errorf("cuda: no kernel for %T", spec)
}

// rows is the launch of a block a row.
func (c *compiler) rows(n int) geometry {
	return geometry{[3]uint32{uint32(n), 1, 1}, [3]uint32{uint32(c.threads), 1, 1}}
}

// dropPath compiles stochastic depth, with a shortcut unless that is nowhere.
func (c *compiler) dropPath(s backend.DropPath, x, shortcut, step, y place) error {
	w := vec(s.Size, x, shortcut, y)
	g := c.flat(s.Size, w)
	g.grid[1] = uint32(min(s.N, 65535))
	return c.kernel(x.kernel("dropPath"), g, x, shortcut, step, y, int32(s.N), s.Size, int(s.Seed), int32(s.Layer), s.Survival, 1/s.Survival, w)
}

// sum is sumWith for one sum and no more arguments.
func (c *compiler) sum(kernel string, segments, rows, channels int, scale float32, out place, inputs ...place) error {
	return c.sumWith(kernel, segments, rows, channels, 1, scale, out, inputs)
}

// sumWith compiles a kernel of reduce: quantities sums of each of the segments of
// rows, times scale. Its arguments are the inputs, the output, segments, rows, parts,
// channels, scale, then more and vec.
func (c *compiler) sumWith(kernel string, segments, rows, channels, quantities int, scale float32, out place, inputs []place, more ...any) error {
	w := vec(channels, append([]place{out}, inputs...)...)
	parts, g := c.reduction(segments, rows, channels, w)
	to, factor := out, scale
	if parts > 1 {
		to, factor = c.temporary(parts*quantities*segments*channels, backend.Float32), 1
	}
	args := make([]any, 0, len(inputs)+len(more)+7)
	for _, p := range inputs {
		args = append(args, p)
	}
	args = append(args, to, int32(segments), rows, int32(parts), int32(channels), factor)
	if err := c.kernel(inputs[0].kernel(kernel), g, append(append(args, more...), w)...); err != nil || parts == 1 {
		return err
	}
	return c.sum("sumRows", 1, parts, quantities*segments*channels, scale, out, to)
}

// sumBoth compiles the sums of what a launch's parts left behind of two things.
func (c *compiler) sumBoth(parts int, a, b, sumA, sumB place) error {
	w := min(vec(sumA.values, a, b, sumA, sumB), vec(sumB.values, a, b, sumA, sumB))
	_, g := c.reduction(1, parts, sumA.values, w)
	blocksOfA := g.grid[1]
	g.grid[1] += uint32(blocksOf(sumB.values, int(w)*int(g.block[0])))
	return c.kernel("sumBoth", g, a, b, sumA, sumB, parts, int32(sumA.values), int32(sumB.values), int32(blocksOfA), w)
}

// One launch adds up as many parts as any launch leaves.
const _ uint = mostRowsOfThread*maxDown - max(gradBlocks, projectBlocks, expandBlocks, thinBlocks)

// norms compiles normalisation.
func (c *compiler) norms(spec backend.Spec, v []place) error {
	switch s := spec.(type) {
	case backend.BatchStats:
		return c.batchStats(s, v)
	case backend.NormAct:
		w := vec(s.C, v...)
		return c.kernel(v[0].kernel("normAct"), c.byChannels(s.Rows, s.C, w), v[0], v[1], v[2], v[3], v[4], s.Rows, int32(s.C), s.Eps, int32(s.Act), w)
	case backend.NormActGradSums:
		return c.sumWith("normActGradSums", 1, s.Rows, s.C, 2, 1, v[5], v[:5], s.Eps, int32(s.Act))
	case backend.NormActGradInput:
		sums := v[5]
		if !s.BatchStats {
			sums = place{}
		}
		w := vec(s.C, v...)
		return c.kernel(v[0].kernel("normActGradInput"), c.byChannels(s.Rows, s.C, w), v[0], v[1], v[2], v[3], v[4], sums, v[6], s.Rows, int32(s.C), s.Eps, int32(s.Act), w)
	case backend.GateGrads:
		return c.sumWith("gateGrads", s.N, s.Area, s.C, 5, 1, v[5], v[:5], s.Norm.Eps, int32(s.Norm.Act))
	case backend.GatedGradSums:
		return c.sumWith("gatedGradSums", 1, s.N, s.C, 2, 1, v[3], v[:3], float32(s.Area))
	}
	return fmt.Errorf("cuda: no kernel for %T", spec)
}

func (c *compiler) batchStats(s backend.BatchStats, v []place) error {
	w := vec(s.C, v...)
	parts, g := c.reduction(1, s.Rows, s.C, w)
	moments := c.moments(parts, s.C)
	if err := c.kernel(v[0].kernel("batchMoments"), g, v[0], moments, s.Rows, int32(parts), int32(s.C), w); err != nil {
		return err
	}
	return c.joinMoments(moments, v[1], parts, s.C)
}

// moments is room for the moments of parts, as kernels leave them.
func (c *compiler) moments(parts, channels int) place {
	return c.temporary(parts*(2*channels+1), backend.Float32)
}

// joinMoments compiles the statistics [2,channels] of parts' moments. A block takes few
// channels, so that many threads share the parts.
func (c *compiler) joinMoments(moments, stats place, parts, channels int) error {
	w := vec(channels, moments, stats)
	over, across := even(channels/int(w), 4)
	g := geometry{[3]uint32{1, uint32(over), 1}, [3]uint32{uint32(across), uint32(c.threads / across), 1}}
	return c.kernel("joinMoments", g, moments, stats, int32(parts), int32(channels), w)
}

// updates compiles update rules and averages.
func (c *compiler) updates(spec backend.Spec, v []place) error {
	flag := func(b bool) int32 {
		if b {
			return 1
		}
		return 0
	}
	switch s := spec.(type) {
	case backend.RMSProp:
		w := vec(s.N, v[0], v[2], v[3], v[4])
		return c.kernel("rmsprop", c.flat(s.N, w), v[0], v[1], updated{v[2]}, updated{v[3]}, updated{v[4]}, s.N, s.Rho, s.Momentum, s.Eps, s.WeightDecay, flag(s.Decoupled), w)
	case backend.SGD:
		w := vec(s.N, v[0], v[2], v[3])
		return c.kernel("sgd", c.flat(s.N, w), v[0], v[1], updated{v[2]}, updated{v[3]}, s.N, s.Momentum, s.WeightDecay, flag(s.Decoupled), w)
	case backend.Adam:
		w := vec(s.N, v[0], v[2], v[3], v[4])
		return c.kernel("adam", c.flat(s.N, w), v[0], v[1], updated{v[2]}, updated{v[3]}, updated{v[4]}, s.N,
			float32(s.Beta1), float32(1-s.Beta1), float32(s.Beta2), float32(1-s.Beta2), s.Eps, s.WeightDecay, flag(s.Decoupled), w)
	case backend.Guard:
		return c.kernel("guard", c.rows(1), v[0], v[1], int32(s.Groups))
	case backend.ClipNorm:
		g := c.flat(s.N, 1)
		blocks := min(int(g.grid[0]), partBlocks)
		g.grid[0] = uint32(blocks)
		parts := c.temporary(2*blocks, backend.Float32) // float64
		if err := c.kernel("sumSquares", g, v[0], parts, s.N); err != nil {
			return err
		}
		return c.kernel("clipNorm", c.rows(1), parts, v[1], v[2], int32(blocks), s.Max)
	case backend.Average:
		w := vec(s.N, v[0], v[2])
		return c.kernel("average", c.flat(s.N, w), v[0], v[1], updated{v[2]}, s.N, w)
	case backend.RunningStats:
		w := vec(s.N, v...)
		return c.kernel("runningStats", c.flat(s.N, w), v[0], v[1], updated{v[2]}, s.N, s.Momentum, w)
	}
	return fmt.Errorf("cuda: no kernel for %T", spec)
}
