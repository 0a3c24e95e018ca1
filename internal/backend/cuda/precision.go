package cuda

import (
	"math"
	"slices"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// With precision bf16, maps and their gradients are bf16 in memory: the values
// between a network's layers, which are most of what a GPU reads and writes. Weights,
// statistics, sums, what is pooled, and the loss are float32, and all kernels compute
// in float32.
//
// Which value is bf16 follows from the Specs in their order: a map begins as one,
// where an image is convolved or a pooled value's gradient is spread, and what is made
// of a bf16 map is one too. Types has the rules; who plans memory asks it, and a View
// says what its values are.

// maps are the operands of a plain Spec that may be bf16: those it reads, and whether
// the last, which it writes, is one.
func maps(spec backend.Spec) (in []int, out bool) {
	switch s := spec.(type) {
	case backend.Conv, backend.ConvGradInput, backend.Depthwise, backend.DepthwiseGradInput, backend.ChannelScale, backend.DropPath, backend.Dropout:
		return []int{0}, true
	case backend.ConvGradWeight, backend.DepthwiseGradWeight, backend.ChannelScaleGrad:
		return []int{0, 1}, false
	case backend.MaxPool, backend.Activate, backend.Copy:
		return []int{0}, true
	case backend.MaxPoolGrad, backend.ActivateGrad, backend.Add:
		return []int{0, 1}, true
	case backend.ResidualAdd:
		return []int{0, 1}, true
	case backend.BatchStats, backend.GlobalAvgPool, backend.NormPool:
		return []int{0}, false
	case backend.GlobalAvgPoolGrad, backend.Pixels:
		return nil, true
	case backend.FoldedMatMul:
		return append([]int{0}, backend.InPlace(spec)...), !s.Pool // the shortcut too
	case backend.FoldedConv, backend.FoldedDepthwise: // without Pool
		return []int{0}, true
	case backend.NormAct:
		return []int{0}, true
	case backend.NormActGradSums, backend.GateGrads:
		return []int{0, 4}, false
	case backend.NormActGradInput:
		return []int{0, 4}, true
	case normGate:
		return []int{0}, true
	case gatedGradInput:
		return []int{0, 4}, true
	case backend.MatMul:
		if s.TransA { // a gradient of weights
			return []int{0, 1}, false
		}
		return []int{0}, true
	}
	return nil, false
}

// begins tells whether a Spec's output is a map whatever it reads.
func begins(spec backend.Spec) bool {
	switch s := spec.(type) {
	case backend.Conv, backend.FoldedConv, backend.GlobalAvgPoolGrad, backend.Pixels:
		return true
	case backend.FoldedDepthwise:
		return s.Before.Kernel > 0
	}
	return false
}

// Types implements backend.Typer.
func (b *Backend) Types(spec backend.Spec, half []bool) {
	if fused, ok := spec.(backend.Fused); ok {
		kinds := map[int]bool{}
		for i, h := range half {
			kinds[i] = h
		}
		b.typeSteps(gated(fused.Unfused()), kinds)
		for i := range half {
			half[i] = kinds[i]
		}
		return
	}
	in, out := maps(spec)
	half[len(half)-1] = out && b.precision == driver.BF16 && (begins(spec) || anyOf(half, in))
}

// typeSteps sets which results of steps are bf16; kinds has the operands by number.
func (b *Backend) typeSteps(steps []backend.Step, kinds map[int]bool) {
	for _, step := range steps {
		half := make([]bool, len(step.Operands))
		for k, n := range step.Operands {
			half[k] = kinds[n]
		}
		b.Types(step.Spec, half)
		last := len(half) - 1
		kinds[step.Operands[last]] = half[last]
	}
}

func anyOf(half []bool, of []int) bool {
	return slices.ContainsFunc(of, func(i int) bool { return half[i] })
}

// typed adds what compile adds, with all of a Spec's maps of one kind: bf16, or none.
// Operands of the other kind are converted, before and after.
func (c *compiler) typed(spec backend.Spec, v []place, compile func(v []place) error) error {
	before := c.used
	defer c.release(before)
	half := make([]bool, len(v))
	for i, p := range v {
		half[i] = p.half
	}
	in, out := maps(spec)
	kind := c.precision == driver.BF16 && begins(spec) || anyOf(half, in)
	last := len(v) - 1
	want := make([]bool, len(v))
	for _, i := range in {
		want[i] = kind
	}
	want[last] = kind && out
	sizes, all := spec.Sizes(), slices.Clone(v)
	for i := range all {
		if half[i] == want[i] {
			continue
		}
		all[i] = c.temporary(sizes[i], want[i])
		if i != last {
			if err := c.convert(v[i], all[i], sizes[i]); err != nil {
				return err
			}
		}
	}
	if err := compile(all); err != nil || half[last] == want[last] {
		return err
	}
	return c.convert(all[last], v[last], sizes[last])
}

// convert adds a copy of n values to a place of the other kind.
func (c *compiler) convert(from, to place, n int) error {
	name := "toFloat"
	if to.half {
		name = "toHalf"
	}
	w := vec(n, from, to)
	return c.kernel(name, c.flat(n, w), from, to, n, w)
}

// uploadHalf is Upload to a bf16 map.
func (b *Backend) uploadHalf(dst driver.Pointer, src []float32) error {
	raw := make([]byte, 2*len(src))
	for i, v := range src {
		u := math.Float32bits(v)
		if v == v {
			u += 0x7fff + u>>16&1 // to the nearest, ties to even
		} else {
			u |= 1 << 22 // a NaN whose payload is in the lower half would become infinite
		}
		raw[2*i], raw[2*i+1] = byte(u>>16), byte(u>>24)
	}
	return b.device.Upload(dst, raw)
}

// downloadHalf is Download of a bf16 map.
func (b *Backend) downloadHalf(dst []float32, src driver.Pointer) error {
	raw := make([]byte, 2*len(dst))
	if err := b.device.Download(raw, src); err != nil {
		return err
	}
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(raw[2*i])<<16 | uint32(raw[2*i+1])<<24)
	}
	return nil
}
