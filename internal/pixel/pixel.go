// Package pixel holds the inner loops on 8-bit pixels: the inverse DCT and colour
// conversion of JPEG, resampling, normalisation. Slices in, slices out, one
// thread.
//
// Each has a plain definition, the function whose name ends in Generic, and
// vector variants that give the same bits. A Set is one complete choice.
package pixel

// Tail is how many bytes past the end of a row vector variants read, if its
// slice's capacity allows; where it does not the definition runs.
const Tail = 64

//go:generate go run generate.go

// Set is the loops of one instruction set. Every function is documented at its
// Generic definition.
type Set struct {
	Name string // "avx512", "avx2", "generic"

	IDCT       func(dst []uint8, stride int, blocks []int16)
	Blend      func(dst []uint16, near, far []uint8)
	Widen      func(dst []uint8, sums []uint16, even, odd uint16)
	YCbCr      func(dst, y, cb, cr []uint8)
	LayRow     func(t *Taps)
	AlongRow   func(dst, src []uint8, t *Taps)
	AcrossRows func(dst, src []uint8, stride int, weights []int32)
	Normalize  func(dst []float32, src []uint8, n *Norm)
}

var generic = Set{
	Name:       "generic",
	IDCT:       idctGeneric,
	Blend:      blendGeneric,
	Widen:      widenGeneric,
	YCbCr:      yCbCrGeneric,
	LayRow:     layRowGeneric,
	AlongRow:   alongRowGeneric,
	AcrossRows: acrossRowsGeneric,
	Normalize:  normalizeGeneric,
}

// Available returns the sets that this build has and this CPU can run, the
// fastest first; the last is always "generic".
func Available() []*Set { return append(simdSets(), &generic) }

// Best is the fastest set.
func Best() *Set { return Available()[0] }
