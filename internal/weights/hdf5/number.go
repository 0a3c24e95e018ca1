package hdf5

import (
	"math"

	"effnet/internal/float16"
)

// A number is a format of a value, little-endian.
type number struct {
	size    int // bytes
	float32 func(b []byte) float32
}

// format is what of a datatype message tells numbers apart.
type format struct {
	class      byte
	signed     bool
	size       uint32
	exponentAt byte
}

const (
	integer  = 0
	floating = 1
)

// numbers are those that are read: h5py's of NumPy's, and bfloat16.
var numbers = map[format]number{
	{floating, false, 8, 52}: {8, func(b []byte) float32 { return float32(math.Float64frombits(le.Uint64(b))) }},
	{floating, false, 4, 23}: {4, func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) }},
	{floating, false, 2, 10}: {2, func(b []byte) float32 { return float16.Float32(le.Uint16(b)) }},
	{floating, false, 2, 7}:  {2, func(b []byte) float32 { return math.Float32frombits(uint32(le.Uint16(b)) << 16) }},
	{integer, true, 8, 0}:    {8, func(b []byte) float32 { return float32(int64(le.Uint64(b))) }},
	{integer, true, 4, 0}:    {4, func(b []byte) float32 { return float32(int32(le.Uint32(b))) }},
	{integer, true, 2, 0}:    {2, func(b []byte) float32 { return float32(int16(le.Uint16(b))) }},
	{integer, true, 1, 0}:    {1, func(b []byte) float32 { return float32(int8(b[0])) }},
	{integer, false, 8, 0}:   {8, func(b []byte) float32 { return float32(le.Uint64(b)) }},
	{integer, false, 4, 0}:   {4, func(b []byte) float32 { return float32(le.Uint32(b)) }},
	{integer, false, 2, 0}:   {2, func(b []byte) float32 { return float32(le.Uint16(b)) }},
	{integer, false, 1, 0}:   {1, func(b []byte) float32 { return float32(b[0]) }},
}

var classes = []string{"integers", "floats", "times", "strings", "bit fields", "opaque values", "compound values", "references",
	"enumerations", "values of any length", "arrays"}

// datatype reads a message of numbers (IV.A.2.d).
func datatype(b []byte) (number, error) {
	c := cursor{b: b}
	f := format{class: byte(c.uint(1)) & 15}
	bits := c.uint(3)
	f.size = uint32(c.uint(4))
	c.skip(4) // where the bits lie: all of them, in what is read
	switch {
	case c.err != nil:
		return number{}, c.err
	case f.class > floating && int(f.class) < len(classes):
		return number{}, unsupportedf("a dataset of %s", classes[f.class])
	case bits&1 != 0 || f.class == floating && bits&0x40 != 0:
		return number{}, UnsupportedError("a dataset of big-endian numbers")
	case f.class == floating:
		f.exponentAt = byte(c.uint(1))
	default:
		f.signed = bits&8 != 0
	}
	n, ok := numbers[f]
	if !ok || c.err != nil {
		return number{}, unsupportedf("a dataset of class %d with values of %d bytes", f.class, f.size)
	}
	return n, nil
}
