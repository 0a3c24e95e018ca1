package pixel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// each runs a test for every set but the generic one.
func each(t *testing.T, test func(t *testing.T, s *Set)) {
	for _, s := range Available() {
		if s.Name != "generic" {
			t.Run(s.Name, func(t *testing.T) { test(t, s) })
		}
	}
}

// guarded is n values between bands that a loop must leave alone.
type guarded[T comparable] struct {
	all  []T
	body []T
	mark T
}

const band = 80

func guard[T comparable](n int, mark T) guarded[T] {
	g := guarded[T]{all: slices.Repeat([]T{mark}, n+2*band), mark: mark}
	g.body = g.all[band : band+n : band+n]
	return g
}

func (g guarded[T]) check(t *testing.T, what string, want []T) {
	t.Helper()
	if i := slices.IndexFunc(g.all[:band], func(v T) bool { return v != g.mark }); i >= 0 {
		t.Fatalf("%s: wrote %d before the start", what, band-i)
	}
	if i := slices.IndexFunc(g.all[band+len(g.body):], func(v T) bool { return v != g.mark }); i >= 0 {
		t.Fatalf("%s: wrote %d past the end", what, i+1)
	}
	for i, v := range g.body {
		if v != want[i] {
			t.Fatalf("%s: %v at %d, want %v", what, v, i, want[i])
		}
	}
}

func random(rng *rand.Rand, n int) []uint8 {
	p := make([]uint8, n)
	for i := range p {
		p[i] = uint8(rng.Uint32())
	}
	return p
}

func testIDCT(t *testing.T, s *Set, rng *rand.Rand, blocks int, scale int) {
	coefficients := make([]int16, 64*blocks)
	for i := range coefficients {
		if rng.IntN(3) == 0 {
			coefficients[i] = int16(rng.IntN(2*scale+1) - scale)
		}
	}
	stride := 8 * blocks
	got, want := guard(8*stride, uint8(0xa5)), slices.Repeat([]uint8{0xa5}, 8*stride)
	s.IDCT(got.body, stride, coefficients)
	idctGeneric(want, stride, coefficients)
	got.check(t, fmt.Sprintf("IDCT of %d blocks up to %d", blocks, scale), want)
}

func testColour(t *testing.T, s *Set, rng *rand.Rand, n int) {
	y, cb, cr := random(rng, n), random(rng, n), random(rng, n)
	rgb, want := guard(3*n, uint8(0xa5)), make([]uint8, 3*n)
	s.YCbCr(rgb.body, y, cb, cr)
	yCbCrGeneric(want, y, cb, cr)
	rgb.check(t, fmt.Sprintf("YCbCr of %d", n), want)

	sums, wantSums := guard(n+2, uint16(0xa5a5)), make([]uint16, n+2)
	near, far := random(rng, n+2), random(rng, n+2)
	s.Blend(sums.body, near, far)
	blendGeneric(wantSums, near, far)
	sums.check(t, fmt.Sprintf("Blend of %d", n+2), wantSums)

	for _, round := range [][2]uint16{{8, 7}, {4, 8}} {
		wide, wantWide := guard(2*n, uint8(0xa5)), make([]uint8, 2*n)
		s.Widen(wide.body, wantSums, round[0], round[1])
		widenGeneric(wantWide, wantSums, round[0], round[1])
		wide.check(t, fmt.Sprintf("Widen to %d", 2*n), wantWide)
	}

	norm := &Norm{Mean: [3]float32{123.675, 116.28, 103.53}, Scale: [3]float32{1 / 58.395, 1 / 57.12, 1 / 57.375}}
	floats, wantFloats := guard(3*n, float32(7)), make([]float32, 3*n)
	s.Normalize(floats.body, rgb.body, norm)
	normalizeGeneric(wantFloats, rgb.body, norm)
	floats.check(t, fmt.Sprintf("Normalize of %d", n), wantFloats)
}

// testResample resamples a row of width pixels to out, with taps of an affine
// map like a resize's; the source has extra bytes of capacity past its end.
func testResample(t *testing.T, s *Set, rng *rand.Rand, width, out, extra int) {
	reach := max(width/out, 1) + rng.IntN(6)
	taps := &Taps{Stride: reach}
	for i := range out {
		start := min(i*width/out, width-1)
		count := min(reach, width-start)
		taps.Start, taps.Count = append(taps.Start, start), append(taps.Count, count)
		for j := range reach {
			w := int32(rng.IntN(1<<Precision)) - 1<<(Precision-3)
			if j >= count {
				w = 1 << 30 // not to be read
			}
			taps.Weight = append(taps.Weight, w/int32(max(count/2, 1)))
		}
	}
	src := random(rng, 3*width+extra)[:3*width]
	got, want := guard(3*out, uint8(0xa5)), make([]uint8, 3*out)
	s.LayRow(taps)
	s.AlongRow(got.body, src, taps)
	alongRowGeneric(want, src, taps)
	what := fmt.Sprintf("AlongRow of %d pixels to %d with %d taps, %d bytes more", width, out, reach, extra)
	got.check(t, what, want)

	rows := random(rng, 3*width*reach)
	got, want = guard(3*width, uint8(0xa5)), make([]uint8, 3*width)
	s.AcrossRows(got.body, rows, 3*width, taps.Weight[:taps.Count[0]])
	acrossRowsGeneric(want, rows, 3*width, taps.Weight[:taps.Count[0]])
	got.check(t, "AcrossRows: "+what, want)
}

