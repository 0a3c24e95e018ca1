package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// guard surrounds what a kernel may write, so that a stray write is seen.
const guard = 32

// guarded returns n random values at an odd offset inside a guarded buffer.
func guarded(r *rand.Rand, n int) (whole, part []float32) {
	whole = make([]float32, guard+3+n+guard)
	for i := range whole {
		whole[i] = r.Float32()*4 - 2
	}
	return whole, whole[guard+3 : guard+3+n]
}

func clone(whole []float32, n int) ([]float32, []float32) {
	w := append([]float32(nil), whole...)
	return w, w[guard+3 : guard+3+n]
}

// same fails unless two guarded buffers agree: within tol where the kernel
// writes and bit for bit outside.
func same(t *testing.T, what string, got, want []float32, n int, tol float64) {
	t.Helper()
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		if i < guard+3 || i >= guard+3+n {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%s: wrote outside its output, at %d of %d", what, i-guard-3, n)
			}
		} else if math.Abs(g-w) > tol*(1+math.Abs(w)) {
			t.Fatalf("%s: value %d is %v, want %v", what, i-guard-3, g, w)
		}
	}
}

// each runs f for every vector set, skipping visibly when there is none.
func each(t *testing.T, f func(t *testing.T, s *Set)) {
	sets := Available()
	if len(sets) == 1 {
		t.Skip("no vector kernels for this CPU: run on amd64 with AVX2, or on arm64")
	}
	for _, s := range sets[:len(sets)-1] {
		t.Run(s.Name, func(t *testing.T) { f(t, s) })
	}
}

var shapes = []struct{ rows, cols int }{{1, 1}, {3, 7}, {5, 8}, {4, 16}, {7, 24}, {2, 31}, {9, 40}, {33, 48}, {6, 100}}

func TestColumnKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	each(t, func(t *testing.T, s *Set) {
		for _, sh := range shapes {
			name := fmt.Sprint(sh)
			n, c := sh.rows*sh.cols, sh.cols
			_, x := guarded(r, n)
			_, y := guarded(r, n)
			_, v := guarded(r, c)
			acc, _ := guarded(r, c)
			out, _ := guarded(r, n)
			g1, gp := clone(acc, c)
			w1, wp := clone(acc, c)

			s.ColumnSum(gp, x, c)
			columnSumGeneric(wp, x, c)
			same(t, "ColumnSum "+name, g1, w1, c, 1e-5)
			acc2, _ := guarded(r, c)
			gs, gsp := clone(acc2, c)
			ws, wsp := clone(acc2, c)
			s.ColumnMoments(gp, gsp, x, v, c)
			columnMomentsGeneric(wp, wsp, x, v, c)
			same(t, "ColumnMoments sum "+name, g1, w1, c, 1e-5)
			same(t, "ColumnMoments squares "+name, gs, ws, c, 1e-5)
			s.ColumnDot(gp, x, y, c)
			columnDotGeneric(wp, x, y, c)
			same(t, "ColumnDot "+name, g1, w1, c, 1e-5)

			g2, gq := clone(out, n)
			w2, wq := clone(out, n)
			s.MulColumns(gq, x, v, c)
			mulColumnsGeneric(wq, x, v, c)
			same(t, "MulColumns "+name, g2, w2, n, 0)
			s.MulAddColumns(gq, x, v, v, c)
			mulAddColumnsGeneric(wq, x, v, v, c)
			same(t, "MulAddColumns "+name, g2, w2, n, 1e-6)
		}
	})
}

var acts = []Act{Identity, Swish, ReLU, ReLU6, Sigmoid, HardSwish, HardSigmoid}

func TestNormKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	each(t, func(t *testing.T, s *Set) {
		for _, sh := range shapes {
			for _, act := range acts {
				testNorm(t, s, r, sh.rows, sh.cols, act)
			}
		}
	})
}

