package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// aligned is n random values that begin on a cache line, and the guarded memory they
// are in.
func aligned(r *rand.Rand, n int) (whole, part []float32) {
	whole = make([]float32, 2*guard+n+line)
	for i := range whole {
		whole[i] = r.Float32()*4 - 2
	}
	at := guard
	for uintptr(unsafe.Pointer(&whole[at]))%(4*line) != 0 {
		at++
	}
	return whole, whole[at : at+n : at+n]
}

// However a product is stored, its values are the same bits, and its sums are those of
// its values.
func TestGemmTo(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, s := range Available() {
		for _, n := range []int{1, 8, 10, 16, 24, 40, 48, 64, 80, 96, 112, 144, 240} {
			for _, m := range []int{1, 5, 23, 24, 31, 61} {
				for _, k := range []int{3, 40, 300} {
					testGemmTo(t, s, r, m, n, k)
				}
			}
		}
	}
}

func testGemmTo(t *testing.T, s *Set, r *rand.Rand, m, n, k int) {
	name := fmt.Sprint(s.Name, " ", m, n, k)
	_, a := guarded(r, m*k)
	_, b := guarded(r, k*n)
	p := s.NewPacking(k, n)
	packed := make([]float32, p.Size())
	for i := range p.Blocks() {
		s.PackBlock(packed, p, i, b, n, 1)
	}
	whole, c := aligned(r, m*n)
	before := slices.Clone(whole)
	want := slices.Clone(c)
	s.Gemm(m, a, k, 1, p, packed, want, n, false)

	statsWhole, stats := guarded(r, 3*n)
	wantWhole, wantStats := clone(statsWhole, 3*n)
	s.GemmTo(m, a, k, 1, p, packed, c, n, &Store{Stream: true, Stats: stats, Ahead: a})
	if !slices.Equal(c, want) {
		t.Fatalf("%s: streamed past the caches there are other values", name)
	}
	for i := range whole {
		if &whole[i] == &c[0] {
			copy(before[i:], c)
		}
	}
	if !slices.Equal(whole, before) {
		t.Fatalf("%s: wrote outside its output", name)
	}
	for j := range n {
		sum, squares := 0.0, 0.0
		for i := range m {
			d := float64(c[i*n+j]) - float64(stats[j])
			sum += d
			squares += d * d
		}
		wantStats[n+j] += float32(sum)
		wantStats[2*n+j] += float32(squares)
	}
	scale := 1e-6 * float64(m*k)
	same(t, name+": sums", statsWhole, wantWhole, 3*n, scale)
}

// What is too short to be written is refused, and nothing is.
func TestShortSums(t *testing.T) {
	each(t, func(t *testing.T, s *Set) {
		memory := make([]float32, 200)
		short, x := memory[:3:3], make([]float32, 64, 64+Tail)
		p := s.NewPacking(4, 16)
		for name, call := range map[string]func(){
			"ColumnSum":           func() { s.ColumnSum(short, x, 16) },
			"ColumnMoments":       func() { s.ColumnMoments(x, short, x, x, 16) },
			"BiasAct":             func() { s.BiasAct(short, make([]float32, 80), 16, x, make([]float32, 40), Identity, 16) },
			"DepthwiseGradWeight": func() { s.DepthwiseGradWeight(short, x, 0, 16, x, 16, []Tap{{0, 0}}, 0, 4, 16) },
			"GemmTo": func() {
				s.GemmTo(4, x, 4, 1, p, make([]float32, p.Size()), make([]float32, 80), 16, &Store{Stats: short})
			},
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s wrote past its sums", name)
					}
				}()
				call()
			}()
		}
		if slices.ContainsFunc(memory, func(v float32) bool { return v != 0 }) {
			t.Error("something was written")
		}
	})
}
