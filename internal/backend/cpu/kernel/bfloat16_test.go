package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// withoutBF16 is the best set without its instruction for bfloat16, if it has one.
var withoutBF16 *Set

// withPairs is Available and withoutBF16.
func withPairs() []*Set {
	if withoutBF16 == nil {
		return Available()
	}
	return append(Available(), withoutBF16)
}

// The nearest by a search of both neighbours, ties to even.
func TestNarrowed(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for range 200_000 {
		bits := r.Uint32()
		if r.IntN(4) == 0 {
			bits = bits&^0xffff | 0x8000 // halfway
		}
		x := math.Float32frombits(bits)
		below, above := BF16(bits>>16), BF16(bits>>16+1) // by magnitude
		want := below
		if d, e := distance(x, below), distance(x, above); e < d || e == d && below&1 == 1 {
			want = above
		}
		if x != x {
			want = math.MaxUint16
		}
		if got := Narrowed(x); got != want {
			t.Fatalf("%x becomes %x, want %x", bits, got, want)
		}
	}
}

// distance is how far x is from h, where infinity is the next number after the largest.
func distance(x float32, h BF16) float64 {
	v := float64(h.Widened())
	if math.IsInf(v, 0) && !math.IsInf(float64(x), 0) {
		v = math.Copysign(0x1p128, v)
	}
	if v == float64(x) {
		return 0
	}
	return math.Abs(v - float64(x))
}

func TestNarrowAndWiden(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 44))
	each(t, func(t *testing.T, s *Set) {
		for _, n := range []int{1, 2, 7, 8, 15, 16, 17, 31, 100} {
			x := make([]float32, n, n+Tail)
			for i := range x {
				for x[i] = 0; math.Abs(float64(x[i])) < 0x1p-126; {
					x[i] = math.Float32frombits(r.Uint32())
				}
			}
			whole, y := guardedHalf(r, n)
			wantWhole, want := cloneHalf(whole, n)
			s.Narrow(y, x)
			generic.Narrow(want, x)
			for i, h := range whole {
				if w := wantWhole[i]; h != w && h.Widened() == h.Widened() || w.Widened() == w.Widened() && h != w {
					t.Fatalf("Narrow of %d values: %x, want %x", n, whole, wantWhole)
				}
			}
			fs, f := guarded(r, n)
			ws, w := clone(fs, n)
			s.Widen(f, y)
			generic.Widen(w, y)
			for i := range fs {
				if math.Float32bits(fs[i]) != math.Float32bits(ws[i]) {
					t.Fatalf("Widen of %d values: value %d of the memory is %v, want %v", n, i, fs[i], ws[i])
				}
			}
		}
	})
}

// guardedHalf is guarded of bfloat16.
func guardedHalf(r *rand.Rand, n int) (whole, part []BF16) {
	whole = make([]BF16, guard+3+n+guard)
	for i := range whole {
		whole[i] = Narrowed(r.Float32()*4 - 2)
	}
	return whole, whole[guard+3 : guard+3+n]
}

func cloneHalf(whole []BF16, n int) ([]BF16, []BF16) {
	w := slices.Clone(whole)
	return w, w[guard+3 : guard+3+n]
}

// sameHalf is same of bfloat16: within two of the last of 8 bits.
func sameHalf(t *testing.T, what string, got, want []BF16, n int) {
	t.Helper()
	same(t, what, widened(got), widened(want), n, 1./64)
}

// Products of pairs are the same bits on every set, and the sums of exact products in
// their order.
func TestPairProducts(t *testing.T) {
	r := rand.New(rand.NewPCG(45, 46))
	for _, s := range withPairs() {
		for _, n := range []int{2, 8, 10, 16, 24, 40, 48, 64, 80, 96, 112, 240} {
			for _, m := range []int{1, 5, 24, 31} {
				for _, k := range []int{2, 7, 40, 530} {
					for _, turned := range []bool{false, true} {
						if k%2 == 0 || !turned {
							testPairs(t, s, r, m, n, k, turned)
						}
					}
				}
			}
		}
	}
}

