package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestBiasAct(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	each(t, func(t *testing.T, s *Set) {
		for _, sh := range shapes {
			for _, act := range acts {
				for _, ldy := range []int{sh.cols, sh.cols + 5} {
					name := fmt.Sprint(sh, act, ldy)
					_, x := guarded(r, sh.rows*sh.cols)
					for i := range x {
						x[i] *= 8
					}
					_, bias := guarded(r, sh.cols)
					n := (sh.rows-1)*ldy + sh.cols
					out, _ := guarded(r, n)
					sum, _ := guarded(r, sh.cols)
					got, gotY := clone(out, n)
					want, wantY := clone(out, n)
					s.BiasAct(nil, gotY, ldy, x, bias, act, sh.cols)
					biasActGeneric(nil, wantY, ldy, x, bias, act, sh.cols)
					same(t, "BiasAct "+name, got, want, n, 3e-6)
					gotSum, gs := clone(sum, sh.cols)
					wantSum, ws := clone(sum, sh.cols)
					s.BiasAct(gs, gotY, ldy, x, bias, act, sh.cols)
					biasActGeneric(ws, wantY, ldy, x, bias, act, sh.cols)
					same(t, "BiasAct with a sum "+name, got, want, n, 3e-6)
					same(t, "BiasAct's sum "+name, gotSum, wantSum, sh.cols, 2e-5)
				}
			}
		}
	})
}

func TestGather(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	each(t, func(t *testing.T, s *Set) {
		for _, size := range []int{1, 8, 9, 16, 27} {
			for _, n := range []int{0, 1, 5} {
				const step, ldy = 6, 30
				_, x := guarded(r, 5*step+size)
				out, _ := guarded(r, 5*ldy)
				got, gp := clone(out, 5*ldy)
				want, wp := clone(out, 5*ldy)
				s.Gather(gp, ldy, x, step, n, size)
				gatherGeneric(wp, ldy, x, step, n, size)
				same(t, fmt.Sprint("Gather ", size, n), got, want, 5*ldy, 0)
			}
		}
	})
}

// Large values saturate, and NaN stays NaN.
func TestBiasActAtTheEnds(t *testing.T) {
	x := []float32{0, 1e-30, -1e-30, 8, -8, 20, -20, 86, -86, 90, -90, 1e5, -1e5, 1e30, -1e30, float32(math.NaN())}
	for _, s := range Available() {
		y, bias := make([]float32, len(x)), make([]float32, len(x))
		for _, act := range []Act{Swish, Sigmoid, HardSwish, HardSigmoid} {
			s.BiasAct(nil, y, len(x), x, bias, act, len(x))
			for i, v := range y {
				z := float64(x[i])
				want, tol := 1/(1+math.Exp(-z)), 1e-37 // below the least normal number
				if act == HardSwish || act == HardSigmoid {
					want = min(max(z+3, 0), 6) / 6
				}
				if act == Swish || act == HardSwish {
					want, tol = z*want, tol*math.Abs(z)
				}
				if !(math.Abs(float64(v)-want) <= 5e-6*math.Abs(want)+tol) && !(z != z && v != v) {
					t.Errorf("activation %d of %g is %g, want %g", act, z, v, want)
				}
			}
		}
	}
}

func BenchmarkBiasAct(b *testing.B) {
	for _, s := range Available() {
		for _, sh := range []struct{ rows, cols int }{{112, 48}, {14, 48}, {96, 24}} {
			for _, act := range []Act{Identity, Swish} {
				b.Run(fmt.Sprintf("%s/%dx%d/%d", s.Name, sh.rows, sh.cols, act), func(b *testing.B) {
					n := sh.rows * sh.cols
					x, y, sum := make([]float32, n+Tail), make([]float32, n+Tail), make([]float32, sh.cols+Tail)
					for i := range x {
						x[i] = float32(i%13) - 6
					}
					bias := make([]float32, sh.cols+Tail)
					for b.Loop() {
						s.BiasAct(sum, y, sh.cols, x[:n], bias, act, sh.cols)
					}
					b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/float64(n)*1e9, "ns/value")
				})
			}
		}
	}
}

// What is far below the largest value is nothing, however far.
func TestExpAtTheEnds(t *testing.T) {
	x := []float32{0, -1, -80, -1e5, -1e30, -3e38, 3e38, float32(math.NaN())}
	for _, s := range Available() {
		y := make([]float32, len(x), len(x)+Tail)
		for _, top := range []float32{0, 3e38} {
			s.Exp(y[:7], x[:7], top)
			for i, v := range y[:6] {
				if want := math.Exp(float64(x[i]) - float64(top)); math.Abs(float64(v)-want) > 2e-6*want+2e-38 {
					t.Errorf("%s: e^(%g-%g) is %g, want %g", s.Name, x[i], top, v, want)
				}
			}
		}
		if s.Exp(y, x, 0); y[7] == y[7] {
			t.Errorf("%s: e^NaN is %g", s.Name, y[7])
		}
	}
}
