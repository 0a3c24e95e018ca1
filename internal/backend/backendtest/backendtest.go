// Package backendtest is the suite every backend passes: each Spec, over odd
// and real shapes, against backend.Reference.
package backendtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"effnet/internal/backend"
)

// conv is the geometry of a padded convolution.
func conv(n, h, w, in, out, kernel, stride int, same bool) backend.ConvShape {
	s := backend.ConvShape{N: n, H: h, W: w, In: in, Out: out, Kernel: kernel, Stride: stride}
	if same {
		s.OutH, s.OutW = (h+stride-1)/stride, (w+stride-1)/stride
		s.Top = max((s.OutH-1)*stride+kernel-h, 0) / 2
		s.Left = max((s.OutW-1)*stride+kernel-w, 0) / 2
		return s
	}
	s.Top, s.Left = (kernel-1)/2, (kernel-1)/2
	s.OutH, s.OutW = (h+2*s.Top-kernel)/stride+1, (w+2*s.Left-kernel)/stride+1
	return s
}

// Light are the cases that take a quarter of the suite's time: those whose operands have
// few values. There are some of each type, for tests of what does not depend on sizes.
func Light() []backend.Spec {
	const most = 20_000
	return slices.DeleteFunc(Specs(), func(s backend.Spec) bool {
		values := 0
		for _, n := range backend.Sizes(s) {
			values += n
		}
		return values > most
	})
}

// Specs are the cases of the suite.
func Specs() []backend.Spec {
	var specs []backend.Spec
	for _, s := range []struct{ m, n, k int }{{1, 1, 1}, {2, 10, 5}, {7, 40, 16}, {50, 24, 96}, {33, 100, 300}, {3, 8, 600}} {
		specs = append(specs,
			backend.MatMul{M: s.m, N: s.n, K: s.k},
			backend.MatMul{M: s.m, N: s.n, K: s.k, Bias: true},
			backend.MatMul{M: s.m, N: s.n, K: s.k, TransB: true},
			backend.MatMul{M: s.m, N: s.n, K: s.k, TransA: true},
			backend.MatMul{M: s.k, N: s.n, K: 20 * s.m, TransA: true},
			backend.ColumnSum{Rows: s.m, Cols: s.n},
		)
	}
	for _, same := range []bool{true, false} {
		for _, kernel := range []int{1, 3, 5} {
			for _, stride := range []int{1, 2} {
				for _, size := range [][2]int{{1, 1}, {2, 3}, {8, 8}, {9, 13}} {
					d := conv(2, size[0], size[1], 24, 24, kernel, stride, same)
					c := conv(2, size[0], size[1], 3, 10, kernel, stride, same)
					specs = append(specs, backend.Depthwise{ConvShape: d}, backend.DepthwiseGradInput{ConvShape: d}, backend.DepthwiseGradWeight{ConvShape: d},
						backend.Conv{ConvShape: c}, backend.ConvGradInput{ConvShape: c}, backend.ConvGradWeight{ConvShape: c},
						backend.MaxPool{ConvShape: d}, backend.MaxPoolGrad{MaxPool: backend.MaxPool{ConvShape: d}})
				}
			}
		}
	}
	specs = append(specs, depthwiseSpecs()...)
	for _, act := range backend.Activations() {
		for _, s := range [][2]int{{1, 1}, {5, 7}, {300, 24}, {2100, 40}} {
			n := backend.NormAct{Rows: s[0], C: s[1], Eps: 1e-3, Act: act}
			specs = append(specs, n, backend.NormActGradSums{NormAct: n},
				backend.NormActGradInput{NormAct: n, BatchStats: true}, backend.NormActGradInput{NormAct: n},
				backend.Activate{N: s[0] * s[1], Act: act}, backend.ActivateGrad{Activate: backend.Activate{N: s[0] * s[1], Act: act}})
		}
	}
	for _, s := range [][3]int{{1, 1, 1}, {3, 49, 24}, {2, 9, 7}} {
		n, area, c := s[0], s[1], s[2]
		pool, mul := backend.GlobalAvgPool{N: n, Area: area, C: c}, backend.ChannelScale{N: n, Area: area, C: c}
		drop := backend.DropPath{Random: backend.Random{Seed: 7, Layer: 3}, N: n, Size: area * c, Survival: 0.6}
		specs = append(specs, backend.BatchStats{Rows: n * area, C: c}, pool, backend.GlobalAvgPoolGrad{GlobalAvgPool: pool},
			mul, backend.ChannelScaleGrad{ChannelScale: mul}, drop, backend.ResidualAdd{DropPath: drop},
			backend.Dropout{Random: drop.Random, N: n * area * c, P: 0.3}, backend.Add{N: n * area * c}, backend.Copy{N: n * area * c})
	}
	for _, s := range []backend.Pixels{{N: 1, Side: 1}, {N: 3, Side: 4}, {N: 4, Side: 7}, {N: 5, Side: 32}} {
		specs = append(specs, s)
	}
	for _, n := range []int{1, 23, 40000} {
		for _, decay := range []backend.Decay{{WeightDecay: 1e-2}, {WeightDecay: 1e-1, Decoupled: true}} {
			specs = append(specs, backend.RMSProp{N: n, Rho: .9, Momentum: .9, Eps: 1e-3, Decay: decay},
				backend.SGD{N: n, Momentum: .9, Decay: decay}, backend.Adam{N: n, Beta1: .9, Beta2: .99, Eps: 1e-2, Decay: decay})
		}
		specs = append(specs, backend.Guard{Groups: n%7 + 1}, backend.ClipNorm{N: n, Max: 0.5}, backend.ClipNorm{N: n, Max: 1e9}, backend.Average{N: n}, backend.RunningStats{N: n, Momentum: .1})
	}
	for _, s := range [][2]int{{1, 2}, {5, 10}, {3, 1000}} {
		ce := backend.SoftmaxCrossEntropy{N: s[0], K: s[1]}
		specs = append(specs, ce, backend.SoftmaxCrossEntropyGrad{SoftmaxCrossEntropy: ce})
	}
	return slices.Concat(specs, fusedSpecs(), foldedSpecs())
}

