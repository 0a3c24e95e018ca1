package tfcheckpoint

import (
	"errors"
	"fmt"
	"math"

	"effnet/internal/float16"

	"google.golang.org/protobuf/encoding/protowire"
)

// entry is a BundleEntryProto (tensor_bundle.proto), with its name.
type entry struct {
	name         string
	dtype        uint64
	shape        []int64
	shard        int64
	offset, size int64 // bytes, in the shard
	crc          uint32
	partitioned  bool
	n            int64 // values
}

// parseHeader returns the number of data files that a BundleHeaderProto gives.
func parseHeader(b []byte) (int64, error) {
	shards, bigEndian := int64(0), false
	err := fields(b, func(number protowire.Number, v uint64, _ []byte) error {
		switch number {
		case 1:
			shards = int64(v)
		case 2:
			bigEndian = v != 0
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, damaged(err)
	case bigEndian:
		return 0, faultf("save it again on a machine with an x86 or ARM processor", "has big-endian values")
	case shards < 0 || shards > 99999:
		return 0, faultf("", "has %d data files", shards)
	}
	return shards, nil
}

func parseEntry(r record) (entry, error) {
	e := entry{name: r.key}
	unknown := false
	err := fields(r.value, func(number protowire.Number, v uint64, b []byte) (err error) {
		switch number {
		case 1:
			e.dtype = v
		case 2: // TensorShapeProto
			err = fields(b, func(number protowire.Number, v uint64, b []byte) (err error) {
				switch number {
				case 2:
					err = e.dimension(b)
				case 3:
					unknown = v != 0
				}
				return err
			})
		case 3:
			e.shard = int64(v)
		case 4:
			e.offset = int64(v)
		case 5:
			e.size = int64(v)
		case 6:
			e.crc = uint32(v)
		case 7:
			e.partitioned = true
		}
		return err
	})
	if err == nil && unknown {
		err = errors.New("its shape is unknown")
	}
	return e, err
}

// dimension adds a TensorShapeProto.Dim.
func (e *entry) dimension(b []byte) error {
	if len(e.shape) == maxRank {
		return fmt.Errorf("more than %d dimensions", maxRank)
	}
	size := int64(0)
	err := fields(b, func(number protowire.Number, v uint64, _ []byte) error {
		if number == 1 {
			size = int64(v)
		}
		return nil
	})
	e.shape = append(e.shape, size)
	return err
}

// fields calls f with each field of a message: a number, or bytes.
func fields(b []byte, f func(number protowire.Number, v uint64, b []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var v uint64
		var inner []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v32 uint32
			v32, n = protowire.ConsumeFixed32(b)
			v = uint64(v32)
		case protowire.BytesType:
			inner, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := f(number, v, inner); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// check returns the number of values, and checks that the bytes are as many.
func (e entry) check() (int64, error) {
	d, ok := dtypes[e.dtype]
	if !ok {
		return 0, fmt.Errorf("type %d of tensorflow/core/framework/types.proto is not supported", e.dtype)
	}
	n := int64(1)
	for _, size := range e.shape {
		if size < 0 || size > maxFloats || n*size > maxFloats {
			return 0, fmt.Errorf("shape %v", e.shape)
		}
		n *= size
	}
	if e.size != n*d.size {
		return 0, fmt.Errorf("%d bytes for %d values of %d bytes", e.size, n, d.size)
	}
	return n, nil
}

// dtype is a number format, little-endian.
type dtype struct {
	size    int64 // bytes, a divisor of chunk
	float32 func(b []byte) float32
}

const stringType = 7

// dtypes are the formats that are read, by their number in types.proto.
var dtypes = map[uint64]dtype{
	1:  {4, func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) }},
	2:  {8, func(b []byte) float32 { return float32(math.Float64frombits(le.Uint64(b))) }},
	3:  {4, func(b []byte) float32 { return float32(int32(le.Uint32(b))) }},
	4:  {1, func(b []byte) float32 { return float32(b[0]) }},
	5:  {2, func(b []byte) float32 { return float32(int16(le.Uint16(b))) }},
	6:  {1, func(b []byte) float32 { return float32(int8(b[0])) }},
	9:  {8, func(b []byte) float32 { return float32(int64(le.Uint64(b))) }},
	10: {1, func(b []byte) float32 { return float32(min(b[0], 1)) }},
	14: {2, func(b []byte) float32 { return math.Float32frombits(uint32(le.Uint16(b)) << 16) }},
	17: {2, func(b []byte) float32 { return float32(le.Uint16(b)) }},
	19: {2, func(b []byte) float32 { return float16.Float32(le.Uint16(b)) }},
	22: {4, func(b []byte) float32 { return float32(le.Uint32(b)) }},
	23: {8, func(b []byte) float32 { return float32(le.Uint64(b)) }},
}