func testPairs(t *testing.T, s *Set, r *rand.Rand, m, n, k int, turned bool) {
	name := fmt.Sprintf("%s %dx%dx%d turned %v", s.Name, m, n, k, turned)
	even := (k + 1) / 2 * 2
	_, a := guardedHalf(r, m*even)
	_, b := guardedHalf(r, k*n)
	brs, bcs := n, 1
	if turned {
		brs, bcs = 1, k
	}
	want := make([]float32, m*n)
	for i := range m {
		for j := range n {
			var sum float32
			for l := 0; l < k; l += 2 {
				if l+1 < k {
					sum += a[i*even+l+1].Widened() * b[(l+1)*brs+j*bcs].Widened()
				}
				sum += a[i*even+l].Widened() * b[l*brs+j*bcs].Widened()
			}
			want[i*n+j] = sum
		}
	}
	p := s.NewPairPacking(k, n)
	packed := make([]float32, p.Size()+Tail)
	for from := 0; from < p.K; from += 16 {
		s.PackPairs(packed, p, from, min(from+16, p.K), k, b, brs, bcs)
	}
	words := slices.Clone(Words(a))
	whole, c := guarded(r, m*n)
	wantWhole, wantC := clone(whole, m*n)
	copy(wantC, want)
	s.GemmTo(m, words, even/2, 1, p, packed, c, n, &Store{})
	if !slices.Equal(whole, wantWhole) {
		t.Fatalf("%s: not the sums in their order", name)
	}
	halfWhole, half := guardedHalf(r, m*n)
	wantHalfWhole, wantHalf := cloneHalf(halfWhole, m*n)
	for i, v := range want {
		wantHalf[i] = Narrowed(v)
	}
	statsWhole, stats := guarded(r, 3*n)
	wantStatsWhole, wantStats := clone(statsWhole, 3*n)
	s.GemmHalf(m, words, even/2, 1, p, packed, half, n, &Store{Stats: stats, Ahead: words})
	if !slices.Equal(halfWhole, wantHalfWhole) {
		t.Fatalf("%s: not the sums, narrowed", name)
	}
	columnMomentsGeneric(wantStats[n:2*n], wantStats[2*n:], want, wantStats[:n], n)
	same(t, name+" moments", statsWhole, wantStatsWhole, 3*n, 1e-4)
	streamed := Halves(make([]float32, m*n/2+64))
	for at := range 32 { // a line's beginning is among them
		c := streamed[2*at:][:m*n]
		s.GemmHalf(m, words, even/2, 1, p, packed, c, n, &Store{Stream: true})
		if !slices.Equal(c, half) {
			t.Fatalf("%s: streamed past the caches there are other values", name)
		}
	}
}

func TestZipRows(t *testing.T) {
	r := rand.New(rand.NewPCG(47, 48))
	each(t, func(t *testing.T, s *Set) {
		for _, cols := range []int{1, 7, 8, 16, 24, 33} {
			for _, rows := range []int{1, 2, 5, 6} {
				_, x := guardedHalf(r, rows*(cols+3))
				n := (rows + 1) / 2 * (cols + 5)
				got, y := guarded(r, n)
				want, z := clone(got, n)
				s.ZipRows(y, cols+5, x, cols+3, rows, cols)
				zipRowsGeneric(z, cols+5, x, cols+3, rows, cols)
				for i := range got {
					if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
						t.Fatalf("%d rows of %d: place %d of the memory differs", rows, cols, i)
					}
				}
			}
		}
	})
}

// Every kernel on maps of bfloat16 gives what its definition gives.
func TestHalfKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(49, 50))
	each(t, func(t *testing.T, s *Set) {
		for _, sh := range shapes {
			for _, act := range acts {
				testHalfNorm(t, s, r, sh.rows, sh.cols, act)
			}
			testHalfFlat(t, s, r, sh.rows*sh.cols)
		}
	})
}

func testHalfFlat(t *testing.T, s *Set, r *rand.Rand, n int) {
	_, x := guardedHalf(r, n)
	_, z := guardedHalf(r, n)
	for name, run := range map[string]func(s *Set, y []BF16){
		"AddHalf":      func(s *Set, y []BF16) { s.AddHalf(y, x, z) },
		"ScaleAddHalf": func(s *Set, y []BF16) { s.ScaleAddHalf(y, x, z, .7) },
		"ScaleHalf":    func(s *Set, y []BF16) { s.ScaleHalf(y, x, .7) },
	} {
		got, y := guardedHalf(r, n)
		want, w := cloneHalf(got, n)
		run(s, y)
		run(&generic, w)
		sameHalf(t, fmt.Sprint(s.Name, name, n), got, want, n)
	}
}

