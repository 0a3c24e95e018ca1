package torchfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"effnet/internal/float16"
	"effnet/internal/named"
)

// dtype is a number format, little-endian.
type dtype struct {
	name    string
	size    int64 // bytes
	float32 func(b []byte) float32
}

var (
	le = binary.LittleEndian

	float64s  = dtype{"float64", 8, func(b []byte) float32 { return float32(math.Float64frombits(le.Uint64(b))) }}
	float32s  = dtype{"float32", 4, func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) }}
	float16s  = dtype{"float16", 2, func(b []byte) float32 { return float16.Float32(le.Uint16(b)) }}
	bfloat16s = dtype{"bfloat16", 2, func(b []byte) float32 { return math.Float32frombits(uint32(le.Uint16(b)) << 16) }}
	int64s    = dtype{"int64", 8, func(b []byte) float32 { return float32(int64(le.Uint64(b))) }}
	int32s    = dtype{"int32", 4, func(b []byte) float32 { return float32(int32(le.Uint32(b))) }}
	int16s    = dtype{"int16", 2, func(b []byte) float32 { return float32(int16(le.Uint16(b))) }}
	int8s     = dtype{"int8", 1, func(b []byte) float32 { return float32(int8(b[0])) }}
	uint8s    = dtype{"uint8", 1, func(b []byte) float32 { return float32(b[0]) }}
	bools     = dtype{"bool", 1, func(b []byte) float32 { return float32(min(b[0], 1)) }}
)

// storage is an array of n values that tensors are views of.
type storage struct {
	key   string // its name in the file
	dtype *dtype
	n     int64
}

// view is a tensor: the value at an index i lies at offset plus the sum of i
// times strides, all counted in values.
type view struct {
	storage        *storage
	offset         int64
	shape, strides []int64
}

// check reports a view that leaves its storage.
func (v *view) check() error {
	if len(v.shape) != len(v.strides) {
		return fmt.Errorf("%d sizes and %d strides", len(v.shape), len(v.strides))
	}
	n, last := int64(1), v.offset
	if v.offset < 0 || v.offset > v.storage.n {
		return fmt.Errorf("starts at value %d of %d", v.offset, v.storage.n)
	}
	for i, d := range v.shape {
		if d < 0 || d > maxFloats || n*d > maxFloats {
			return fmt.Errorf("shape %v", v.shape)
		}
		n *= d
		if stride := v.strides[i]; d > 1 {
			if stride < 0 || stride > maxFloats {
				return fmt.Errorf("strides %v", v.strides)
			}
			last = min(last+(d-1)*stride, maxFloats) // no overflow: 2^31 + 2^62
		}
	}
	if n > 0 && last >= v.storage.n {
		return fmt.Errorf("shape %v with strides %v from value %d leaves a storage of %d values",
			v.shape, v.strides, v.offset, v.storage.n)
	}
	return nil
}

// count is the number of values.
func (v *view) count() int64 {
	n := int64(1)
	for _, d := range v.shape {
		n *= d
	}
	return n
}

// values returns the tensor's values in C order out of its storage's bytes.
func (v *view) values(b []byte) []float32 {
	out := make([]float32, v.count())
	dtype, index := v.storage.dtype, make([]int64, len(v.shape))
	at := v.offset
	for i := range out {
		out[i] = dtype.float32(b[at*dtype.size:])
		for d := len(index) - 1; d >= 0; d-- { // count up
			index[d]++
			at += v.strides[d]
			if index[d] < v.shape[d] {
				break
			}
			at -= index[d] * v.strides[d]
			index[d] = 0
		}
	}
	return out
}

// load fills tensors with the values of views, storage after storage.
func load(tensors []named.Tensor, views []*view, c container) error {
	users := map[*storage][]int{}
	var order []*storage
	for i, v := range views {
		if users[v.storage] == nil {
			order = append(order, v.storage)
		}
		users[v.storage] = append(users[v.storage], i)
	}
	var have, total int64 // values in storages and tensors
	for _, s := range order {
		b, err := c.bytes(s)
		if err != nil {
			return fault(err, fmt.Sprintf("tensor %.80q cannot be read", tensors[users[s][0]].Name))
		}
		have += s.n
		for _, i := range users[s] {
			if total += views[i].count(); total > min(maxReuse*have+slack, maxFloats) {
				return faultf("", "makes %d values or more of the %d that it holds", total, have)
			}
			tensors[i].Data = views[i].values(b)
		}
	}
	return nil
}

// shapeOf returns a view's shape as a checkpoint has it.
func (v *view) shapeOf() []int {
	shape := slices.Grow([]int{}, len(v.shape))
	for _, d := range v.shape {
		shape = append(shape, int(d))
	}
	return shape
}