// depthwiseSpecs are depthwise convolutions whose channels and widths fill no vector
// and no run of neighbours, some with rows shorter than the filter or than its half.
func depthwiseSpecs() []backend.Spec {
	var specs []backend.Spec
	for _, same := range []bool{true, false} {
		for _, k := range []struct{ kernel, stride int }{{3, 1}, {3, 2}, {5, 1}, {5, 2}, {7, 3}} {
			for _, size := range [][2]int{{3, 1}, {1, 2}, {6, 3}, {2, 5}, {7, 7}, {5, 10}, {4, 19}} {
				for _, channels := range []int{7, 12} {
					d := conv(3, size[0], size[1], channels, channels, k.kernel, k.stride, same)
					specs = append(specs, backend.Depthwise{ConvShape: d}, backend.DepthwiseGradInput{ConvShape: d}, backend.DepthwiseGradWeight{ConvShape: d})
				}
			}
		}
	}
	return specs
}

// ofMaps are the activations that follow convolutions.
var ofMaps = []backend.Activation{backend.Swish, backend.ReLU, backend.ReLU6, backend.HardSwish, backend.Identity}

// fusedSpecs are the fused Specs, with maps that take several blocks of a
// backend's rows and ones smaller than a filter.
func fusedSpecs() []backend.Spec {
	var specs []backend.Spec
	for _, act := range ofMaps {
		norm := backend.Norm{Eps: 1e-3, Act: act}
		for _, s := range []struct{ images, area, n, k int }{{1, 1, 1, 1}, {3, 49, 24, 100}, {2, 900, 10, 40}} {
			m := s.images * s.area
			for _, read := range []backend.Reading{backend.Raw, backend.Normed, backend.Gated} {
				specs = append(specs, backend.NormMatMul{M: m, N: s.n, K: s.k, Read: read, Norm: norm, Area: s.area, Stats: true})
				if read != backend.Raw {
					specs = append(specs, backend.ProjectGrad{M: m, N: s.n, K: s.k, Read: read, Norm: norm, Area: s.area})
				}
			}
			specs = append(specs, backend.NormMatMul{M: m, N: s.n, K: s.k, Area: s.area},
				backend.ExpandGrad{M: m, N: s.k, K: s.n, Norm: norm},
				backend.NormPool{GlobalAvgPool: backend.GlobalAvgPool{N: s.images, Area: s.area, C: s.k}, Norm: norm},
				backend.GateGrads{GlobalAvgPool: backend.GlobalAvgPool{N: s.images, Area: s.area, C: s.k}, Norm: norm},
				backend.GatedGradSums{N: s.images, Area: s.area, C: s.k})
		}
		for _, same := range []bool{true, false} {
			for _, k := range []struct{ kernel, stride int }{{1, 1}, {1, 2}, {3, 1}, {3, 2}, {5, 1}, {5, 2}, {7, 3}} {
				for _, size := range [][2]int{{1, 1}, {2, 3}, {9, 13}} {
					c := conv(3, size[0], size[1], 24, 24, k.kernel, k.stride, same)
					specs = append(specs,
						backend.NormDepthwise{ConvShape: c, Read: backend.Normed, Norm: norm, Stats: true},
						backend.NormDepthwise{ConvShape: c, Read: backend.Raw, Stats: true},
						backend.DepthwiseGrad{ConvShape: c, Read: backend.Normed, Norm: norm, Out: norm, Gated: true},
						backend.DepthwiseGrad{ConvShape: c, Read: backend.Raw, Out: norm})
				}
			}
		}
	}
	return specs
}

