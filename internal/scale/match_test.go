package scale

import (
	"math"
	"strings"
	"testing"
	"time"
)

var paper = Rule{Coefficients: Paper}

// No network that a method can make is nearer in multiply-adds than Match's.
func TestMatchIsTheNearest(t *testing.T) {
	b := tiny()
	k := Rule{Coefficients{Alpha: 1.2, Beta: 1.1, Gamma: 1.15}, b.Resolution + 8, 1.1}
	base := float64(Count(b.unscaled()).MACs)
	for _, m := range Methods {
		for _, times := range []float64{2, 4} {
			x, a, err := b.Match(m, times, k, 1000)
			if err != nil {
				t.Fatal(err)
			}
			again, err := b.By(m, x, k)
			if err != nil || !sameNetwork(again, a) {
				t.Errorf("%s of %v gives %+v, not %+v (%v)", m, x, again, a, err)
			}
			got := math.Abs(float64(Count(a).MACs)/base - times)
			for x := 1.0; x < 11; x += 0.002 {
				other, err := b.By(m, x, k)
				if err != nil {
					break
				}
				if d := math.Abs(float64(Count(other).MACs)/base - times); d < got-1e-9 {
					t.Errorf("%s to %v times: %v away, and at %v %v", m, times, got, x, d)
					break
				}
			}
		}
	}
}

// The fast rule's numbers are those of the paper's formulas, and its activations grow about
// as s^(1-a/2), s^0.6, for s times the multiply-adds: much less than by compound scaling.
func TestFastRule(t *testing.T) {
	k := FastRule(FastShare)
	for name, c := range map[string][2]float64{"depth": {k.Depth(), 1.0718}, "width": {k.Width(), 1.3195}, "multiply-adds": {k.Product(), 2}} {
		if math.Abs(c[0]-c[1]) > 5e-5 {
			t.Errorf("%s times %v, want %v", name, c[0], c[1])
		}
	}
	b := b0Baseline(t)
	base := Count(b.unscaled())
	for _, times := range []float64{2, 4, 8} {
		_, fast, err := b.Match(Fast, times, paper, 1000)
		if err != nil {
			t.Fatal(err)
		}
		_, compound, err := b.Match(AllThree, times, paper, 1000)
		if err != nil {
			t.Fatal(err)
		}
		power := func(a Arch) float64 {
			c := Count(a)
			return math.Log(float64(c.Activations)/float64(base.Activations)) / math.Log(float64(c.MACs)/float64(base.MACs))
		}
		if f, c := power(fast), power(compound); f > 0.72 || c < f+0.1 {
			t.Errorf("%g times: activations grow as a power of %.2f, by compound scaling of %.2f", times, f, c)
		}
	}
}

func TestMatchOfOneDimension(t *testing.T) {
	b := b0Baseline(t)
	for _, m := range Methods[:3] {
		_, a, err := b.Match(m, 2, paper, 1000)
		if err != nil {
			t.Fatal(err)
		}
		base := b.unscaled()
		deeper, wider, larger := a.Depth > 1, a.Stem > base.Stem, a.Resolution > base.Resolution
		if deeper != (m == DepthOnly) || wider != (m == WidthOnly) || larger != (m == ResolutionOnly) {
			t.Errorf("%s: %+v", m, a)
		}
	}
	if _, _, err := b.Match("size", 2, paper, 1000); !matches(err, `"size" is unknown`) {
		t.Errorf("unknown method: %v", err)
	}
	if _, _, err := b.Match(AllThree, 2, Rule{Coefficients: Coefficients{Alpha: 5, Beta: 1, Gamma: 1}}, 1000); err == nil {
		t.Error("alpha 5 is allowed")
	}
	if _, _, err := b.Match(ResolutionOnly, 1e6, paper, 1000); err == nil || !strings.Contains(err.Error(), "resolution of 1e+06 times") {
		t.Errorf("more than any resolution: %v", err)
	}
}

// Measured times decide, each network's once.
func TestCandidatesByLatency(t *testing.T) {
	b := b0Baseline(t)
	asked := map[string]int{}
	g := Grid{Phi: 1, Step: 0.1, Budget: ByLatency, Target: 2, Tolerance: 0.2, Measure: func(a Arch) (time.Duration, error) {
		asked[a.Key()]++
		return time.Duration(Count(a).Params) * time.Nanosecond, nil // a machine whose time is all in weights
	}}
	all := candidates(t, g, b)
	base := Count(b.unscaled())
	for _, c := range all {
		if times := float64(c.Cost.Params) / float64(base.Params); math.Abs(times-2) > 0.2 || c.Latency != time.Duration(c.Cost.Params) {
			t.Errorf("%+v takes %v times as long", c.Coefficients, times)
		}
	}
	if len(all) < 5 || len(asked) <= len(all) {
		t.Errorf("%d candidates, %d measured", len(all), len(asked))
	}
	for key, n := range asked {
		if n > 1 {
			t.Errorf("%s was measured %d times", key, n)
		}
	}
}
