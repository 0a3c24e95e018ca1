package search

import (
	"strings"
	"testing"

	"effnet/internal/scale"
)

// method is a score of a network of a study.
func method(name, times string, objectives ...float64) Score {
	return Score{Candidate: Candidate{Labels: []string{name, times, "1.5"}}, Rung: 1, Objectives: objectives}
}

// study has results of two multiples; depth failed at the second.
func study(t *testing.T) *Results {
	t.Helper()
	return results(t, []string{"method", "times", "factor"},
		method("baseline", "1", 0.30, 0.31),
		method("depth", "2", 0.40, 0.42), method("width", "2", 0.50, 0.51), method("compound", "2", 0.49, 0.51),
		method("depth", "4"), method("width", "4", 0.60, 0.61), method("compound", "4", 0.50, 0.52))
}

func TestStudyAnswer(t *testing.T) {
	r := study(t)
	all := Study{}.Compare(r)
	if len(all) != 3 || all[0].Method != "depth" || all[0].Times != 2 || all[2].Method != "width" || all[2].Times != 4 {
		t.Fatalf("%+v", all)
	}
	// Variances 2e-4 and 5e-5 of two seeds each, six networks: pooled 1.25e-4;
	// t(0.975; 6) = 2.446912.
	want := "At 2 times the multiply-adds, compound scaling has +9.00 ± 2.74 points over depth (better), -0.50 ± 2.74 points over width (no difference beyond what seeds explain).\n" +
		"At 4 times the multiply-adds, compound scaling has -9.50 ± 2.74 points over width (worse)."
	if got := strings.Join(Study{}.Answer(r), "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for i, s := range r.Ranking {
		if s.Objectives != nil {
			r.Ranking[i].Objectives = s.Objectives[:1]
		}
	}
	if got := (Study{}).Answer(r)[1]; got != "At 4 times the multiply-adds, compound scaling has -10.00 points over width." {
		t.Errorf("of one seed: %s", got)
	}
	if got := (Study{}).Answer(&Results{}); len(got) != 1 || got[0] != "Compound scaling, or all other methods, failed." {
		t.Errorf("of nothing: %v", got)
	}
}

func TestStudyPage(t *testing.T) {
	p := study(t).page(Study{Methods: scale.Methods})
	if p.Title != "Scaling study: photos" || !strings.HasPrefix(p.Verdict, "At 2 times") || len(p.Notes) != 2 {
		t.Errorf("%q, %q, %q", p.Title, p.Verdict, p.Notes)
	}
	bold, failed := 0, 0
	for _, row := range p.Rows {
		if row.Set {
			bold++
		}
		if row.Cells[len(row.Cells)-1] == "failed: seed 1: disk full" {
			failed++
		}
	}
	if bold != 2 || failed != 1 {
		t.Errorf("%d bold rows, %d failed", bold, failed)
	}
	cost, curves := p.Charts[0].Curves, p.Charts[1].Curves
	if len(cost) != 1+len(scale.Methods) || len(cost[1].Dots) != 2 || len(curves) != 6 {
		t.Errorf("%d lines over cost, %d learning curves", len(cost), len(curves))
	}
	names := map[string]int{}
	for _, c := range curves {
		names[c.Name]++
	}
	if names["width"] != 1 || names["compound"] != 1 || names[""] != 2 {
		t.Errorf("learning curves are named %v", names)
	}
}

// Each method has a network near each multiple of the baseline's multiply-adds.
func TestStudyPlan(t *testing.T) {
	b, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	q := Study{Baseline: b, Rule: scale.Rule{Coefficients: scale.Paper, MaxResolution: 250, LateDepth: 1.2}, Times: []float64{2}, Methods: scale.Methods}
	networks, err := q.Networks(10)
	if err != nil {
		t.Fatal(err)
	}
	p := q.Plan(networks)
	var names []string
	for i, c := range p.Candidates {
		names = append(names, c.Name)
		if c.Arch.Classes != 10 || len(c.Labels) != len(p.Columns) || i > 0 && (networks[i].Relative < 1.8 || networks[i].Relative > 2.2) {
			t.Errorf("%s of %d classes, %v: %+v", c.Name, c.Arch.Classes, c.Labels, networks[i])
		}
	}
	if got := strings.Join(names, " "); got != "baseline depth-x2 width-x2 resolution-x2 compound-x2 fast-x2 capped-x2 late-x2" {
		t.Errorf("networks %s", got)
	}
	if networks[0].Relative != 1 {
		t.Errorf("the baseline is %v times itself", networks[0].Relative)
	}
	q.Rule.Alpha = 0
	if _, err := q.Networks(10); err == nil {
		t.Error("an alpha of 0 is allowed")
	}
}