// foldedSpecs are the folded Specs, with images of fewer and more rows than a
// backend's blocks, and channels that fill no vector.
func foldedSpecs() []backend.Spec {
	var specs []backend.Spec
	for _, act := range ofMaps {
		norm := backend.Norm{Eps: 1e-3, Act: act}
		for _, s := range []struct{ images, area, n, k int }{{1, 1, 1, 1}, {3, 49, 24, 100}, {2, 900, 10, 40}, {5, 9, 130, 70}} {
			for _, gated := range []bool{false, true} {
				m := backend.FoldedMatMul{M: s.images * s.area, N: s.n, K: s.k, Norm: norm, Area: s.area, Gated: gated}
				specs = append(specs, m)
				m.Pool = true
				specs = append(specs, m)
				if act == backend.Identity {
					m.Pool, m.Residual = false, true
					specs = append(specs, m)
				}
			}
			specs = append(specs, backend.Linear{M: s.images, N: s.n, K: s.k},
				backend.SqueezeExcite{N: s.images, C: s.k, Squeeze: s.n, Act: act, Gate: backend.Sigmoid},
				backend.SqueezeExcite{N: s.images, C: s.k, Squeeze: s.n, Act: act, Gate: backend.HardSigmoid})
		}
		// One activation is tried on maps of every size, the others on one.
		sizes, channels := [][2]int{{9, 13}}, []int{24}
		if act == backend.Swish {
			sizes, channels = [][2]int{{1, 1}, {2, 3}, {9, 13}, {40, 33}}, []int{24, 120}
		}
		for _, same := range []bool{true, false} {
			for _, k := range []struct{ kernel, stride int }{{1, 1}, {3, 1}, {3, 2}, {5, 1}, {5, 2}, {7, 3}} {
				for _, size := range sizes {
					for _, c := range channels {
						specs = append(specs, foldedDepthwises(size, c, k.kernel, k.stride, same, norm)...)
					}
					specs = append(specs, backend.FoldedConv{ConvShape: conv(2, size[0], size[1], 3, 20, k.kernel, k.stride, same), Norm: norm})
				}
			}
		}
	}
	return specs
}

