package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"effnet/internal/config"
	"effnet/internal/scale"

	"go.yaml.in/yaml/v3"
)

// A clock by which a million multiply-adds take 10 microseconds: B0 3.86 ms.
func byMACs(a scale.Arch) (time.Duration, error) {
	return time.Duration(scale.Count(a).MACs/100) * time.Nanosecond, nil
}

// parseYAML is the configuration of a file with a text.
func parseYAML(text string) (config.Config, error) {
	var settings map[string]any
	if err := yaml.Unmarshal([]byte(text), &settings); err != nil {
		return config.Config{}, err
	}
	return config.Decode(settings)
}

func TestChoosePhi(t *testing.T) {
	for _, c := range []struct {
		yaml        string
		least, most float64
		want        string // on stderr
	}{
		{"flops-budget: 1.5G", 1.6, 1.61, "multiply-adds of 1.5G allowed\n"},
		{"flops-budget: 1.5G\nparams-budget: 10M", 1.2, 1.23, "multiply-adds of 1.5G, 9.682M parameters of 10M allowed\n"},
		{"latency-budget: 15ms", 1.57, 1.61, "ms of 15ms allowed\n"},
		{"latency-budget: 15ms\nparams-budget: 10M", 1.17, 1.23, "parameters of 10M, "},
		{"latency-budget: 1h\nflops-budget: 385.9M", 0, 0, "phi 0: 385.8M multiply-adds of 385.9M, 3.858ms of 1h allowed\n"},
	} {
		cfg, err := parseYAML(c.yaml)
		if err != nil {
			t.Fatal(err)
		}
		var w bytes.Buffer
		chosen, err := choosePhi(&w, cfg, 1000, byMACs)
		if err != nil {
			t.Errorf("%q: %v", c.yaml, err)
			continue
		}
		if *chosen.Phi < c.least || *chosen.Phi > c.most || chosen.HasBudget() || !strings.Contains(w.String(), c.want) {
			t.Errorf("%q: phi %v, want %v to %v; printed\n%s", c.yaml, *chosen.Phi, c.least, c.most, &w)
		}
	}
}

// The time that is printed is the chosen network's, and each was printed once.
func TestChoosePhiPrintsWhatItMeasured(t *testing.T) {
	cfg := config.Default()
	cfg.LatencyBudget = "8ms"
	var w bytes.Buffer
	chosen, err := choosePhi(&w, cfg, 1000, byMACs)
	if err != nil {
		t.Fatal(err)
	}
	a, err := chosen.Arch(1000)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := byMACs(a)
	lines := strings.Split(strings.TrimSpace(w.String()), "\n")
	last := len(lines) - 1
	if lines[0] != "224 px, 385.8M multiply-adds: 3.858ms per image" || !strings.Contains(lines[last], rounded(d)+" of 8ms allowed") {
		t.Errorf("printed\n%s\nwant %v", &w, d)
	}
	for i, line := range lines[:last] {
		if strings.Contains(strings.Join(lines[i+1:], "\n"), line) {
			t.Errorf("measured twice: %s", line)
		}
	}
}

// A model of time chooses: with few measurements the answer is as near to the budget as
// by measuring every phi, also on a machine whose time is not of the model's form.
func TestChoosePhiByTheModel(t *testing.T) {
	for name, measure := range map[string]func(scale.Arch) (time.Duration, error){
		"multiply-adds": byMACs,
		"activations and a power": func(a scale.Arch) (time.Duration, error) {
			c := scale.Count(a)
			return time.Duration(math.Pow(float64(c.MACs), 1.2)/40 + float64(c.Activations)/5), nil
		},
	} {
		cfg := config.Default()
		base, err := cfg.WithPhi(0).Arch(1000)
		if err != nil {
			t.Fatal(err)
		}
		took, _ := measure(base)
		for _, times := range []float64{1.3, 5, 20} {
			most := time.Duration(times * float64(took)).Round(time.Microsecond)
			cfg.LatencyBudget = most.String()
			asked := 0
			var w bytes.Buffer
			chosen, err := choosePhi(&w, cfg, 1000, func(a scale.Arch) (time.Duration, error) { asked++; return measure(a) })
			if err != nil {
				t.Fatal(err)
			}
			exact, _, err := scale.LargestPhi(latencyPrecision, func(phi float64) (scale.Arch, error) { return cfg.WithPhi(phi).Arch(1000) },
				func(a scale.Arch) (bool, error) { d, err := measure(a); return d <= most, err })
			if err != nil {
				t.Fatal(err)
			}
			if bound := int(exact) + 2 + latencyTries; *chosen.Phi < exact-0.05 || *chosen.Phi > exact+latencyPrecision || asked > bound {
				t.Errorf("%s, %s: phi %v after %d measurements, want %v after %d at most\n%s", name, most, *chosen.Phi, asked, exact, bound, &w)
			}
		}
	}
}

func TestChoosePhiErrors(t *testing.T) {
	cfg := config.Default()
	cfg.LatencyBudget = "1ms"
	if _, err := choosePhi(&bytes.Buffer{}, cfg, 1000, byMACs); !errors.Is(err, scale.ErrOverBudget) || exitCode(err) != 2 || !strings.HasSuffix(err.Error(), ": 3.858ms of 1ms") {
		t.Errorf("over: %v", err)
	}
	stop := func(scale.Arch) (time.Duration, error) { return 0, context.Canceled }
	if _, err := choosePhi(&bytes.Buffer{}, cfg, 1000, stop); !errors.Is(err, context.Canceled) || exitCode(err) == 2 {
		t.Errorf("stopped: %v", err)
	}
}

func TestRounded(t *testing.T) {
	for d, want := range map[time.Duration]string{3_858_147: "3.858ms", 21_234_567: "21.23ms", 999: "999ns", 1_234_567_890: "1.235s"} {
		if got := rounded(d); got != want {
			t.Errorf("rounded(%d) = %s, want %s", d, got, want)
		}
	}
}
