package scale

import (
	"errors"
	"math"
	"testing"
)

// scaled is b by Paper's coefficients, as a function of phi.
func scaled(b Baseline) func(float64) (Arch, error) {
	return func(phi float64) (Arch, error) {
		c := Paper
		c.Phi = phi
		return b.Compound(c)
	}
}

// The network is the one that a walk over every thousandth of phi ends at.
func TestLargestPhiIsBruteForces(t *testing.T) {
	for _, b := range []Baseline{b0Baseline(t), tiny()} {
		arch := scaled(b)
		base := Count(b.unscaled())
		for _, budget := range []Budget{
			{MACs: base.MACs}, {MACs: base.MACs * 3 / 2}, {MACs: base.MACs * 37 / 10}, {MACs: base.MACs * 40},
			{Params: base.Params}, {Params: base.Params * 2}, {MACs: base.MACs * 6, Params: base.Params * 2},
		} {
			var want Arch
			for i := 0; ; i++ {
				a, err := arch(float64(i) / 1000)
				if err != nil {
					t.Fatal(err)
				}
				if !budget.Allows(Count(a)) {
					break
				}
				want = a
			}
			phi, a, cost, err := budget.LargestPhi(arch)
			if err != nil {
				t.Fatal(err)
			}
			// Steps shorter than a thousandth hide from the walk.
			if cost.MACs < Count(want).MACs || cost.Params < Count(want).Params || !budget.Allows(cost) {
				t.Errorf("%s, %+v: phi %v costs %d multiply-adds, %d parameters; %d and %d fit",
					b.Name, budget, phi, cost.MACs, cost.Params, Count(want).MACs, Count(want).Params)
			}
			if again, err := arch(phi); err != nil || !sameNetwork(a, again) || Count(again).MACs != cost.MACs {
				t.Errorf("%s, %+v: phi %v is another network", b.Name, budget, phi)
			}
		}
	}
}

func TestLargestPhiIsAtTheEdge(t *testing.T) {
	for _, b := range []Baseline{b0Baseline(t), tiny()} {
		arch := scaled(b)
		base := Count(b.unscaled())
		for i := range int64(30) {
			budget := Budget{MACs: base.MACs * (100 + 13*i) / 100}
			phi, a, _, err := budget.LargestPhi(arch)
			if err != nil {
				t.Fatal(err)
			}
			assertEdge(t, arch, budget, phi, a)
		}
	}
}

// assertEdge walks up from phi: the next network is over the budget.
func assertEdge(t *testing.T, arch func(float64) (Arch, error), budget Budget, phi float64, a Arch) {
	t.Helper()
	for ; ; phi += 1e-4 {
		next, err := arch(phi)
		if err != nil {
			t.Fatal(err)
		}
		if sameNetwork(a, next) {
			continue
		}
		if budget.Allows(Count(next)) {
			t.Errorf("%+v: phi %v is larger and fits", budget, phi)
		}
		return
	}
}

// The budget of phi 1's network gives 1, not the greatest phi of its step.
func TestLargestPhiIsShort(t *testing.T) {
	arch := scaled(b0Baseline(t))
	one, err := arch(1)
	if err != nil {
		t.Fatal(err)
	}
	phi, a, _, err := Budget{MACs: Count(one).MACs}.LargestPhi(arch)
	if err != nil || phi != 1 || !sameNetwork(a, one) {
		t.Errorf("phi %v, %v", phi, err)
	}
}

func TestLargestPhiErrors(t *testing.T) {
	b := b0Baseline(t)
	_, a, cost, err := Budget{MACs: 1e8, Params: 1e6}.LargestPhi(scaled(b))
	if !errors.Is(err, ErrOverBudget) || !matches(err, "385814752 multiply-adds of 100000000, 5288548 parameters of 1000000") || a.Resolution != 224 || cost.Params != 5_288_548 {
		t.Errorf("a small budget: %v at %d px", err, a.Resolution)
	}
	if _, _, _, err := (Budget{MACs: math.MaxInt64}).LargestPhi(scaled(b)); !matches(err, "within the budget") {
		t.Errorf("a great budget: %v", err)
	}
	b.Stem = 0
	if _, _, _, err := (Budget{MACs: 1e9}).LargestPhi(scaled(b)); !matches(err, "stem: 0") {
		t.Errorf("no network: %v", err)
	}
}

// A fit that is measured: few questions, none twice, and none about a network far
// beyond the answer.
func TestLargestPhiAsksLittle(t *testing.T) {
	arch := scaled(b0Baseline(t))
	var asked []Arch
	phi, _, err := LargestPhi(0.02, arch, func(a Arch) (bool, error) {
		for _, b := range asked {
			if sameNetwork(a, b) {
				t.Errorf("asked twice about %d px", a.Resolution)
			}
		}
		asked = append(asked, a)
		return Count(a).MACs <= 1.5e9, nil
	})
	exact, _, _, exactErr := Budget{MACs: 1.5e9}.LargestPhi(arch)
	if err != nil || exactErr != nil || phi > exact || phi < exact-0.06 {
		t.Errorf("phi %v, exactly %v; %v, %v", phi, exact, err, exactErr)
	}
	if len(asked) > 9 {
		t.Errorf("%d networks were measured", len(asked))
	}
	for _, a := range asked {
		if Count(a).MACs > 2*1.5e9 {
			t.Errorf("asked about %d multiply-adds", Count(a).MACs)
		}
	}
	failure := errors.New("no device")
	if _, _, err := LargestPhi(0.1, arch, func(Arch) (bool, error) { return true, failure }); !errors.Is(err, failure) {
		t.Errorf("a failing measurement: %v", err)
	}
}