// foldedDepthwises are depthwise convolutions of c channels: alone, after the pointwise
// convolution that expands, and, where c is a stem's, after the stem.
func foldedDepthwises(size [2]int, c, kernel, stride int, same bool, norm backend.Norm) []backend.Spec {
	alone := backend.FoldedDepthwise{ConvShape: conv(2, size[0], size[1], c, c, kernel, stride, same), Norm: norm, Pool: c == 24}
	expanded := alone
	expanded.Pool, expanded.BeforeNorm = !alone.Pool, backend.Norm{Eps: 1e-2, Act: norm.Act}
	expanded.Before = conv(2, size[0], size[1], 7, c, 1, 1, same)
	if c != 24 {
		return []backend.Spec{alone, expanded}
	}
	stem := expanded
	stem.Pool, stem.Before = true, conv(2, 2*size[0]+1, 2*size[1]-1, 3, c, 3, 2, same)
	stem.ConvShape = conv(2, stem.Before.OutH, stem.Before.OutW, c, c, kernel, stride, same)
	return []backend.Spec{alone, expanded, stem}
}

// Operands returns random operands of a Spec that satisfy its conditions: targets,
// variances and mean squares above zero. A MaxPool's windows have ties.
func Operands(spec backend.Spec, seed uint64) [][]float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	var v [][]float32
	for _, n := range backend.Sizes(spec) {
		x := make([]float32, n)
		for i := range x {
			x[i] = r.Float32()*4 - 2
		}
		v = append(v, x)
	}
	positive := func(x []float32) {
		for i := range x {
			x[i] = x[i]*x[i] + 0.1
		}
	}
	targets := func(x []float32, k int) { // rows that sum to 1, 2, ...
		positive(x)
		for n := 1; len(x) > 0; n, x = n+1, x[k:] {
			var sum float32
			for _, t := range x[:k] {
				sum += t
			}
			for i := range x[:k] {
				x[i] *= float32(n) / sum
			}
		}
	}
	stats := func(i int) { positive(v[i][len(v[i])/2:]) }
	whole := func(x []float32) { // values of which many are equal
		for i, v := range x {
			x[i] = float32(math.Round(float64(v)))
		}
	}
	step := func(x []float32) { s := backend.StepValues(1<<24 + 5); copy(x, s[:]) }
	switch s := spec.(type) {
	case backend.NormAct, backend.NormActGradSums, backend.NormActGradInput, backend.NormPool, backend.GateGrads, backend.ProjectGrad:
		stats(1)
	case backend.NormMatMul:
		if s.Read != backend.Raw {
			stats(1)
		}
	case backend.NormDepthwise:
		if s.Read != backend.Raw {
			stats(1)
		}
	case backend.DepthwiseGrad:
		if s.Read == backend.Raw {
			stats(3)
		} else {
			stats(1)
			stats(6)
		}
	case backend.ExpandGrad:
		stats(3)
	case backend.FoldedMatMul:
		if s.Gated {
			stats(3)
		} else {
			stats(2)
		}
	case backend.FoldedConv:
		stats(2)
	case backend.FoldedDepthwise:
		stats(2)
		if s.Before.Kernel > 0 {
			stats(6)
		}
	case backend.MaxPool:
		whole(v[0])
	case backend.MaxPoolGrad:
		whole(v[0])
	case backend.RMSProp:
		positive(v[3])
	case backend.Adam:
		positive(v[4])
	case backend.ClipNorm:
		positive(v[1])
	case backend.DropPath:
		step(v[1])
	case backend.Dropout:
		step(v[1])
	case backend.ResidualAdd:
		step(v[2])
	case backend.Pixels: // the last image is not there; mixup, or CutMix
		mixed := []float32{float32(max(s.N-1, 1)), 0.75, 0.25, 0, 0, 0, 0}
		if s.Side%2 == 0 {
			mixed = []float32{float32(max(s.N-1, 1)), 1, 0, 1, 2, float32(s.Side), 3}
		}
		copy(v[2], mixed)
	case backend.SoftmaxCrossEntropy:
		targets(v[1], s.K)
	case backend.SoftmaxCrossEntropyGrad:
		targets(v[1], s.K)
	}
	return v
}

