package scale

import (
	"math"
	"math/rand/v2"
	"testing"
)

// timedNetworks are B0 scaled to several sizes, by each method, with the seconds that of
// says.
func timedNetworks(t *testing.T, of func(a Arch) float64) (all []Timed) {
	t.Helper()
	b := b0Baseline(t)
	for _, m := range []Method{DepthOnly, WidthOnly, ResolutionOnly, AllThree} {
		for _, x := range []float64{1, 1.5, 2, 3} {
			a, err := b.By(m, x, paper)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, Timed{a, of(a)})
		}
	}
	return all
}

// A machine whose time is of the model's form is found exactly.
func TestFitTime(t *testing.T) {
	for _, want := range []TimeModel{
		{2e-6, 5e-12, 1e-10},
		{0, 5e-12, 1e-10},
		{0, 5e-12, 0},
		{3e-6, 0, 0},
	} {
		got, err := FitTime(timedNetworks(t, want.Seconds))
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string][2]float64{"layer": {got.PerLayer, want.PerLayer}, "multiply-add": {got.PerMAC, want.PerMAC}, "activation": {got.PerActivation, want.PerActivation}} {
			if math.Abs(v[0]-v[1]) > 1e-6*v[1]+1e-20 {
				t.Errorf("%v a %s, want %v", v[0], name, v[1])
			}
		}
	}
	if _, err := FitTime(nil); err == nil {
		t.Error("no network is enough")
	}
}

// Times with errors, and times that fall with one of the counts, still give a model in
// which nothing is negative, and which is nearer than its neighbours.
func TestFitTimeIsTheLeast(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, per := range []TimeModel{{2e-6, 5e-12, 1e-10}, {2e-6, 5e-12, -2e-11}, {-1e-6, 5e-12, 1e-10}} {
		all := timedNetworks(t, func(a Arch) float64 { return per.Seconds(a) * (1 + 0.1*rng.NormFloat64()) })
		got, err := FitTime(all)
		if err != nil || got.PerLayer < 0 || got.PerMAC < 0 || got.PerActivation < 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		sum := func(m TimeModel) (sum float64) {
			for _, t := range all {
				d := m.Seconds(t.Arch)/t.Seconds - 1
				sum += d * d
			}
			return sum
		}
		least := sum(got)
		for range 2000 {
			m := TimeModel{near(rng, got.PerLayer, 1e-7), near(rng, got.PerMAC, 1e-13), near(rng, got.PerActivation, 1e-12)}
			if s := sum(m); s < least-1e-9 {
				t.Fatalf("%+v has %v, %+v of the fit %v", m, s, got, least)
			}
		}
	}
}

// near is a number within a few percent, or units, of v, not negative.
func near(rng *rand.Rand, v, unit float64) float64 {
	return max(0, v*(1+0.02*rng.NormFloat64())+unit*rng.NormFloat64())
}
