package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"effnet/internal/scale"
)

// TestTable holds what every row must have.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Settings() {
		if s.Key == "" || seen[s.Key] {
			t.Errorf("%+v: no key, or one that appears twice", s)
		}
		seen[s.Key] = true
		if s.Help == "" || s.Group == "" || len(s.Commands) == 0 && s.of != record {
			t.Errorf("%s: help %q, group %q, commands %q: one is missing", s.Key, s.Help, s.Group, s.Commands)
		}
		if got := s.Text(Default()); got != s.Default {
			t.Errorf("%s: the default is written %s (write %s)", s.Key, s.Default, got)
		}
		if !slices.Contains([]Effect{Numbers, Network, Chooses, Free}, s.Effect) {
			t.Errorf("%s: effect %q is unknown", s.Key, s.Effect)
		}
		if _, ok := Lookup(s.Chooses); ok != (s.Effect == Chooses) {
			t.Errorf("%s: effect %q of %q", s.Key, s.Effect, s.Chooses)
		}
		if s.Want == "" && (s.Kind == "int" || s.Kind == "floats") {
			t.Errorf("%s: a number without what is wanted", s.Key)
		}
		if older, err := Decode(map[string]any{s.Key: s.Older()}); s.Before != "" && (err != nil || !s.allowed(older)) {
			t.Errorf("%s: %s, as before, is not %s (%v)", s.Key, s.Before, s.Want, err)
		}
		if !s.allowed(Default()) {
			t.Errorf("%s: the default is not %s", s.Key, s.Want)
		}
	}
	for key := range own {
		if !seen[key] {
			t.Errorf("a rule for %s, which is no setting", key)
		}
	}
}

func TestDefaultCoefficientsAreThePapers(t *testing.T) {
	if got := Default().Scaling(); got.Alpha != scale.Paper.Alpha || got.Beta != scale.Paper.Beta || got.Gamma != scale.Paper.Gamma {
		t.Errorf("%+v, want %+v", got, scale.Paper)
	}
}

func TestLookup(t *testing.T) {
	for key, want := range map[string]Setting{
		"img-size":     {Kind: "int", Default: "0", Effect: Network},
		"phi":          {Kind: "float", Effect: Network},
		"scale":        {Kind: "floats", Default: "0.08,1"},
		"opt":          {Kind: "string", Default: "rmsprop"},
		"baseline":     {Kind: "string", Effect: Network, Coefficient: true},
		"flops-budget": {Kind: "string", Effect: Chooses, Chooses: "phi"},
		"workers":      {Kind: "int", Default: "0", Effect: Free, Short: "j"},
	} {
		s, ok := Lookup(key)
		got := Setting{Kind: s.Kind, Default: s.Default, Effect: s.Effect, Chooses: s.Chooses, Coefficient: s.Coefficient, Short: s.Short}
		if !ok || s.Key != key || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, want %+v", key, got, want)
		}
	}
	if s, ok := Lookup("lrr"); ok {
		t.Errorf("lrr is %+v", s)
	}
}

// Text is what a flag takes: read again, it is the value.
func TestTextIsRead(t *testing.T) {
	for _, s := range Settings() {
		want, err := Decode(map[string]any{s.Key: other(t, s)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(map[string]any{s.Key: s.Text(want)})
		if err != nil || !s.Same(got, want) {
			t.Errorf("%s: %v from %q, want %v (%v)", s.Key, s.Value(got), s.Text(want), s.Value(want), err)
		}
	}
}

func TestParseRule(t *testing.T) {
	for _, c := range []struct {
		want    string
		in, out []any
	}{
		{"0 to 4", []any{0, 4, 2.5}, []any{-1, 4.5}},
		{"1 or more", []any{1, 1 << 40}, []any{0}},
		{"-1 or 0 to 0.99", []any{-1., 0., 0.99}, []any{-0.5, 1.}},
		{"1e-12 to 1", []any{1e-12, 1.}, []any{0.}},
		{"tf or timm or torchvision", []any{"tf", "torchvision"}, []any{"", "tf or timm", "keras"}},
		{"three numbers of 0 to 255", []any{[3]float64{255, 0, 1}}, []any{[3]float64{0, 1, 256}}},
		{"two rising numbers of 0 to 1", []any{[2]float64{0, 1}, [2]float64{1, 1}}, []any{[2]float64{1, 0}, [2]float64{0, 2}}},
	} {
		r := parseRule(c.want)
		for _, v := range c.in {
			if !r.allows(reflect.ValueOf(v)) {
				t.Errorf("%s: %v is not allowed", c.want, v)
			}
		}
		for _, v := range c.out {
			if r.allows(reflect.ValueOf(v)) {
				t.Errorf("%s: %v is allowed", c.want, v)
			}
		}
	}
}

// examples are values for settings whose row alone does not give one.
var examples = map[string]any{
	"name": "mine", "out": "elsewhere", "variant": "b3", "phi": 1.5, "alpha": 1.3, "beta": 1.3, "gamma": 1.3, "baseline": "resnet50",
	"flops-budget": "1G", "params-budget": "9M", "latency-budget": "20ms", "aa": "v0", "exclude": "bad.txt", "freeze": "stages:2", "checkpoint-every": "7steps",
	"weights": "b0.safetensors", "weights-sha256": "00ff",
}

// other is an allowed value that is not the default.
func other(t *testing.T, s Setting) any {
	t.Helper()
	if v, ok := examples[s.Key]; ok {
		return v
	}
	if s.Kind == "bool" {
		return s.Default != "true"
	}
	for _, word := range s.rule.words {
		if word != s.Default {
			return word
		}
	}
	for _, bounds := range s.rule.ranges {
		for _, x := range []float64{bounds[0] + 1, bounds[0] + (bounds[1]-bounds[0])/4} {
			if !within(x, bounds[0], bounds[1]) || fmt.Sprint(x) == s.Default {
				continue
			}
			switch numbers := reflect.ValueOf(s.Value(Default())); s.Kind {
			case "int":
				return int(x)
			case "floats":
				return slices.Repeat([]any{x}, numbers.Len())
			case "float":
				return x
			}
		}
	}
	t.Fatalf("%s: no example (add one)", s.Key)
	return nil
}

func TestExamplesAreOthers(t *testing.T) {
	for _, s := range Settings() {
		c, err := Decode(map[string]any{s.Key: other(t, s)})
		if err != nil || s.Same(c, Default()) || !s.allowed(c) || strings.Contains(s.Text(c), " ") {
			t.Errorf("%s: %v (%v)", s.Key, s.Value(c), err)
		}
	}
}

// The help of variant and baseline leads to every network: each family's first is in it.
func TestHelpNamesTheNetworks(t *testing.T) {
	help := map[string]string{}
	for _, s := range Settings() {
		help[s.Key] = s.Help
	}
	for key, unknown := range map[string]func() error{
		"variant":  func() error { _, err := scale.LookupVariant(""); return err },
		"baseline": func() error { _, err := scale.LookupBaseline(""); return err },
	} {
		_, have, ok := strings.Cut(unknown().Error(), "(have ")
		if !ok {
			t.Fatal(unknown())
		}
		for name := range strings.SplitSeq(strings.TrimSuffix(have, ")"), ", ") {
			family := strings.TrimRight(strings.SplitN(name, "-", 2)[0], "0123456789")
			if !strings.Contains(help[key], family) {
				t.Errorf("%s: the help has no %s", key, name)
			}
		}
	}
}
