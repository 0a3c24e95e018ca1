package search

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/config"
	"effnet/internal/report"
	"effnet/internal/scale"

	"go.yaml.in/yaml/v3"
)

// results has candidates by their labels, in the plan's order, and what their seeds
// came to in the rung that each is in; one without failed.
func results(t *testing.T, columns []string, scores ...Score) *Results {
	t.Helper()
	arch := plan(t, 1, 1).Candidates[0].Arch
	r := &Results{Plan: Plan{Columns: columns, Halving: 2}, About: About{Folder: "photos", Images: 200, Baseline: scale.Cost{MACs: 1e6}}, Finished: true}
	r.Plan.Seeds = make([]uint64, 1)
	for i := range scores {
		c := &scores[i].Candidate
		c.Name, c.Epochs, c.Arch = c.Labels[0]+"-x"+c.Labels[1], 2, arch
		if n := len(scores[i].Objectives); n > 0 {
			scores[i].Epochs, scores[i].Curve = 2, []float64{0.1, 0.2}
			r.Plan.Seeds = make([]uint64, n)
		} else {
			scores[i].Failed = "seed 1: disk full"
		}
		r.Plan.Candidates = append(r.Plan.Candidates, *c)
	}
	r.Ranking = rank(scores)
	return r
}

// coefficient is a score of a candidate of a search for coefficients.
func coefficient(alpha string, rung int, objectives ...float64) Score {
	return Score{Candidate: Candidate{Labels: []string{alpha, "1", "1.1"}}, Rung: rung, Objectives: objectives}
}

var coefficientColumns = []string{"alpha", "beta", "gamma"}

func TestCoefficientsAnswer(t *testing.T) {
	const best = "Best is alpha 1.2, beta 1, gamma 1.1: top-1 61.00% on 200 images held out of training, mean of "
	for _, c := range []struct {
		name   string
		scores []Score
		want   []string
	}{
		{"ahead", []Score{coefficient("1", 2, 0.40, 0.41), coefficient("1.2", 2, 0.60, 0.62), coefficient("1.4", 1, 0.7, 0.7)},
			[]string{best + "2 seeds, standard deviation 1.41 points.", "It is ahead of the other network trained as long by more than the 4.81 points that seeds explain (95%)."}},
		{"tie", []Score{coefficient("1", 1, 0.59, 0.60), coefficient("1.2", 1, 0.60, 0.62), coefficient("1.4", 1, 0.2, 0.2)},
			[]string{best + "2 seeds, standard deviation 1.41 points.", "It ties with alpha 1, beta 1, gamma 1.1 (59.50%): among the networks trained as long, seeds explain differences of up to 2.91 points (95%)."}},
		{"one seed", []Score{coefficient("1.2", 1, 0.61), coefficient("1.4", 1, 0.2), coefficient("1", 1, 0.1)},
			[]string{best + "1 seed.", "With one seed each, the difference may be chance: the 2 other networks trained as long may be as good (--seeds 2 or more)."}},
		{"alone", []Score{coefficient("1.2", 1, 0.61), coefficient("1", 1)},
			[]string{best + "1 seed.", "No other network was trained as long, so there is no measure of how certain that is."}},
		{"none", []Score{coefficient("1", 1)}, []string{"No training run was finished."}},
	} {
		got := Coefficients{}.Answer(results(t, coefficientColumns, c.scores...))
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestCoefficientsPage(t *testing.T) {
	r := results(t, coefficientColumns, coefficient("1", 2, 0.60, 0.61), coefficient("1.2", 2, 0.60, 0.62), coefficient("1.4", 2, 0.2, 0.2),
		coefficient("1.6", 1, 0.7, 0.7), coefficient("1.8", 1))
	for _, c := range []struct {
		finished bool
		verdict  string
		outcomes []string // of the ranking
	}{
		{true, "Best is alpha 1.2", []string{"best", "tie", "worse", "out after rung 1", "failed: seed 1: disk full"}},
		{false, "0 of 20 trials done.", []string{"best", "tie", "worse", "", "failed: seed 1: disk full"}},
	} {
		r.Finished = c.finished
		p := r.page(Coefficients{})
		if !strings.HasPrefix(p.Verdict, c.verdict) || p.Title != "Search for coefficients: photos" || len(p.Charts) != 2 || len(p.Parallel.Lines) != 4 {
			t.Errorf("%q, %q, %d charts", p.Title, p.Verdict, len(p.Charts))
		}
		for i, row := range p.Rows {
			if got := row.Cells[len(row.Cells)-1]; got != c.outcomes[i] || row.Set != (i == 0) || len(row.Cells) != len(p.Columns) {
				t.Errorf("row %d: %v, want %s", i, row, c.outcomes[i])
			}
		}
	}
	if empty := (&Results{Plan: r.Plan, Ranking: r.Plan.ranking(nil)}).page(Coefficients{}); empty.Parallel != nil || empty.Rows[0].Set {
		t.Errorf("before the first trial: %+v", empty)
	}
}

// What a search found is what settings read.
func TestCoefficientsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "coefficients.yaml")
	q := Coefficients{Baseline: config.Baseline{Name: "efficientnet-lite0"}}
	if err := q.Write(path, results(t, coefficientColumns, coefficient("1.2", 1, 0.61))); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "# effnet train DIR --coefficients " + path + " --phi 2\n# Best is alpha 1.2, "; !strings.HasPrefix(string(text), want) {
		t.Errorf("%s\nwant %s...", text, want)
	}
	var settings map[string]any
	if err := yaml.Unmarshal(text, &settings); err != nil {
		t.Fatal(err)
	}
	c, err := config.Decode(settings)
	if err != nil || c.Alpha != 1.2 || c.Beta != 1 || c.Gamma != 1.1 || c.Baseline.Name != "efficientnet-lite0" {
		t.Errorf("%s\nreads %+v, %v", text, c.Baseline, err)
	}
}

// A grid's networks are a plan's candidates.
func TestCoefficientsPlan(t *testing.T) {
	q := Coefficients{Grid: scale.PaperGrid}
	q.Grid.Step = 0.3
	found, err := q.Candidates(10)
	if err != nil || len(found) == 0 {
		t.Fatalf("%d candidates, %v", len(found), err)
	}
	p := q.Plan(found)
	for i, c := range p.Candidates {
		k, err := coefficients(c)
		if err != nil || k.Alpha != found[i].Alpha || k.Beta != found[i].Beta || k.Gamma != found[i].Gamma {
			t.Errorf("%v has coefficients %v, %v", found[i].Coefficients, k, err)
		}
		c.Epochs = 1
		if one := (Plan{Candidates: []Candidate{c}, Columns: p.Columns, Seeds: []uint64{1}, Halving: 1}); one.Validate() != nil {
			t.Errorf("%s: %v", c.Name, one.Validate())
		}
	}
	if _, err := coefficients(Candidate{Labels: []string{"a", "1", "1"}}); err == nil {
		t.Error("a is a number")
	}
}

var _ = []Question{Coefficients{}, Study{}, best{}}

func TestShownRowsFillTheTable(t *testing.T) {
	for _, q := range []Question{Coefficients{}, Study{}} {
		r := results(t, coefficientColumns, coefficient("1", 1, 0.6))
		p := &report.Search{Rows: make([]report.SearchRow, 1)}
		if q.Show(p, r); len(p.Rows[0].Cells) != 1 {
			t.Errorf("%s adds %v", q.Name(), p.Rows[0].Cells)
		}
	}
}
