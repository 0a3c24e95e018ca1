package scale

import "testing"

// The largest resolution holds only the resolution, and the late depth deepens the last
// two stages alone.
func TestRules(t *testing.T) {
	b := b0Baseline(t)
	k := Paper
	k.Phi = 3
	compound, err := b.Compound(k)
	if err != nil {
		t.Fatal(err)
	}
	capped, err := b.Enlarge(Rule{Coefficients: k, MaxResolution: 300})
	if err != nil {
		t.Fatal(err)
	}
	if compound.Resolution != 341 || capped.Resolution != 300 {
		t.Errorf("%d px, capped %d", compound.Resolution, capped.Resolution)
	}
	capped.Resolution = compound.Resolution
	if !sameNetwork(capped, compound) {
		t.Error("a largest resolution changes more than the resolution")
	}

	// Repeats of B0's last two stages are 4 and 1: times 1.2^3 they are 7 and 2, and times
	// 1.2^3 once more 12 and 3, by rounding up.
	late, err := b.Enlarge(Rule{Coefficients: k, LateDepth: 1.2})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{2, 4, 4, 6, 6, 12, 3} {
		got := late.Stages[i].Repeats
		if got != want || i < 5 && got != compound.Stages[i].Repeats {
			t.Errorf("stage %d: %d repeats, want %d; without late depth %d", i+1, got, want, compound.Stages[i].Repeats)
		}
	}

	for want, r := range map[string]Rule{
		"late-depth: 0.5":    {Coefficients: k, LateDepth: 0.5},
		"max-img-size: 4":    {Coefficients: k, MaxResolution: 4},
		"max-img-size: 5000": {Coefficients: k, MaxResolution: 5000},
	} {
		if _, err := b.Enlarge(r); !matches(err, want) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// The methods with a bound need it.
func TestMethodsOfRules(t *testing.T) {
	b := b0Baseline(t)
	for want, m := range map[string]Method{"capped needs max-img-size": Capped, "late needs late-depth": Late} {
		if _, _, err := b.Match(m, 2, paper, 1000); !matches(err, want) {
			t.Errorf("%s: %v", m, err)
		}
	}
}
