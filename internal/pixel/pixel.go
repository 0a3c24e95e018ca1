// Package pixel holds the inner loops on 8-bit pixels: the inverse DCT and colour
// conversion of JPEG, resampling, normalisation. Slices in, slices out, one
// thread.
//
// Each has a plain definition, the function whose name ends in Generic, and is
// written once more in C (c/*.c), which is committed as Go assembly for several
// sets of instructions and gives the same bits.
package pixel

import "unsafe"

// Tail is how many bytes past the end of a row vector variants read, if its
// slice's capacity allows; where it does not the definition runs.
const Tail = 64

// Set is the loops of one set of instructions. Each method is documented at its
// Generic definition.
type Set struct {
	Name string   // "avx512vbmi", "avx2", "neon", "generic"
	c    *kernels // nil for the definitions
	wide int      // values that c does at a time, of most loops
}

var generic = Set{Name: "generic"}

// Available returns the sets that this CPU can run, the fastest first; the last is
// always "generic".
func Available() []*Set { return append(vectorSets(), &generic) }

// Best is the fastest set.
func Best() *Set { return Available()[0] }

// p is where a slice begins.
func p[T any](x []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(x)) }
