// Package kernel holds the inner loops of the CPU backend: slices in, slices
// out, one thread. Every kernel has a plain Go definition, the function whose
// name ends in Generic, and is written once more in C (c/*.c), which is committed
// as Go assembly for several sets of instructions and gives the same values up to
// rounding.
package kernel

import (
	"fmt"
	"strings"
	"unsafe"
)

// Set is the kernels of one set of instructions. Each method is documented at its
// Generic definition.
type Set struct {
	Name  string   // "avx512", "avx2", "neon", "generic"
	c     *kernels // nil for the definitions
	lanes int      // float32 values of a vector
	tiles []tile   // of Gemm, the widest first
	pairs []tile   // of products of pairs, likewise
	half  bool     // these can store bfloat16
}

var generic = Set{Name: "generic", lanes: 1, tiles: []tile{{1, 8, gemmGeneric}}, pairs: []tile{{1, 8, pairsGeneric}}}

// Available returns the sets that this CPU can run, the widest first; the last is
// always "generic".
func Available() []*Set { return append(vectorSets(), &generic) }

// Find returns the set of a name, or for Auto the one that the table of families says.
func Find(name string) (*Set, error) {
	sets := Available()
	if name == Auto {
		s, _ := ThisProcessor().choose(sets)
		return s, nil
	}
	names := make([]string, len(sets))
	for i, s := range sets {
		if s.Name == name {
			return s, nil
		}
		names[i] = s.Name
	}
	return nil, fmt.Errorf("kernel: this processor has no set of kernels %q (it has %s)", name, strings.Join(names, ", "))
}

// callValues is about how many values a call of assembly works on: the runtime
// cannot stop a goroutine there, to collect garbage say, so none should take
// more than some tens of microseconds.
const callValues = 32 << 10

// callProducts is callValues where the work is multiply-adds alone.
const callProducts = 8 * callValues

// CallRows is how many rows of cols a call gets at most. Sums over rows are added up call by
// call, so where rows are cut into groups of columns whose widths must not show, whoever
// sums them passes no more rows at once than a call gets of whole rows.
func CallRows(cols int) int { return max(1, callValues/cols) }

// callRows is how many values of rows of cols a call gets.
func callRows(cols int) int { return CallRows(cols) * cols }

// p is where a slice begins.
func p(x []float32) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(x)) }
