package scale

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func b0Baseline(t *testing.T) Baseline {
	b, err := LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func candidates(t *testing.T, g Grid, b Baseline) []Candidate {
	all, err := g.Candidates(b, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sameNetwork compares layer by layer, not by key.
func sameNetwork(a, b Arch) bool {
	return a.Resolution == b.Resolution && a.Stem == b.Stem && a.Head == b.Head && slices.Equal(a.Stages, b.Stages)
}

// bruteForce lists the triples of hundredths whose product, in whole numbers, is
// within 0.1 of 2.
func bruteForce() (triples [][3]int) {
	for a := 100; a <= 400; a += 5 {
		for b := 100; b <= 400; b += 5 {
			for g := 100; g <= 400; g += 5 {
				if p := a * b * b * g * g; p >= 190*1e8 && p <= 210*1e8 {
					triples = append(triples, [3]int{a, b, g})
				}
			}
		}
	}
	return triples
}

func TestCandidatesByFormula(t *testing.T) {
	b := b0Baseline(t)
	base := Count(b.unscaled())
	triples := bruteForce()
	if len(triples) != 111 { // two of them, 1.9 and 2.1 times 1 and 1, at the very edge
		t.Fatalf("%d triples, want 111", len(triples))
	}
	var want []Candidate
	least, most := math.Inf(1), 0.
	for _, triple := range triples {
		k := Coefficients{1, float64(triple[0]) / 100, float64(triple[1]) / 100, float64(triple[2]) / 100}
		a, err := b.Compound(k)
		if err != nil {
			t.Fatal(err)
		}
		cost := Count(a)
		relative := float64(cost.MACs) / float64(base.MACs)
		least, most = min(least, relative), max(most, relative)
		if !slices.ContainsFunc(want, func(c Candidate) bool { return sameNetwork(c.Network, a) }) {
			want = append(want, Candidate{Coefficients: k, Network: a, Cost: cost, Relative: relative})
		}
	}
	if math.Abs(least-1.93) > 0.005 || math.Abs(most-3.33) > 0.005 {
		t.Errorf("their multiply-adds are %.3f to %.3f times the baseline's, want 1.93 to 3.33", least, most)
	}
	got := candidates(t, PaperGrid, b)
	if len(got) != len(want) || len(got) >= 111 {
		t.Fatalf("%d candidates, want %d", len(got), len(want))
	}
	for i, c := range got {
		if c.Coefficients != want[i].Coefficients || !sameNetwork(c.Network, want[i].Network) ||
			c.Cost.MACs != want[i].Cost.MACs || c.Cost.Params != want[i].Cost.Params || c.Relative != want[i].Relative {
			t.Errorf("candidate %d is %+v, want %+v", i, c.Coefficients, want[i].Coefficients)
		}
	}
}

// The paper's result is a candidate: b2's channels and repeats at 258 px.
func TestCandidatesHoldThePapers(t *testing.T) {
	all := candidates(t, PaperGrid, b0Baseline(t))
	i := slices.IndexFunc(all, func(c Candidate) bool { return c.Coefficients == Paper })
	if i < 0 {
		t.Fatal("alpha 1.2, beta 1.1, gamma 1.15 is missing")
	}
	b2, err := Variant("b2")
	if err != nil {
		t.Fatal(err)
	}
	b2.Resolution = 258
	if c := all[i]; !sameNetwork(c.Network, b2) || math.Abs(c.Product()-1.92) > 0.005 || c.Cost.MACs != Count(b2).MACs {
		t.Errorf("it is %+v, product %v", c.Network, c.Product())
	}
}

// What is counted is within the budget, and nothing that is not listed is.
func TestCandidatesByCount(t *testing.T) {
	b := tiny()
	for _, g := range []Grid{
		{Phi: 1, Step: 0.1, Budget: ByMACs, Target: 2, Tolerance: 0.15},
		{Phi: 2, Step: 0.1, Budget: ByMACs, Target: 2, Tolerance: 0.5},
		{Phi: 1, Step: 0.1, Budget: ByParams, Target: 2, Tolerance: 0.15},
	} {
		g.Most.Alpha, g.Most.Beta, g.Most.Gamma = 2.2, 2.2, 1.5
		base := Count(b.unscaled())
		var want []Arch
		for i := range 13 * 13 * 6 {
			k := Coefficients{g.Phi, float64(10+i/78) / 10, float64(10+i/6%13) / 10, float64(10+i%6) / 10}
			a, err := b.Compound(k)
			if err != nil {
				t.Fatal(err)
			}
			relative := float64(Count(a).MACs) / float64(base.MACs)
			if g.Budget == ByParams {
				relative = float64(Count(a).Params) / float64(base.Params)
			}
			target := map[float64]float64{1: 2, 2: 4}[g.Phi]
			if math.Abs(relative-target) <= g.Tolerance && !slices.ContainsFunc(want, func(b Arch) bool { return sameNetwork(a, b) }) {
				want = append(want, a)
			}
		}
		got := candidates(t, g, b)
		if len(got) != len(want) || len(got) == 0 {
			t.Errorf("%+v: %d candidates, want %d", g, len(got), len(want))
			continue
		}
		for i, c := range got {
			if !sameNetwork(c.Network, want[i]) || c.Cost.MACs != Count(want[i]).MACs {
				t.Errorf("%+v: candidate %d is %+v, want %+v", g, i, c.Network, want[i])
			}
		}
	}
}

// Without bounds gamma still ends where it alone meets the budget, though
// parameters do not depend on it.
func TestCandidatesByParamsAreBounded(t *testing.T) {
	g := PaperGrid
	g.Budget = ByParams
	greatest := 0.
	for _, c := range candidates(t, g, b0Baseline(t)) {
		greatest = max(greatest, c.Gamma)
	}
	if greatest != 1.4 {
		t.Errorf("gamma is up to %v, want 1.4", greatest)
	}
}

func TestCandidatesForOtherClasses(t *testing.T) {
	b := b0Baseline(t)
	all, err := PaperGrid.Candidates(b, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Network.Classes != 10 || c.Cost.Params != Count(c.Network).Params {
			t.Fatalf("%+v has %d classes, %d parameters", c.Coefficients, c.Network.Classes, c.Cost.Params)
		}
	}
	if _, err := PaperGrid.Candidates(b, 0); !matches(err, "classes: 0") {
		t.Errorf("no classes: %v", err)
	}
}

// Steps are decimals, not sums that drift.
func TestGridValues(t *testing.T) {
	got := Grid{Step: 0.05}.values(1.45)
	if want := []float64{1, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.35, 1.4, 1.45}; !slices.Equal(got, want) {
		t.Errorf("values %v, want %v", got, want)
	}
}

func TestBadGrids(t *testing.T) {
	for _, c := range []struct {
		want   string
		damage func(*Grid)
	}{
		{"phi: 0 ", func(g *Grid) { g.Phi = 0 }},
		{"step: 0 ", func(g *Grid) { g.Step = 0 }},
		{"step: NaN", func(g *Grid) { g.Step = math.NaN() }},
		{"no multiple of 0.001", func(g *Grid) { g.Step = 0.0333 }},
		{`budget: "flops" is unknown (have [formula macs params latency])`, func(g *Grid) { g.Budget = "flops" }},
		{"target: 0.5", func(g *Grid) { g.Target = 0.5 }},
		{"tolerance: -1", func(g *Grid) { g.Tolerance = -1 }},
		{"most beta: 5", func(g *Grid) { g.Most.Beta = 5 }},
	} {
		g := PaperGrid
		c.damage(&g)
		if _, err := g.Candidates(b0Baseline(t), 1000); !matches(err, c.want) || !strings.HasPrefix(err.Error(), "scale: search: ") {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
