package search

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRungs(t *testing.T) {
	for _, c := range []struct {
		candidates, halving int
		want                []Rung
	}{
		{12, 1, []Rung{{1, 12, 1}}},
		{12, 3, []Rung{{1, 12, 1. / 9}, {2, 4, 1. / 3}, {3, 2, 1}}},
		{9, 3, []Rung{{1, 9, 1. / 3}, {2, 3, 1}}},
		{4, 2, []Rung{{1, 4, 0.5}, {2, 2, 1}}},
		{3, 3, []Rung{{1, 3, 1}}},
		{1, 3, []Rung{{1, 1, 1}}},
	} {
		got := Plan{Candidates: make([]Candidate, c.candidates), Halving: c.halving}.Rungs()
		if len(got) != len(c.want) {
			t.Errorf("%d by %d: %v, want %v", c.candidates, c.halving, got, c.want)
			continue
		}
		for i, r := range got {
			if r.Number != c.want[i].Number || r.Candidates != c.want[i].Candidates || math.Abs(r.Share-c.want[i].Share) > 1e-12 {
				t.Errorf("%d by %d: %v, want %v", c.candidates, c.halving, got, c.want)
			}
		}
	}
	c := Candidate{Epochs: 27}
	if got := c.EpochsAfter(Rung{Share: 1. / 9}); got != 3 {
		t.Errorf("%d epochs, want 3", got)
	}
	if got := c.EpochsAfter(Rung{Share: 1. / 81}); got != 1 {
		t.Errorf("%d epochs, want 1", got)
	}
}

// damages are what no plan can have, and what the error says.
var damages = map[string]func(*Plan){
	"without networks": func(p *Plan) { p.Candidates = nil },
	"halving":          func(p *Plan) { p.Halving = 0 },
	`"../x"`:           func(p *Plan) { p.Candidates[0].Name = "../x" },
	"its name":         func(p *Plan) { p.Candidates[1].Name = p.Candidates[0].Name },
	"labels":           func(p *Plan) { p.Candidates[1].Labels = nil },
	"epochs":           func(p *Plan) { p.Candidates[1].Epochs = 0 },
	"stem: 0":          func(p *Plan) { p.Candidates[1].Arch.Stem = 0 },
}

func TestBadPlans(t *testing.T) {
	for want, damage := range damages {
		s := newSearch(t, plan(t, 3, 3))
		damage(&s.Plan)
		if err := s.Plan.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if err := s.begin(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadPlan(s.Dir, "search", nil); !errors.As(err, new(*Error)) || !strings.Contains(err.Error(), want) {
			t.Errorf("read: %v, want %q", err, want)
		}
	}
}

// A plan is read as it was written, with the flags that decided it; those that were
// given may not differ.
func TestReadPlan(t *testing.T) {
	s := newSearch(t, plan(t, 3, 3))
	s.Flags = []Flag{{Name: "step", Value: "0.3", Given: true}, {Name: "seeds", Value: "2"}}
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	p, flags, err := ReadPlan(s.Dir, "search", []Flag{{Name: "step", Value: "0.05"}, {Name: "seeds", Value: "2", Given: true}})
	if err != nil || len(p.Candidates) != 3 || flags[0].Value != "0.3" || flags[1].Value != "2" {
		t.Errorf("%d candidates, %v, %v", len(p.Candidates), flags, err)
	}
	_, _, err = ReadPlan(s.Dir, "search", []Flag{{Name: "step", Value: "0.2", Given: true}})
	if !errors.As(err, new(*Error)) || err.Error() != "--step was 0.3 and is 0.2 (start another search for that)" {
		t.Errorf("another step: %v", err)
	}
	if _, _, err := ReadPlan(t.TempDir(), "search", nil); !errors.As(err, new(*Error)) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	text := file(t, s.Dir, PlanFile)
	for n := 0; n < len(text); n += 37 {
		if err := os.WriteFile(filepath.Join(s.Dir, PlanFile), []byte(text[:n]), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadPlan(s.Dir, "search", nil); !errors.As(err, new(*Error)) {
			t.Fatalf("%d bytes of %d: %v", n, len(text), err)
		}
	}
}
