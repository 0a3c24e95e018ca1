package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A row of a product is the same bits whatever rows are computed with it.
func TestRowsAreIndependent(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for _, s := range Available() {
		for _, n := range []int{3, 8, 10, 16, 24, 32, 40, 48, 64, 80, 144} {
			for _, k := range []int{1, 9, 27, 100, 300} {
				for _, add := range []bool{false, true} {
					const m = 41
					_, a := guarded(r, m*k)
					_, b := guarded(r, k*n)
					_, start := guarded(r, m*n)
					p := s.NewPacking(k, n)
					packed := make([]float32, p.Size())
					for i := range p.Blocks() {
						s.PackBlock(packed, p, i, b, n, 1)
					}
					all := append(slices.Clone(start), make([]float32, Tail)...)[:m*n]
					s.Gemm(m, a, k, 1, p, packed, all, n, add)
					for from := range m {
						rows := min(1+r.IntN(13), m-from)
						some := append(slices.Clone(start[from*n:][:rows*n]), make([]float32, Tail)...)[:rows*n]
						s.Gemm(rows, a[from*k:], k, 1, p, packed, some, n, add)
						if !slices.Equal(some, all[from*n:][:rows*n]) {
							t.Fatal(fmt.Sprint(s.Name, ": rows ", from, " to ", from+rows, " of [", m, ",", k, "]x[", k, ",", n, "], add ", add, ": other bits than with the rest"))
						}
					}
				}
			}
		}
	}
}