// Run computes a Spec on b and returns every operand afterwards.
func Run(b backend.Backend, spec backend.Spec, operands [][]float32) ([][]float32, error) {
	total := 0
	for _, o := range operands {
		total += len(o)
	}
	all, err := backend.NewView(b, total)
	if err != nil {
		return nil, err
	}
	views, at := make([]backend.View, len(operands)), 0
	for i, o := range operands {
		views[i] = all.Slice(at, len(o))
		at += len(o)
		if err := b.Upload(views[i], o); err != nil {
			return nil, err
		}
	}
	program, err := b.Compile(spec, views...)
	if err != nil {
		return nil, err
	}
	program.All()
	if err := b.Sync(); err != nil {
		return nil, err
	}
	got := make([][]float32, len(operands))
	for i, o := range operands {
		got[i] = make([]float32, len(o))
		if err := b.Download(got[i], views[i]); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// Test runs the suite on backends, a subtest for each type of Spec: every operand after
// the launch, inputs included, within a relative error (norm of the difference over norm)
// of tol. The reference, which takes longest, is computed once for all of them.
func Test(t *testing.T, tol float64, backends ...backend.Backend) {
	t.Helper()
	test(t, Specs(), tol, backends)
}

// TestLight is Test of Light's cases.
func TestLight(t *testing.T, tol float64, backends ...backend.Backend) {
	t.Helper()
	test(t, Light(), tol, backends)
}

func test(t *testing.T, specs []backend.Spec, tol float64, backends []backend.Backend) {
	Each(t, backends[0], specs, func(t *testing.T, i int, spec backend.Spec) (worst float64) {
		operands := Operands(spec, uint64(i))
		want := reference(t, spec, operands)
		for _, b := range backends {
			got, err := Run(b, spec, operands)
			if err != nil {
				t.Errorf("%s: %T%+v: %v", b.Name(), spec, spec, err)
				continue
			}
			worst = max(worst, compare(t, b.Name()+": ", spec, got, want, tol))
		}
		return worst
	})
	for _, b := range backends {
		testRefusals(t, b)
	}
}

// testRefusals checks Guard, and that what cannot be is not compiled.
func testRefusals(t *testing.T, b backend.Backend) {
	t.Run("guard", func(t *testing.T) { testGuard(t, b) })
	t.Run("operands", func(t *testing.T) {
		if _, err := b.Compile(backend.Add{N: 3}); err == nil {
			t.Error("an addition without operands is compiled")
		}
	})
	t.Run("no such operation", func(t *testing.T) {
		v, err := backend.NewView(b, 4)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Compile(backend.MatMul{M: 2, N: 2, K: 2, TransA: true, TransB: true}, v, v, v); err == nil {
			t.Error("a product of two transposed factors is compiled")
		}
	})
}

// Each calls check with every Spec and its number, in a subtest for each type of Spec,
// which logs how many there were and the largest of the errors that check returns.
// Once the backend has failed for good, what is left is not run, and fails.
func Each(t *testing.T, b backend.Backend, specs []backend.Spec, check func(t *testing.T, i int, spec backend.Spec) (relError float64)) {
	t.Helper()
	var types []string
	byType := map[string][]int{}
	for i, spec := range specs {
		name := fmt.Sprintf("%T", spec)
		if byType[name] == nil {
			types = append(types, name)
		}
		byType[name] = append(byType[name], i)
	}
	for _, name := range types {
		t.Run(name, func(t *testing.T) {
			worst := 0.0
			for n, i := range byType[name] {
				if err := b.Sync(); err != nil {
					t.Fatalf("%d of %d cases were not run: %v", len(byType[name])-n, len(byType[name]), err)
				}
				worst = max(worst, check(t, i, specs[i]))
			}
			t.Logf("%d cases, the largest relative error is %.2g", len(byType[name]), worst)
		})
	}
}

// Compare computes the operands of a Spec by the reference and reports each operand of
// got that is farther than tol from it, with the first values that differ. It returns the
// largest relative error.
func Compare(t *testing.T, spec backend.Spec, got, operands [][]float32, tol float64) (worst float64) {
	t.Helper()
	return compare(t, "", spec, got, reference(t, spec, operands), tol)
}

// reference is the operands after the Spec, by its definition.
func reference(t *testing.T, spec backend.Spec, operands [][]float32) [][]float32 {
	t.Helper()
	want := make([][]float32, len(operands))
	for o, x := range operands {
		want[o] = slices.Clone(x)
	}
	if err := backend.Reference(spec, want); err != nil {
		t.Fatal(err)
	}
	return want
}

func compare(t *testing.T, prefix string, spec backend.Spec, got, want [][]float32, tol float64) (worst float64) {
	t.Helper()
	for o := range want {
		e := RelError(got[o], want[o])
		if !(e <= tol) {
			t.Errorf("%s%T%+v: operand %d of %d: relative error %.2g, at most %.2g is allowed; %s", prefix, spec, spec, o, len(want), e, tol, differences(got[o], want[o], tol))
		}
		if e > worst || e != e {
			worst = e
		}
	}
	return worst
}

// differences names the first values that differ by more than tol of the largest.
func differences(got, want []float32, tol float64) string {
	const most = 4
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(float64(w)))
	}
	var text strings.Builder
	count := 0
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - float64(w)); d <= tol*largest {
			continue
		}
		if count++; count <= most {
			fmt.Fprintf(&text, " [%d] %v, want %v;", i, got[i], w)
		}
	}
	return fmt.Sprintf("%d of %d values differ:%s", count, len(want), text.String())
}