// testNorm compares every kernel of normalisation on rows of c channels.
func testNorm(t *testing.T, s *Set, r *rand.Rand, rows, c int, act Act) {
	name := fmt.Sprint(s.Name, rows, c, act)
	n := rows * c
	_, x := guarded(r, n)
	_, dy := guarded(r, n)
	var p [5][]float32
	for i := range p {
		_, p[i] = guarded(r, c)
	}
	norm := &Norm{Scale: p[0], Shift: p[1], Mean: p[2]}
	for i := range x { // where activations bend, rounding decides the slope
		z := float64(x[i]*norm.Scale[i%c] + norm.Shift[i%c])
		for _, kink := range []float64{-3, 0, 3, 6} {
			if math.Abs(z-kink) < 1e-4 {
				x[i] = 0
			}
		}
	}
	sums := 1e-5 + 3e-6*float64(rows) // they may cancel
	out, _ := guarded(r, n)
	g, gp := clone(out, n)
	w, wp := clone(out, n)
	s.NormAct(gp, x, norm, act, c)
	normActGeneric(wp, x, norm, act, c)
	same(t, "NormAct "+name, g, w, n, 2e-6)
	s.NormActGradInput(gp, x, dy, norm, p[3], p[4], act, c)
	normActGradInputGeneric(wp, x, dy, norm, p[3], p[4], act, c)
	same(t, "NormActGradInput "+name, g, w, n, 1e-5)

	acc, _ := guarded(r, c)
	gb, gbp := clone(acc, c)
	gg, ggp := clone(acc, c)
	wb, wbp := clone(acc, c)
	wg, wgp := clone(acc, c)
	s.NormActGradSums(gbp, ggp, x, dy, norm, act, c)
	normActGradSumsGeneric(wbp, wgp, x, dy, norm, act, c)
	same(t, "NormActGradSums beta "+name, gb, wb, c, sums)
	same(t, "NormActGradSums gamma "+name, gg, wg, c, sums)
	s.NormActSum(gbp, x, norm, act, c)
	normActSumGeneric(wbp, x, norm, act, c)
	same(t, "NormActSum "+name, gb, wb, c, sums)

	slopes, _ := guarded(r, n)
	gs, gsp := clone(slopes, n)
	ws, wsp := clone(slopes, n)
	s.NormActSlope(gp, gsp, x, norm, act, c)
	normActSlopeGeneric(wp, wsp, x, norm, act, c)
	same(t, "NormActSlope "+name, g, w, n, 2e-6)
	same(t, "NormActSlope slope "+name, gs, ws, n, 2e-6)

	acc5, _ := guarded(r, 5*c)
	g5, g5p := clone(acc5, 5*c)
	w5, w5p := clone(acc5, 5*c)
	_, slope := guarded(r, n)
	s.SlopeSums(gbp, ggp, x, dy, slope, p[2], c)
	slopeSumsGeneric(wbp, wgp, x, dy, slope, p[2], c)
	same(t, "SlopeSums beta "+name, gb, wb, c, sums)
	same(t, "SlopeSums gamma "+name, gg, wg, c, sums)
	s.GateGrad(gp, g5p, x, dy, slope, p[2], p[3], c)
	gateGradGeneric(wp, w5p, x, dy, slope, p[2], p[3], c)
	same(t, "GateGrad "+name, g, w, n, 2e-5)
	same(t, "GateGrad sums "+name, g5, w5, 5*c, sums)
}

func TestElementwiseKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	rates := Rates{LR: .1, Factor: .7, L2: 1e-2, Keep: .9, Correct1: 1.5, Correct2: 1.2}
	rms := &RMSPropRule{Rates: rates, Rho: .9, Momentum: .9, Eps: 1e-3}
	adam := &AdamRule{Rates: rates, Beta1: .9, Fresh1: .1, Beta2: .99, Fresh2: .01, Eps: 1e-2}
	sgd := &SGDRule{Rates: rates, Momentum: .9}
	each(t, func(t *testing.T, s *Set) {
		for _, n := range []int{1, 7, 8, 16, 23, 24, 39, 160} {
			name := strconv.Itoa(n)
			_, a := guarded(r, n)
			_, b := guarded(r, n)
			out, _ := guarded(r, n)
			for _, k := range []struct {
				name string
				run  func(s *Set, y []float32)
			}{
				{"Add", func(s *Set, y []float32) { s.Add(y, a, b) }},
				{"Exp", func(s *Set, y []float32) { s.Exp(y, a, 2) }},
				{"Scale", func(s *Set, y []float32) { s.Scale(y, a, 1.5) }},
				{"ScaleAdd", func(s *Set, y []float32) { s.ScaleAdd(y, a, b, 1.5) }},
				{"SGD weights", func(s *Set, y []float32) { s.SGD(y, a, append([]float32(nil), b...), sgd) }},
				{"SGD buffer", func(s *Set, y []float32) { s.SGD(append([]float32(nil), b...), a, y, sgd) }},
				{"Average", func(s *Set, y []float32) { s.Average(y, a, .9) }},
				{"Adam", func(s *Set, y []float32) {
					m, v := append([]float32(nil), b...), make([]float32, len(b))
					s.Adam(y, a, m, v, adam)
					s.Adam(y, a, m, v, adam)
				}},
				{"RMSProp", func(s *Set, y []float32) {
					ms, buf := make([]float32, n), append([]float32(nil), b...)
					s.RMSProp(y, a, ms, buf, rms)
					s.RMSProp(y, a, ms, buf, rms)
				}},
			} {
				g, gp := clone(out, n)
				w, wp := clone(out, n)
				k.run(s, gp)
				k.run(&generic, wp)
				same(t, k.name+" "+name, g, w, n, 1e-5)
			}
		}
	})
}

