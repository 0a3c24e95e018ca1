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

// kinds is what CUDA has for values of each type.
var kinds = [...]struct {
	suffix  string      // of a kernel's name, where it is compiled for maps of them
	cpp     string      // the type in kernels
	convert string      // the kernel that makes them of another type
	matrix  driver.Type // cuBLASLt's
}{
	backend.Float32:  {"", "float", "toFloat", driver.Float32},
	backend.BFloat16: {"_bf16", "bf16", "toHalf", driver.BFloat16},
}

// mapTypes is in which type each precision keeps maps, where that is not float32.
var mapTypes = map[driver.Precision]backend.DType{driver.BF16: backend.BFloat16}

// maps is the type that maps are kept in.
func (b *Backend) maps() backend.DType { return mapTypes[b.precision] }

// mapsOf are the operands of a plain Spec that may be bf16: those it reads, and whether
// the last, which it writes, is one.
func mapsOf(spec backend.Spec) (in []int, out bool) {
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
func (b *Backend) Types(spec backend.Spec, types []backend.DType) {
	if fused, ok := spec.(backend.Fused); ok {
		all := map[int]backend.DType{}
		for i, t := range types {
			all[i] = t
		}
		b.typeSteps(gated(fused.Unfused()), all)
		for i := range types {
			types[i] = all[i]
		}
		return
	}
	in, out := mapsOf(spec)
	last := len(types) - 1
	types[last] = backend.Float32
	if kept := b.maps(); out && (begins(spec) || anyOf(types, in, kept)) {
		types[last] = kept
	}
}

// typeSteps sets the types of steps' results; types has the operands by number.
func (b *Backend) typeSteps(steps []backend.Step, types map[int]backend.DType) {
	for _, step := range steps {
		of := make([]backend.DType, len(step.Operands))
		for k, n := range step.Operands {
			of[k] = types[n]
		}
		b.Types(step.Spec, of)
		last := len(of) - 1
		types[step.Operands[last]] = of[last]
	}
}

func anyOf(types []backend.DType, of []int, t backend.DType) bool {
	return slices.ContainsFunc(of, func(i int) bool { return types[i] == t })
}

// typed adds what compile adds, with all of a Spec's maps of one type. Operands of
// another are converted, before and after.
func (c *compiler) typed(spec backend.Spec, v []place, compile func(v []place) error) error {
	before := c.used
	defer c.release(before)
	in, out := mapsOf(spec)
	of := backend.Float32
	for _, i := range in {
		of = max(of, v[i].dtype)
	}
	if begins(spec) {
		of = c.maps()
	}
	last := len(v) - 1
	want := make([]backend.DType, len(v))
	for _, i := range in {
		want[i] = of
	}
	if out {
		want[last] = of
	}
	sizes, all := spec.Sizes(), slices.Clone(v)
	for i := range all {
		if v[i].dtype == want[i] {
			continue
		}
		all[i] = c.temporary(sizes[i], want[i])
		if i != last {
			if err := c.convert(v[i], all[i], sizes[i]); err != nil {
				return err
			}
		}
	}
	if err := compile(all); err != nil || v[last].dtype == want[last] {
		return err
	}
	return c.convert(all[last], v[last], sizes[last])
}

// convert adds a copy of n values to a place of another type.
func (c *compiler) convert(from, to place, n int) error {
	w := vec(n, from, to)
	return c.kernel(kinds[to.dtype].convert, c.flat(n, w), from, to, n, w)
}

// toBFloat16 is values as bfloat16, each the nearest there is, ties to even.
func toBFloat16(values []float32) []byte {
	raw := make([]byte, backend.BFloat16.Size()*len(values))
	for i, v := range values {
		u := math.Float32bits(v)
		if v == v {
			u += 0x7fff + u>>16&1
		} else {
			u |= 1 << 22 // a NaN whose payload is in the lower half would become infinite
		}
		raw[2*i], raw[2*i+1] = byte(u>>16), byte(u>>24)
	}
	return raw
}

// fromBFloat16 reads bfloat16 values.
func fromBFloat16(dst []float32, raw []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(raw[2*i])<<16 | uint32(raw[2*i+1])<<24)
	}
}