// testGuard checks Guard, and that rules change nothing after it.
func testGuard(t *testing.T, b backend.Backend) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, loss := range []float32{2, nan, inf, -inf} {
		rates := []float32{1, 2, 3, 4, 5, 6, 7, 8}
		got, err := Run(b, backend.Guard{Groups: 2}, [][]float32{{loss}, slices.Clone(rates)})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range rates {
			if loss != 2 && i%4 == 1 {
				want = nan
			}
			if math.Float32bits(got[1][i]) != math.Float32bits(want) && want == want || want != want && got[1][i] == got[1][i] {
				t.Errorf("a guard of the loss %v leaves %v", loss, got[1])
			}
		}
	}
	for _, spec := range []backend.Spec{backend.RMSProp{N: 40, Rho: .9, Momentum: .9, Eps: 1e-3}, backend.SGD{N: 40, Momentum: .9},
		backend.Adam{N: 40, Beta1: .9, Beta2: .99, Eps: 1e-2, Decay: backend.Decay{WeightDecay: .1, Decoupled: true}}} {
		operands := Operands(spec, 1)
		operands[1][1] = nan
		got, err := Run(b, spec, operands)
		if err != nil {
			t.Fatal(err)
		}
		for i := 2; i < len(operands); i++ {
			if !slices.Equal(got[i], operands[i]) {
				t.Errorf("%T: a step that is held back changes operand %d", spec, i)
			}
		}
	}
}

// RelError is |got-want| / |want|, by Euclidean norms; |got| where want is zero.
func RelError(got, want []float32) float64 {
	var diff, norm float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		diff += d * d
		norm += float64(want[i]) * float64(want[i])
	}
	if norm == 0 {
		return math.Sqrt(diff)
	}
	return math.Sqrt(diff / norm)
}