// depthwiseTaps are the taps of a filter of some rows, each of row neighbours if
// row > 0 (of one otherwise), over an image of width pixels.
func depthwiseTaps(rows, row, width, cols int) []Tap {
	var taps []Tap
	for r := range rows {
		for k := range max(row, 1) {
			taps = append(taps, Tap{X: (r*width + k) * cols, W: (r*max(row, 1) + k) * cols})
		}
	}
	if row == 0 { // no order that a kernel could rely on
		for i := range taps {
			taps[i].W = (len(taps) - 1 - i) * cols
		}
	}
	return taps
}

func TestDepthwiseKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	each(t, func(t *testing.T, s *Set) {
		for _, cols := range []int{1, 8, 16, 24, 55} {
			for _, n := range []int{1, 3, 4, 7, 9, 14} {
				for _, f := range []struct{ rows, row, stride int }{
					{1, 0, 1}, {2, 0, 2}, {9, 0, 2}, {25, 0, 1},
					{3, 3, 1}, {2, 3, 1}, {3, 3, 2}, {5, 5, 1}, {1, 5, 1}, {5, 5, 2}, {4, 5, 2}, {7, 7, 1}, {3, 3, 3},
				} {
					testDepthwise(t, s, r, f.rows, f.row, f.stride, n, cols)
				}
			}
		}
	})
}

// testDepthwise compares both depthwise kernels for n pixels.
func testDepthwise(t *testing.T, s *Set, r *rand.Rand, rows, row, stride, n, cols int) {
	name := fmt.Sprint(s.Name, rows, row, stride, n, cols)
	width := n*stride + row
	taps := depthwiseTaps(rows, row, width, cols)
	xstep, ystep := stride*cols, cols
	_, x := guarded(r, rows*width*cols)
	_, w := guarded(r, len(taps)*cols)
	out, _ := guarded(r, n*ystep)
	g, gp := clone(out, n*ystep)
	want, wp := clone(out, n*ystep)
	s.Depthwise(gp, ystep, x, 0, xstep, w, taps, row, n, cols)
	depthwiseGeneric(wp, ystep, x, 0, xstep, w, taps, n, cols)
	same(t, "Depthwise "+name, g, want, n*ystep, 3e-5)

	_, dy := guarded(r, n*ystep)
	dw, _ := guarded(r, len(taps)*cols)
	g, gp = clone(dw, len(taps)*cols)
	want, wp = clone(dw, len(taps)*cols)
	s.DepthwiseGradWeight(gp, x, 0, xstep, dy, ystep, taps, row, n, cols)
	depthwiseGradWeightGeneric(wp, x, 0, xstep, dy, ystep, taps, n, cols)
	same(t, "DepthwiseGradWeight "+name, g, want, len(taps)*cols, 3e-5)
}

func TestGemm(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, s := range Available() {
		t.Run(s.Name, func(t *testing.T) {
			for _, sh := range []struct{ m, n, k int }{{1, 1, 1}, {3, 48, 5}, {4, 32, 7}, {5, 10, 300}, {7, 40, 17}, {2, 100, 3}, {13, 64, 520}} {
				for _, transA := range []bool{false, true} {
					for _, transB := range []bool{false, true} {
						testGemm(t, s, r, sh.m, sh.n, sh.k, transA, transB)
					}
				}
			}
		})
	}
}

