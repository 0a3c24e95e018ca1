// Package backendtest is the suite every backend passes: each Spec, over odd
// and real shapes, against backend.Reference.
package backendtest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"effnet/internal/backend"
)

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