func testHalfNorm(t *testing.T, s *Set, r *rand.Rand, rows, c int, act Act) {
	n := rows * c
	name := fmt.Sprint(s.Name, " ", rows, c, act)
	_, x := guardedHalf(r, n)
	_, dy := guardedHalf(r, n)
	_, f := guarded(r, n)
	_, slope := guarded(r, n)
	var p [6][]float32
	for i := range p {
		_, p[i] = guarded(r, c)
	}
	norm := &Norm{Scale: p[0], Shift: p[1], Mean: p[2]}

	for what, run := range map[string]func(s *Set, y []BF16){
		"NormActHalf":          func(s *Set, y []BF16) { s.NormActHalf(y, x, norm, act, p[3], c) },
		"NormActGradInputHalf": func(s *Set, y []BF16) { s.NormActGradInputHalf(y, x, dy, norm, p[3], p[4], act, c) },
		"BiasActHalf":          func(s *Set, y []BF16) { s.BiasActHalf(nil, y, c, f, p[3], act, c) },
		"GateGradHalf": func(s *Set, y []BF16) {
			s.GateGradHalf(y, f, make([]float32, 5*c+Tail), x, dy, slope, p[2], p[3], c)
		},
	} {
		got, y := guardedHalf(r, n)
		want, w := cloneHalf(got, n)
		run(s, y)
		run(&generic, w)
		sameHalf(t, what+name, got, want, n)
	}
	for what, run := range map[string]func(s *Set, y, z []float32){
		"MulAddColumnsHalf": func(s *Set, y, _ []float32) { s.MulAddColumnsHalf(y, x, p[3], p[4], c) },
		"NormActGradInputFrom": func(s *Set, y, _ []float32) {
			s.NormActGradInputFrom(y, x, f, norm, p[3], p[4], act, c)
		},
		"NormActSlopeHalf": func(s *Set, y, z []float32) { s.NormActSlopeHalf(y, z, x, norm, act, c) },
	} {
		compareFloats(t, s, r, what+name, n, run)
	}
	for what, run := range map[string]func(s *Set, y, z []float32){
		"NormActSumHalf":      func(s *Set, y, _ []float32) { s.NormActSumHalf(y, x, norm, act, c) },
		"NormActGradSumsHalf": func(s *Set, y, z []float32) { s.NormActGradSumsHalf(y, z, x, dy, norm, act, c) },
		"SlopeSumsHalf":       func(s *Set, y, z []float32) { s.SlopeSumsHalf(y, z, x, f, slope, p[2], c) },
	} {
		compareFloats(t, s, r, what+name, c, run)
	}
	compareFloats(t, s, r, "BiasActHalf's sums"+name, c, func(s *Set, y, _ []float32) {
		s.BiasActHalf(y, make([]BF16, rows*(c+3)), c+3, f, p[3], act, c)
	})
	compareFloats(t, s, r, "GateGradHalf's sums"+name, 5*c, func(s *Set, y, _ []float32) {
		s.GateGradHalf(make([]BF16, n), f, y, x, dy, slope, p[2], p[3], c)
	})
}

// compareFloats compares two results of n values, in guarded memory, with the definition's.
func compareFloats(t *testing.T, s *Set, r *rand.Rand, what string, n int, run func(s *Set, y, z []float32)) {
	t.Helper()
	got, y := guarded(r, n)
	want, w := clone(got, n)
	gotZ, z := guarded(r, n)
	wantZ, v := clone(gotZ, n)
	run(s, y, z)
	run(&generic, w, v)
	same(t, what, got, want, n, 1e-4)
	same(t, what+", the second", gotZ, wantZ, n, 1e-4)
}

// Lines of bfloat16 are read and written as those of float32 of the same values.
func TestHalfLines(t *testing.T) {
	r := rand.New(rand.NewPCG(51, 52))
	each(t, func(t *testing.T, s *Set) {
		for _, filter := range [][2]int{{3, 1}, {3, 2}, {5, 1}, {5, 2}} {
			for _, c := range []int{8, 16, 40} {
				for _, width := range []int{3, 5, 9, 17} {
					testHalfLines(t, s, r, filter[0], filter[1], c, width)
				}
			}
		}
	})
}

