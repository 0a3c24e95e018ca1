package config

import (
	"strings"
	"testing"
	"time"

	"effnet/internal/scale"

	"go.yaml.in/yaml/v3"
)

func TestBudgets(t *testing.T) {
	for _, c := range []struct {
		yaml    string
		count   scale.Budget
		latency time.Duration
	}{
		{"", scale.Budget{}, 0},
		{"flops-budget: 1.5G", scale.Budget{MACs: 1_500_000_000}, 0},
		{"flops-budget: 385.814752M", scale.Budget{MACs: 385_814_752}, 0},
		{"flops-budget: \"5e8\"\nparams-budget: 900K", scale.Budget{MACs: 500_000_000, Params: 900_000}, 0},
		{"params-budget: 10M\nlatency-budget: 20ms\nalpha: 1.3\nbaseline: efficientnet-lite0", scale.Budget{Params: 10_000_000}, 20 * time.Millisecond},
	} {
		cfg, err := parse([]byte(c.yaml))
		if err != nil {
			t.Errorf("%q: %v", c.yaml, err)
			continue
		}
		count, latency, err := cfg.Budgets()
		if err != nil || count != c.count || latency != c.latency || cfg.HasBudget() != (c.yaml != "") {
			t.Errorf("%q: %+v, %v, %v", c.yaml, count, latency, err)
		}
	}
}

func TestBadBudgets(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"flops-budget: 1.5T", `flops-budget: "1.5T" is not allowed (want a number, such as 1.5G, 10M or 300K)`},
		{"flops-budget: G", `flops-budget: "G" is not allowed`},
		{"flops-budget: -1G", `flops-budget: "-1G" is not allowed`},
		{"flops-budget: NaN", `flops-budget: "NaN" is not allowed`},
		{"params-budget: 1e30", "params-budget: "},
		{"params-budget: InfG", `params-budget: "InfG" is not allowed`},
		{"params-budget: 0x10M", `params-budget: "0x10M" is not allowed`},
		{"latency-budget: fast", `latency-budget: "fast" is not allowed (want a time, such as 20ms or 1.5s)`},
		{"latency-budget: 0s", `latency-budget: "0s" is not allowed`},
		{"variant: b0\nflops-budget: 1G", "variant and flops-budget: both are set"},
		{"phi: 1\nlatency-budget: 20ms", "phi and latency-budget: both are set"},
		{"flops-budget: 1G\nalpha: 0.5", "alpha: 0.5 is outside"},
	} {
		if _, err := parse([]byte(c.yaml)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.yaml, err, c.want)
		}
	}
}

// A budget that chose no phi yet is no network; with the phi it is gone.
func TestWithPhi(t *testing.T) {
	c, err := parse([]byte("flops-budget: 1.5G\nlatency-budget: 20ms\nbaseline: efficientnet-lite0"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Arch(10); err == nil {
		t.Error("a network before phi was chosen")
	}
	chosen := c.WithPhi(1.25)
	if c.Phi != nil {
		t.Error("WithPhi changed its receiver")
	}
	a, err := chosen.Arch(10)
	if err != nil || a.Name != "efficientnet-lite0-phi1.25" {
		t.Errorf("%q, %v", a.Name, err)
	}
	text, err := yaml.Marshal(chosen)
	if err != nil || strings.Contains(string(text), "budget") || !strings.Contains(string(text), "phi: 1.25\n") {
		t.Errorf("%v:\n%s", err, text)
	}
}