func testGemm(t *testing.T, s *Set, r *rand.Rand, m, n, k int, transA, transB bool) {
	_, a := guarded(r, m*k)
	_, b := guarded(r, k*n)
	ars, acs, brs, bcs := k, 1, n, 1
	if transA {
		ars, acs = 1, m
	}
	if transB {
		brs, bcs = 1, k
	}
	p := s.NewPacking(k, n)
	packed := make([]float32, p.Size())
	for i := range packed {
		packed[i] = float32(math.NaN()) // what is not packed must not be read
	}
	for i := range p.Blocks() {
		s.PackBlock(packed, p, i, b, brs, bcs)
	}
	ldc := n + 2
	out, _ := guarded(r, m*ldc)
	got, gp := clone(out, m*ldc)
	want, wp := clone(out, m*ldc)
	for _, add := range []bool{false, true} {
		s.Gemm(m, a, ars, acs, p, packed, gp, ldc, add)
		for i := range m {
			for j := range n {
				var sum float64
				for l := range k {
					sum += float64(a[i*ars+l*acs]) * float64(b[l*brs+j*bcs])
				}
				if add {
					sum += float64(wp[i*ldc+j])
				}
				wp[i*ldc+j] = float32(sum)
			}
		}
		same(t, fmt.Sprint("Gemm ", m, n, k, transA, transB, add), got, want, m*ldc, 1e-4)
	}
}

func TestSigmoid(t *testing.T) {
	for z := float32(-86); z < 88; z += 0.01 {
		want := 1 / (1 + math.Exp(-float64(z)))
		got, tol := float64(sigmoid(z)), 6e-7
		switch {
		case z < -50:
			tol = 6e-6
		case z < -8:
			tol = 4e-6
		}
		if math.Abs(got-want) > tol*want {
			t.Fatalf("sigmoid(%v) = %v, want %v", z, got, want)
		}
	}
	if s := sigmoid(-1000); s < 0 || s > 1e-37 {
		t.Errorf("sigmoid(-1000) = %v", s)
	}
	if s := sigmoid(1000); s != 1 {
		t.Errorf("sigmoid(1000) = %v", s)
	}
	if s := sigmoid(float32(math.NaN())); s == s {
		t.Errorf("sigmoid(NaN) = %v, want NaN", s)
	}
}

// A loss that is not finite must not be hidden by an activation.
func TestNaNStaysNaN(t *testing.T) {
	nan := float32(math.NaN())
	for _, s := range Available() {
		x, y := make([]float32, 16, 32), make([]float32, 16, 32)
		one, zero := make([]float32, 16), make([]float32, 16)
		for i := range x {
			x[i], one[i] = nan, 1
		}
		for _, act := range acts {
			s.NormAct(y, x, &Norm{Scale: one, Shift: zero, Mean: zero}, act, 16)
			for i, v := range y {
				if v == v {
					t.Errorf("%s: activation %d turned NaN into %v at %d", s.Name, act, v, i)
					break
				}
			}
		}
	}
}

// Where activations bend, their derivatives are PyTorch's.
func TestSlopesWhereActivationsBend(t *testing.T) {
	z := []float32{-3, 0, 3, 6}
	for act, want := range map[Act][]float32{
		ReLU: {0, 0, 1, 1}, ReLU6: {0, 0, 1, 0}, HardSwish: {0, .5, 1, 1}, HardSigmoid: {0, 1. / 6, 0, 0},
	} {
		each(t, func(t *testing.T, s *Set) {
			x, one, zero := make([]float32, 16, 32), make([]float32, 16, 32), make([]float32, 16, 32)
			y, slope := make([]float32, 16, 32), make([]float32, 16, 32)
			for i := range x {
				x[i], one[i] = z[i%4], 1
			}
			s.NormActSlope(y, slope, x, &Norm{Scale: one, Shift: zero, Mean: zero}, act, 16)
			for i, got := range slope {
				if got != want[i%4] {
					t.Errorf("the derivative of activation %d at %v is %v, want %v", act, x[i], got, want[i%4])
				}
			}
		})
	}
}

// layers are the twelve 1x1 convolutions of EfficientNet-B0 at 224 px with the
// most multiply-adds: pixels of an image, input and output channels.
var layers = []struct{ area, in, out int }{
	{49, 320, 1280}, {12544, 16, 96}, {49, 1152, 320}, {196, 112, 672}, {196, 672, 112}, {3136, 24, 144},
	{3136, 144, 24}, {49, 192, 1152}, {49, 1152, 192}, {196, 480, 112}, {784, 40, 240}, {784, 240, 40},
}

