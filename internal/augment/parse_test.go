package augment

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestParsePolicy(t *testing.T) {
	for s, want := range map[string]Policy{
		"": nil, "none": nil, "v0": AutoAugment{},
		"rand":                  RandAugment{N: 2, Magnitude: 10, Prob: 0.5},
		"rand-m9-n2-mstd0.5-p1": RandAugment{N: 2, Magnitude: 9, Std: 0.5, Prob: 1},
		"rand-list0-m10":        RandAugment{N: 2, Magnitude: 10, Prob: 0.5},
		"rand-p.25-n3-m28":      RandAugment{N: 3, Magnitude: 28, Prob: 0.25},
	} {
		if got, err := ParsePolicy(s); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", s, got, err, want)
		}
	}
	for s, want := range map[string]string{
		"v1": "unknown policy", "rand_m9": "unknown policy", "randm9": "unknown policy", "V0": "unknown policy",
		"rand-m9-inc1": `unknown part "inc1"`, "rand-mmax10": `unknown part "mmax10"`, "rand-": `part "" has no number`,
		"rand-m": `part "m" has no number`, "rand-m9-m8": "m is given twice", "rand-m9x": `"9x" is not a number`,
		"rand-n1.5": "not a whole number", "rand-n0": "0 operations", "rand-m101": "magnitude 101", "rand-p2": "probability 2",
		"rand-m-1": `part "m" has no number`, "rand-mstd101": "deviation 101", "rand-9": `unknown part "9"`,
		"rand-n1e300": "not a whole number", "rand-list99": "list 99 of operations", "rand-list.5": "list 0.5 of operations: not a whole number",
	} {
		p, err := ParsePolicy(s)
		if err == nil || p != nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "want ") {
			t.Errorf("%q: %v, %v; want an error with %q and with what is wanted", s, p, err, want)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add("rand-m9-n2-mstd0.5-p1")
	f.Add("v0")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePolicy(s)
		if err != nil || p == nil {
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		var scratch []uint8
		p.Apply(noise(5, 3, 0, 255), rand.New(rand.NewPCG(1, 1)), &scratch)
	})
}
