package search

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"effnet/internal/atomicfile"
	"effnet/internal/config"
	"effnet/internal/report"
	"effnet/internal/scale"

	"go.yaml.in/yaml/v3"
)

// Coefficients asks which alpha, beta and gamma scale a baseline best (Tan and Le
// 2019, section 3.3).
type Coefficients struct {
	Baseline config.Baseline
	Grid     scale.Grid
}

// Candidates are the grid's.
func (q Coefficients) Candidates(classes int) ([]scale.Candidate, error) {
	b, err := q.Baseline.Table()
	if err != nil {
		return nil, err
	}
	return q.Grid.Candidates(b, classes)
}

// Plan has the candidates; seeds, epochs and halving are left to the caller.
func (q Coefficients) Plan(found []scale.Candidate) Plan {
	p := Plan{Columns: []string{"alpha", "beta", "gamma"}}
	for _, f := range found {
		f.Network.Name = fmt.Sprintf("alpha%g-beta%g-gamma%g", f.Alpha, f.Beta, f.Gamma)
		p.Candidates = append(p.Candidates, Candidate{Name: f.Network.Name, Arch: f.Network, Labels: []string{number(f.Alpha), number(f.Beta), number(f.Gamma)}})
	}
	return p
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// Name is that of the search's files.
func (q Coefficients) Name() string { return "search" }

// Title is that of the page.
func (q Coefficients) Title() string { return "Search for coefficients" }

// Answer says which candidate is best, and how sure that is.
func (q Coefficients) Answer(r *Results) []string {
	v := Judge(r.Ranking)
	if v.Winner == nil {
		return []string{"No training run was finished."}
	}
	return []string{fmt.Sprintf("Best is %s: %s.", r.Plan.Title(v.Winner.Candidate), v.measured(r)), v.certainty(r.Plan)}
}

// measured is what the winner was measured by.
func (v Verdict) measured(r *Results) string {
	seeds := len(v.Winner.Objectives)
	text := fmt.Sprintf("top-1 %s on %d images held out of training, mean of %d", report.Percent(v.Winner.Mean()), r.About.Images, seeds)
	if seeds == 1 {
		return text + " seed"
	}
	return text + fmt.Sprintf(" seeds, standard deviation %.2f points", 100*v.Winner.SD())
}

// certainty is how sure the verdict is, as a sentence.
func (v Verdict) certainty(p Plan) string {
	seeds := len(v.Winner.Objectives)
	least := 100 * v.Spread.Difference(seeds, seeds)
	others := "the other network"
	if v.Rivals > 1 {
		others = fmt.Sprintf("the %d other networks", v.Rivals)
	}
	ties := make([]string, len(v.Ties))
	for i, s := range v.Ties {
		ties[i] = fmt.Sprintf("%s (%s)", p.Title(s.Candidate), report.Percent(s.Reward()))
	}
	switch {
	case v.Rivals == 0:
		return "No other network was trained as long, so there is no measure of how certain that is."
	case v.Spread.Freedom == 0:
		return fmt.Sprintf("With one seed each, the difference may be chance: %s trained as long may be as good (--seeds 2 or more).", others)
	case len(ties) == 0:
		return fmt.Sprintf("It is ahead of %s trained as long by more than the %.2f points that seeds explain (95%%).", others, least)
	}
	return fmt.Sprintf("It ties with %s: among the networks trained as long, seeds explain differences of up to %.2f points (95%%).",
		strings.Join(ties, " and "), least)
}

// coefficients are a candidate's, which are its labels.
func coefficients(c Candidate) (k scale.Coefficients, err error) {
	for i, v := range []*float64{&k.Alpha, &k.Beta, &k.Gamma} {
		if *v, err = strconv.ParseFloat(c.Labels[i], 64); err != nil {
			return k, err
		}
	}
	return k, nil
}

// Write stores the best candidate's coefficients and the baseline they scale as a
// file of settings, with a comment on how to use it and the answer.
func (q Coefficients) Write(path string, r *Results) error {
	k, err := coefficients(r.Ranking[0].Candidate)
	if err != nil {
		return err
	}
	settings, err := yaml.Marshal(struct {
		Alpha    float64         `yaml:"alpha"`
		Beta     float64         `yaml:"beta"`
		Gamma    float64         `yaml:"gamma"`
		Baseline config.Baseline `yaml:"baseline"`
	}{k.Alpha, k.Beta, k.Gamma, q.Baseline})
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(f *os.File) error {
		_, err := fmt.Fprintf(f, "# effnet train DIR --coefficients %s --phi 2\n# %s\n%s", path, strings.Join(q.Answer(r), "\n# "), settings)
		return err
	})
}