// BenchmarkGemm times the three products of a layer on blocks as the CPU backend
// makes them, all in cache: y = x·w, dx = dy·wᵀ, and dw = xᵀ·dy, whose vector side
// is the map with more channels. It gives the share of the set's Peak.
func BenchmarkGemm(b *testing.B) {
	for _, s := range Available() {
		peak := peakOf(s)
		for _, l := range layers {
			rows := max(48, min(384, 64<<10/(l.in+l.out))/12*12)
			name := fmt.Sprintf("%s/%dx%d", s.Name, l.in, l.out)
			b.Run("forward/"+name, func(b *testing.B) { benchGemm(b, s, peak, rows, l.out, l.in, l.in, 1) })
			b.Run("data/"+name, func(b *testing.B) { benchGemm(b, s, peak, rows, l.in, l.out, l.out, 1) })
			narrow, wide := min(l.in, l.out), max(l.in, l.out)
			b.Run("weight/"+name, func(b *testing.B) { benchGemm(b, s, peak, narrow, wide, 128, 1, narrow) })
		}
	}
}

// benchGemm multiplies [m,k], whose values are ars and acs apart, by [k,n].
func benchGemm(b *testing.B, s *Set, peak float64, m, n, k, ars, acs int) {
	x, w := make([]float32, m*k+Tail), make([]float32, k*n+Tail)
	y := make([]float32, m*n+Tail)
	p := s.NewPacking(k, n)
	packed := make([]float32, p.Size())
	for i := range p.Blocks() {
		s.PackBlock(packed, p, i, w, n, 1)
	}
	for b.Loop() {
		s.Gemm(m, x, ars, acs, p, packed, y, n, false)
	}
	reportRate(b, m*n*k, peak)
}

// reportRate reports the speed, by the multiply-adds of a turn.
func reportRate(b *testing.B, products int, peak float64) {
	rate := 2 * float64(products) * float64(b.N) / b.Elapsed().Seconds() / 1e9
	b.ReportMetric(rate, "GFLOP/s")
	b.ReportMetric(100*rate/peak, "%peak")
}

// peakOf is the set's multiply-adds in registers, GFLOP/s.
func peakOf(s *Set) float64 {
	sums, best := make([]float32, PeakValues), 0.0
	for range 20 {
		start := time.Now()
		flops := s.Peak(sums, 100_000)
		best = max(best, float64(flops)/time.Since(start).Seconds()/1e9)
	}
	return best
}

// Peak does the operations that it says: with factors of 1 a multiply-add, two
// operations, adds 1 to its sum.
func TestPeak(t *testing.T) {
	for _, s := range Available() {
		for _, k := range []int{1, 3, 100_000} {
			c := make([]float32, PeakValues)
			c[0], c[1] = 1, 1
			flops := s.Peak(c, k)
			var sum float64
			for _, v := range c[2:] {
				sum += float64(v)
			}
			if flops <= 0 || sum != float64(flops)/2 {
				t.Errorf("%s: %d operations in %d rounds added %v", s.Name, flops, k, sum)
			}
		}
	}
}

func BenchmarkDepthwise(b *testing.B) {
	for _, s := range Available() {
		for _, sh := range []struct{ size, stride, n, cols int }{{3, 1, 56, 144}, {3, 2, 56, 96}, {5, 1, 28, 240}, {5, 2, 7, 672}, {5, 1, 7, 1152}} {
			width := sh.n*sh.stride + sh.size
			taps := depthwiseTaps(sh.size, sh.size, width, sh.cols)
			x, w := make([]float32, sh.size*width*sh.cols+Tail), make([]float32, len(taps)*sh.cols+Tail)
			y := make([]float32, sh.n*sh.cols+Tail)
			flops := 2 * float64(len(taps)*sh.n*sh.cols)
			name := fmt.Sprintf("%s/%ds%d/%dx%d", s.Name, sh.size, sh.stride, sh.n, sh.cols)
			b.Run("forward/"+name, func(b *testing.B) {
				for b.Loop() {
					s.Depthwise(y, sh.cols, x, 0, sh.stride*sh.cols, w, taps, sh.size, sh.n, sh.cols)
				}
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
			b.Run("weight/"+name, func(b *testing.B) {
				for b.Loop() {
					s.DepthwiseGradWeight(w, x, 0, sh.stride*sh.cols, y, sh.cols, taps, sh.size, sh.n, sh.cols)
				}
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
