package cuda

import (
	"fmt"
	"math"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// With precision bf16, maps and their gradients are bf16 in memory: the values
// between a network's layers, which are most of what a GPU reads and writes. Weights,
// statistics, sums, what is pooled, and the loss are float32, and all kernels compute
// in float32.
//
// Which value is bf16 is not written in Specs. A map begins as one, where an image is
// convolved or a pooled value's gradient is spread; what is made of a bf16 map is one
// too; and a Spec's outputs are known when it is compiled, in the order in which Specs
// run. So a Backend keeps the addresses at which bf16 maps begin. An Upload there, a
// later output, or new memory make them float32 again; a launch on its own marks what
// it wrote, since memory is used again and again.

// maps are the operands of a Spec that may be bf16: those it reads, and whether the
// last, which it writes, is one.
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
	case backend.GlobalAvgPoolGrad:
		return nil, true
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
	switch spec.(type) {
	case backend.Conv, backend.GlobalAvgPoolGrad:
		return true
	}
	return false
}

// typed makes a Spec's operands of a kind: all of its maps bf16, or none. Inputs of
// the other kind are converted; the outputs are marked in v.
func (c *compiler) typed(spec backend.Spec, v []place) ([]place, error) {
	in, out := maps(spec)
	half := c.precision == driver.BF16 && begins(spec)
	for _, i := range in {
		half = half || v[i].half
	}
	want := make([]bool, len(v))
	for _, i := range in {
		want[i] = half
	}
	last := len(v) - 1
	want[last] = half && out
	v[last].half = want[last] // whatever was there before
	sizes, typed := spec.Sizes(), append([]place(nil), v...)
	for i := range typed {
		if typed[i].half == want[i] {
			continue
		}
		converted := c.temporary(sizes[i])
		converted.half = want[i]
		name := "toFloat"
		if want[i] {
			name = "toHalf"
		}
		w := vec(sizes[i], typed[i], converted)
		if err := c.kernel(name, c.flat(sizes[i], w), typed[i], converted, sizes[i], w); err != nil {
			return nil, err
		}
		typed[i] = converted
	}
	return typed, nil
}

// mark keeps what kind of values are where after a Spec.
func (b *Backend) mark(v []place) {
	for _, p := range v { // outputs last: of an input in the same place, what is written counts
		if p.half {
			b.halves[p.at] = true
		} else {
			delete(b.halves, p.at)
		}
	}
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

// product adds C = op(A)·op(B) (+ bias) by cuBLASLt. Factors of which one is bf16
// are multiplied as bf16: the other, weights, is converted.
func (c *compiler) product(m driver.Matmul, a, b, bias, out place) error {
	before := c.used
	defer c.release(before)
	m.Precision, m.Half, m.HalfOut, m.Align = c.precision, a.half || b.half, out.half, 4
	for _, f := range []struct {
		at   *place
		size int
	}{{&a, m.M * m.K}, {&b, m.K * m.N}} {
		if m.Half && !f.at.half {
			converted := c.temporary(f.size)
			converted.half = true
			w := vec(f.size, *f.at, converted)
			if err := c.kernel("toHalf", c.flat(f.size, w), *f.at, converted, f.size, w); err != nil {
				return err
			}
			*f.at = converted
		}
	}
	if aligned(a, b, bias, out) {
		m.Align = 16
	}
	p, err := c.device.Matmul(m)
	if err != nil {
		return c.error(fmt.Sprintf("prepare a product of %dx%d and %dx%d", m.M, m.K, m.K, m.N), err)
	}
	c.products = append(c.products, p)
	c.steps = append(c.steps, func() error { return p.Run(c.where(a), c.where(b), c.where(bias), c.where(out)) })
	return nil
}
