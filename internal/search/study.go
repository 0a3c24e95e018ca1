package search

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/report"
	"effnet/internal/scale"
)

// Study asks how well compound scaling does against other ways of scaling, at the same
// multiply-adds (Tan and Le 2019, figures 3 and 8, tables 3 and 7).
type Study struct {
	Baseline scale.Baseline
	Rule     scale.Rule     // of compound scaling, and of its variants
	Times    []float64      // multiples of the baseline's multiply-adds
	Methods  []scale.Method // to compare, compound scaling among them
}

// baselineMethod is the method of the network that is not scaled.
const baselineMethod = "baseline"

// Scaled is a network of a study. Its JSON keys are an interface.
type Scaled struct {
	Method      string     `json:"method"`
	Times       float64    `json:"times"`  // multiply-adds that were asked for, over the baseline's
	Factor      float64    `json:"factor"` // of the dimension; phi where all three are scaled
	Resolution  int        `json:"resolution"`
	Params      int64      `json:"params"`
	MACs        int64      `json:"macs"`
	Activations int64      `json:"activations"`
	Relative    float64    `json:"relative"` // macs over the baseline's
	Network     scale.Arch `json:"-"`
}

// Networks are the baseline and, for each multiple of its multiply-adds, the network
// of each method whose multiply-adds come nearest.
func (q Study) Networks(classes int) ([]Scaled, error) {
	a, err := q.Baseline.By(scale.DepthOnly, 1, q.Rule)
	if err != nil {
		return nil, err
	}
	a.Name, a.Classes = baselineMethod, classes
	base := scale.Count(a).MACs
	all := make([]Scaled, 0, 1+len(q.Times)*len(q.Methods))
	add := func(method string, times, factor float64, a scale.Arch) {
		cost := scale.Count(a)
		all = append(all, Scaled{method, times, factor, a.Resolution, cost.Params, cost.MACs, cost.Activations, float64(cost.MACs) / float64(base), a})
	}
	add(baselineMethod, 1, 1, a)
	for _, times := range q.Times {
		for _, m := range q.Methods {
			factor, a, err := q.Baseline.Match(m, times, q.Rule, classes)
			if err != nil {
				return nil, err
			}
			a.Name = fmt.Sprintf("%s-x%g", m, times)
			add(string(m), times, factor, a)
		}
	}
	return all, nil
}

// Plan has the networks; seeds, epochs and halving are left to the caller.
func (q Study) Plan(networks []Scaled) Plan {
	p := Plan{Columns: []string{"method", "times", "factor"}}
	for _, n := range networks {
		p.Candidates = append(p.Candidates, Candidate{Name: n.Network.Name, Arch: n.Network, Labels: []string{n.Method, number(n.Times), number(n.Factor)}})
	}
	return p
}

// Comparison is compound scaling against another method at the same multiply-adds.
// Its JSON keys are an interface.
type Comparison struct {
	Times      float64 `json:"times"`
	Method     string  `json:"method"`
	Difference float64 `json:"difference"`         // of the means: compound's less the method's
	Interval   float64 `json:"interval,omitempty"` // half of the 95% interval; 0 if no spread is known
}

// Compare sets compound scaling against the others, in the plan's order.
func (q Study) Compare(r *Results) (all []Comparison) {
	spread := SpreadOf(r.Ranking)
	for _, c := range r.Plan.Candidates {
		method, times := c.Labels[0], c.Labels[1]
		other, compound := r.trained(c.Name), r.trained(fmt.Sprintf("%s-x%s", scale.AllThree, times))
		if method == string(scale.AllThree) || method == baselineMethod || other == nil || compound == nil {
			continue
		}
		d := Comparison{Method: method, Difference: compound.Mean() - other.Mean()}
		d.Times, _ = strconv.ParseFloat(times, 64) // number wrote it
		if v := spread.Difference(len(compound.Objectives), len(other.Objectives)); !math.IsNaN(v) {
			d.Interval = v
		}
		all = append(all, d)
	}
	return all
}

// trained is the score of a candidate that was trained and did not fail, or nil.
func (r *Results) trained(name string) *Score {
	i := slices.IndexFunc(r.Ranking, func(s Score) bool { return s.Candidate.Name == name && s.Failed == "" && s.Objectives != nil })
	if i < 0 {
		return nil
	}
	return &r.Ranking[i]
}

// verdict is what the interval says.
func (d Comparison) verdict() string {
	switch {
	case d.Difference > d.Interval:
		return "better"
	case d.Difference < -d.Interval:
		return "worse"
	}
	return "no difference beyond what seeds explain"
}

func (d Comparison) String() string {
	if d.Interval > 0 {
		return fmt.Sprintf("%+.2f ± %.2f points over %s (%s)", 100*d.Difference, 100*d.Interval, d.Method, d.verdict())
	}
	return fmt.Sprintf("%+.2f points over %s", 100*d.Difference, d.Method)
}

// Name is that of the study's files.
func (q Study) Name() string { return "study" }

// Title is that of the page.
func (q Study) Title() string { return "Scaling study" }

// Answer has a sentence for each multiple of the multiply-adds.
func (q Study) Answer(r *Results) (sentences []string) {
	all := q.Compare(r)
	if all == nil {
		return []string{"Compound scaling, or all other methods, failed."}
	}
	for i := 0; i < len(all); {
		times := all[i].Times
		var parts []string
		for ; i < len(all) && all[i].Times == times; i++ {
			parts = append(parts, all[i].String())
		}
		sentences = append(sentences, fmt.Sprintf("At %g times the multiply-adds, compound scaling has %s.", times, strings.Join(parts, ", ")))
	}
	return sentences
}

// Show has accuracy over cost and learning curves, by method.
func (q Study) Show(p *report.Search, r *Results) {
	for i, s := range r.Ranking {
		outcome := ""
		if s.Failed != "" {
			outcome = "failed: " + s.Failed
		}
		p.Rows[i].Cells = append(p.Rows[i].Cells, outcome)
		p.Rows[i].Set = s.Candidate.Labels[0] == string(scale.AllThree)
	}
	methods := append([]scale.Method{baselineMethod}, q.Methods...)
	cost := make([]report.Line, 0, len(methods))
	var curves []report.Line
	for kind, m := range methods {
		line := report.Line{Name: string(m), Kind: kind, Joined: true, Dotted: true}
		name := string(m) // of the method's first curve
		for _, s := range r.byMethod(m) {
			line.Points = append(line.Points, r.point(s, SpreadOf(r.Ranking)))
			if s.Candidate.Labels[0] == string(m) {
				curves = append(curves, s.curve(name, kind))
				name = ""
			}
		}
		cost = append(cost, line)
	}
	p.Charts = append(p.Charts, report.Plot("Top-1 (%) over million multiply-adds, with 95% intervals of the means", "M", cost),
		report.Plot("Top-1 (%), mean of the seeds", "epoch", curves))
}

// byMethod are the scores of a method and of the baseline, in the plan's order.
func (r *Results) byMethod(m scale.Method) (all []Score) {
	for _, c := range r.Plan.Candidates {
		i := slices.IndexFunc(r.Ranking, func(s Score) bool { return s.Candidate.Name == c.Name })
		if s := r.Ranking[i]; s.Objectives != nil && (c.Labels[0] == string(m) || c.Labels[0] == baselineMethod) {
			all = append(all, s)
		}
	}
	return all
}
