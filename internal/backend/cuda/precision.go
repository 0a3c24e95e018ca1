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
// of a bf16 map is one too. Specs say which of their operands are maps (backend.Role);
// who plans memory asks Types, and a View says what its values are.

// kinds is what CUDA has for values of each type.
var kinds = [...]struct {
	suffix string      // of a kernel's name, where it is compiled for maps of them
	cpp    string      // the type in kernels
	matrix driver.Type // cuBLASLt's

	// encode and decode make float32 the bytes of them, and back.
	encode func(values []float32) []byte
	decode func(dst []float32, raw []byte)
}{
	backend.Float32:  {"", "float", driver.Float32, backend.Bytes, nil},
	backend.BFloat16: {"_bf16", "bf16", driver.BFloat16, toBFloat16, fromBFloat16},
}

// mapTypes is in which type each precision keeps maps, where that is not float32.
var mapTypes = map[driver.Precision]backend.DType{driver.BF16: backend.BFloat16}

// Maps is the type that maps are kept in.
func (b *Backend) Maps() backend.DType { return mapTypes[b.precision] }

// Types implements backend.Typer.
func (b *Backend) Types(spec backend.Spec, types []backend.DType) {
	backend.SetTypes(spec, b.Maps(), types)
}

// types of places.
func typesOf(places []place) []backend.DType {
	types := make([]backend.DType, len(places))
	for i, p := range places {
		types[i] = p.dtype
	}
	return types
}

// typed adds what compile adds, with all of a Spec's maps of one type. Operands of
// another are converted, before and after.
func (c *compiler) typed(spec backend.Spec, v []place, compile func(v []place) error) error {
	before := c.used
	defer c.release(before)
	maps := backend.MapType(spec, c.Maps(), typesOf(v))
	operands, all := spec.Operands(), slices.Clone(v)
	var results []int // to convert
	for i, o := range operands {
		want := backend.Float32
		if o.Role.Map() {
			want = maps
		}
		if v[i].dtype == want {
			continue
		}
		all[i] = c.temporary(o.Size, want)
		if o.Role.Writes() {
			results = append(results, i)
		}
		if !o.Role.Reads() {
			continue
		}
		if err := c.convert(v[i], all[i], o.Size); err != nil {
			return err
		}
	}
	if err := compile(all); err != nil {
		return err
	}
	for _, i := range results {
		if err := c.convert(all[i], v[i], operands[i].Size); err != nil {
			return err
		}
	}
	return nil
}

// convert adds a copy of n values to a place of another type, from or to float32.
func (c *compiler) convert(from, to place, n int) error {
	name := to.kernel("toMap")
	if to.dtype == backend.Float32 {
		name = from.kernel("fromMap")
	}
	w := vec(n, from, to)
	return c.kernel(name, c.flat(n, w), from, to, n, w)
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
