package kernel

import (
	"math/rand/v2"
	"testing"
)

// The fast kernels against the generic ones, in one process, over any shape. A
// seed makes the values; they are bounded, so that sums differ by rounding alone.

func FuzzGemm(f *testing.F) {
	f.Add(uint64(1), uint8(7), uint8(40), uint16(17), false, false)
	f.Add(uint64(2), uint8(3), uint8(112), uint16(520), true, true)
	f.Fuzz(func(t *testing.T, seed uint64, m, n uint8, k uint16, transA, transB bool) {
		r := rand.New(rand.NewPCG(seed, 1))
		for _, s := range Available() {
			testGemm(t, s, r, int(m)%64+1, int(n)+1, int(k)%700+1, transA, transB)
		}
	})
}

func FuzzDepthwise(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(3), uint8(1), uint8(14), uint8(24))
	f.Add(uint64(2), uint8(5), uint8(4), uint8(2), uint8(7), uint8(55))
	f.Fuzz(func(t *testing.T, seed uint64, row, rows, stride, n, cols uint8) {
		r := rand.New(rand.NewPCG(seed, 2))
		for _, s := range Available() {
			testDepthwise(t, s, r, int(rows)%7+1, int(row)%8, int(stride)%3+1, int(n)%40+1, int(cols)%70+1)
		}
	})
}

func FuzzNorm(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(31), uint8(1))
	f.Add(uint64(2), uint8(40), uint8(48), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, rows, cols, act uint8) {
		r := rand.New(rand.NewPCG(seed, 3))
		for _, s := range Available() {
			testNorm(t, s, r, int(rows)%60+1, int(cols)%130+1, acts[int(act)%len(acts)])
		}
	})
}