func testHalfLines(t *testing.T, s *Set, r *rand.Rand, k, stride, c, width int) {
	const height = 6
	name := fmt.Sprint(s.Name, " ", k, stride, c, width)
	out := (width-1)/stride + 1
	outH := (height-1)/stride + 1
	_, x := guardedHalf(r, height*width*c+Tail)
	norm := &Norm{Scale: make([]float32, c+Tail), Shift: make([]float32, c+Tail)}
	for i := range norm.Scale {
		norm.Scale[i], norm.Shift[i] = r.Float32(), r.Float32()
	}
	norm.Scale, norm.Shift = norm.Scale[:c], norm.Shift[:c]
	ring := &Ring{Rows: height, Row: (width + k) * LineChannels}
	weights := make([]float32, k*k*LineChannels+Tail)
	for i := range weights {
		weights[i] = r.Float32() - .5
	}
	n := outH * out * c
	got, y := guardedHalf(r, n)
	want, w := cloneHalf(got, n)
	lines := func(s *Set, y []BF16, g int) []float32 {
		mem := make([]float32, ring.Rows*ring.Row+Tail)
		fill := Fill{Half: x[g*LineChannels : height*width*c], Count: height, Pixels: width, Step: c, Row: width * c, Channel: g * LineChannels}
		if k == 3 {
			fill.Norm, fill.Act = norm, Swish
		}
		s.FillLines(mem[k/2*LineChannels:], ring, &fill, 0)
		for r := range height { // beyond the map's channels there is anything
			for p := range width + k {
				for l := c - g*LineChannels; l < LineChannels; l++ {
					mem[r*ring.Row+p*LineChannels+l] = 0
				}
			}
		}
		stats := make([]float32, 3*LineChannels)
		s.DepthwiseLines(mem, ring, &Conv{Kernel: k, Stride: stride, Top: k / 2, Height: height, W: weights, Count: outH,
			Half: y[g*LineChannels:], Pixels: out, Step: c, Row: out * c, Channels: c - g*LineChannels, Stats: stats, SumsAt: LineChannels})
		return stats
	}
	for g := range (c + LineChannels - 1) / LineChannels {
		a, b := lines(s, y, g), lines(&generic, w, g)
		for i := range a {
			if math.Abs(float64(a[i]-b[i])) > 1e-3*(1+math.Abs(float64(b[i]))) {
				t.Fatalf("%s: sum %d is %v, want %v", name, i, a[i], b[i])
			}
		}
	}
	sameHalf(t, name, got, want, n)
}

// BenchmarkPairs times the products of EfficientNet-B0's layers of bfloat16, of cached
// data, and gives their share of twice the peak of float32.
func BenchmarkPairs(b *testing.B) {
	for _, s := range withPairs() {
		peak := 2 * peakOf(s)
		for _, l := range layers {
			rows := max(48, min(384, 64<<10/(l.in+l.out))/12*12)
			b.Run(fmt.Sprintf("forward/%s/%dx%d", s.Name, l.in, l.out), func(b *testing.B) {
				p := s.NewPairPacking(l.in, l.out)
				a, packed, y := make([]float32, rows*l.in/2), make([]float32, p.Size()), make([]BF16, rows*l.out)
				for b.Loop() {
					s.GemmHalf(rows, a, l.in/2, 1, p, packed, y, l.out, &Store{})
				}
				reportRate(b, rows*l.in*l.out, peak)
			})
			narrow, wide := min(l.in, l.out), max(l.in, l.out)
			b.Run(fmt.Sprintf("weight/%s/%dx%d", s.Name, l.in, l.out), func(b *testing.B) {
				p := s.NewPairPacking(256, wide)
				a, packed, y := make([]float32, 128*narrow), make([]float32, p.Size()), make([]float32, narrow*wide)
				for b.Loop() {
					s.Gemm(narrow, a, 1, narrow, p, packed, y, wide, true)
				}
				reportRate(b, 256*l.in*l.out, peak)
			})
		}
	}
}

// BenchmarkHalf times kernels on maps of bfloat16 that lie in L1.
func BenchmarkHalf(b *testing.B) {
	const rows, cols = 16, 144
	const n = rows * cols
	r := rand.New(rand.NewPCG(53, 54))
	_, x := guardedHalf(r, n)
	_, y := guardedHalf(r, n)
	_, f := guarded(r, n)
	_, g := guarded(r, n)
	_, k := guarded(r, cols)
	norm := &Norm{Scale: k, Shift: k, Mean: k}
	for _, s := range withPairs() {
		for name, run := range map[string]func(){
			"NormActHalf":          func() { s.NormActHalf(y, x, norm, Swish, k, cols) },
			"NormActGradInputHalf": func() { s.NormActGradInputHalf(y, x, x, norm, k, k, Swish, cols) },
			"NormActSlopeHalf":     func() { s.NormActSlopeHalf(f, g, x, norm, Swish, cols) },
			"Narrow":               func() { s.Narrow(y, f) },
		} {
			b.Run(name+"/"+s.Name, func(b *testing.B) {
				for b.Loop() {
					run()
				}
				b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/n*1e9, "ns/value")
			})
		}
	}
}