func TestVectorsEqualDefinitions(t *testing.T) {
	each(t, func(t *testing.T, s *Set) {
		rng := rand.New(rand.NewPCG(1, 2))
		for blocks := range 6 {
			for _, scale := range []int{1, 30, 1000, 1 << 15} {
				testIDCT(t, s, rng, blocks, min(scale, 1<<15-1))
			}
		}
		for n := range 100 {
			testColour(t, s, rng, n)
		}
		for range 300 {
			testResample(t, s, rng, 1+rng.IntN(200), 1+rng.IntN(80), rng.IntN(2)*Tail)
		}
		testResample(t, s, rng, 4000, 224, Tail)
		testResample(t, s, rng, 375, 224, Tail)
	})
}

func FuzzVectors(f *testing.F) {
	f.Add(uint64(1), uint16(100), uint8(50), uint8(64))
	f.Fuzz(func(t *testing.T, seed uint64, width uint16, out, extra uint8) {
		for _, s := range Available() {
			rng := rand.New(rand.NewPCG(seed, 0))
			testIDCT(t, s, rng, int(out)%8, 1+int(width)/2)
			testColour(t, s, rng, int(width)%256)
			testResample(t, s, rng, 1+int(width)%2048, 1+int(out), int(extra))
		}
	})
}

// The inverse DCT against its formula (T.81, A.3.3), to rounding.
func TestIDCTFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		block := make([]int16, 64)
		for i := range block {
			block[i] = int16(rng.IntN(101) - 50)
		}
		got := make([]uint8, 64)
		idctGeneric(got, 8, block)
		for i, v := range got {
			if want := formula(block, i%8, i/8); float64(v) < want-1 || float64(v) > want+1 {
				t.Fatalf("pixel %d: %d, want %.2f", i, v, want)
			}
		}
	}
}

// formula is pixel x, y of a block by the definition of the inverse DCT.
func formula(block []int16, x, y int) float64 {
	c := func(k int) float64 {
		if k == 0 {
			return math.Sqrt2 / 2
		}
		return 1
	}
	sum := 0.0
	for v := range 8 {
		for u := range 8 {
			sum += c(u) * c(v) * float64(block[8*v+u]) *
				math.Cos(float64(2*x+1)*float64(u)*math.Pi/16) * math.Cos(float64(2*y+1)*float64(v)*math.Pi/16)
		}
	}
	return min(max(sum/4+128, 0), 255)
}

func BenchmarkSets(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	blocks := make([]int16, 64*64)
	for i := range blocks {
		blocks[i] = int16(rng.IntN(200) - 100)
	}
	taps := &Taps{Stride: 8}
	for i := range 224 {
		taps.Start, taps.Count = append(taps.Start, i*3/2), append(taps.Count, 7)
		taps.Weight = append(taps.Weight, slices.Repeat([]int32{1 << 19}, 8)...)
	}
	src, dst, floats := random(rng, 16*1200+Tail)[:16*1200], make([]uint8, 8*64*8), make([]float32, 672)
	sums := make([]uint16, 400)
	for _, s := range Available() {
		for _, c := range []struct {
			name  string
			bytes int
			run   func()
		}{
			{"IDCT", 64 * 64, func() { s.IDCT(dst, 512, blocks) }},
			{"Blend", 400, func() { s.Blend(sums, src, src[400:]) }},
			{"Widen", 700, func() { s.Widen(dst[:700], sums[:352], 8, 7) }},
			{"YCbCr", 3 * 500, func() { s.YCbCr(dst[:1500], src[:500], src[500:], src[1000:]) }},
			{"AlongRow", 672, func() { s.AlongRow(dst[:672], src[:1200], taps) }},
			{"AcrossRows", 672, func() { s.AcrossRows(dst[:672], src, 1200, taps.Weight[:7]) }},
			{"Normalize", 672, func() { s.Normalize(floats, src[:672], new(Norm)) }},
		} {
			s.LayRow(taps)
			b.Run(s.Name+"/"+c.name, func(b *testing.B) {
				b.SetBytes(int64(c.bytes)) // written
				for b.Loop() {
					c.run()
				}
			})
		}
	}
}
