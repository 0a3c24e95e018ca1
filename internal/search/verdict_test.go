package search

import (
	"fmt"
	"math"
	"testing"
)

func score(rung int, top1 ...float64) Score {
	return Score{Candidate: Candidate{Name: fmt.Sprint(top1)}, Rung: rung, Objectives: top1}
}

// Spread and intervals as R and any table of Student's t have them: variances 2e-4
// and 8e-4 of three seeds each, t(0.975; 4) = 2.776445.
func TestSpread(t *testing.T) {
	s := SpreadOf([]Score{score(1, 0.50, 0.51, 0.52), score(1, 0.40, 0.42, 0.44), score(1, 0.9)})
	if s.Freedom != 4 || math.Abs(s.SD-math.Sqrt(2.5e-4)) > 1e-12 {
		t.Errorf("spread %+v", s)
	}
	if got, want := s.Interval(3), 2.776445105*math.Sqrt(2.5e-4/3); math.Abs(got-want) > 1e-9 {
		t.Errorf("interval %v, want %v", got, want)
	}
	if got, want := s.Difference(3, 3), 2.776445105*math.Sqrt(2.5e-4*2/3); math.Abs(got-want) > 1e-9 {
		t.Errorf("difference %v, want %v", got, want)
	}
	if one := SpreadOf([]Score{score(1, 0.5)}); one.Freedom != 0 || !math.IsNaN(one.Interval(1)) {
		t.Errorf("of one seed: %+v", one)
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name         string
		ranked       []Score
		ties, rivals int
	}{
		{"clear", []Score{score(2, 0.60, 0.61), score(2, 0.40, 0.41), score(1, 0.7, 0.7)}, 0, 1},
		{"tie", []Score{score(2, 0.60, 0.64), score(2, 0.59, 0.63), score(2, 0.30, 0.33)}, 1, 2},
		{"one seed", []Score{score(1, 0.9), score(1, 0.1)}, 1, 1},
		{"alone", []Score{score(1, 0.9, 0.8)}, 0, 0},
	} {
		v := Judge(c.ranked)
		if v.Winner == nil || v.Winner.Candidate.Name != c.ranked[0].Candidate.Name || len(v.Ties) != c.ties || v.Rivals != c.rivals {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	if v := Judge([]Score{{Failed: "no"}}); v.Winner != nil {
		t.Errorf("of failures: %+v", v)
	}
	if v := Judge(nil); v.Winner != nil {
		t.Errorf("of nothing: %+v", v)
	}
}
