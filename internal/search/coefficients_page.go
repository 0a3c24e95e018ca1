package search

import (
	"fmt"
	"slices"

	"effnet/internal/report"
)

// Kinds of lines in the charts of a search for coefficients.
const (
	kindOut = iota
	kindBest
	kindTie
	kindRival
)

// kindNames are those of the charts' keys.
var kindNames = []string{"out", "best", "tie", "worse"}

// Show has accuracy over cost, learning curves and the candidates.
func (q Coefficients) Show(p *report.Search, r *Results) {
	v := Judge(r.Ranking)
	kinds := map[string]int{}
	for i, s := range r.Ranking {
		kind, outcome := v.outcome(s, r.Finished)
		kinds[s.Candidate.Name] = kind
		p.Rows[i].Cells = append(p.Rows[i].Cells, outcome)
		p.Rows[i].Set = kind == kindBest
	}
	p.Charts = append(p.Charts, overCost(r, v.Spread, kinds), curves(r, kinds))
	p.Parallel = parallel(r, kinds)
}

// outcome is what became of a candidate.
func (v Verdict) outcome(s Score, finished bool) (kind int, text string) {
	tie := func(t Score) bool { return t.Candidate.Name == s.Candidate.Name }
	switch {
	case s.Failed != "":
		return kindOut, "failed: " + s.Failed
	case v.Winner == nil || s.Rung < v.Winner.Rung && !finished || s.Rung == 0:
		return kindOut, ""
	case s.Rung < v.Winner.Rung:
		return kindOut, fmt.Sprintf("out after rung %d", s.Rung)
	case s.Candidate.Name == v.Winner.Candidate.Name:
		return kindBest, kindNames[kindBest]
	case slices.ContainsFunc(v.Ties, tie):
		return kindTie, kindNames[kindTie]
	}
	return kindRival, kindNames[kindRival]
}

// overCost is top-1 over multiply-adds.
func overCost(r *Results, spread Spread, kinds map[string]int) report.Chart {
	var lines []report.Line
	add := func(name string, kind, rung int, spread Spread) {
		l := report.Line{Name: name, Kind: kind, Dotted: true}
		for _, s := range r.Ranking {
			if s.Objectives != nil && kinds[s.Candidate.Name] == kind && s.Rung == rung {
				l.Points = append(l.Points, r.point(s, spread))
			}
		}
		if l.Points != nil {
			lines = append(lines, l)
		}
	}
	rungs := r.Plan.Rungs()
	for _, rung := range rungs {
		add(fmt.Sprintf("out after rung %d", rung.Number), kindOut, rung.Number, Spread{})
	}
	for _, rung := range rungs {
		for _, kind := range []int{kindRival, kindTie, kindBest} {
			add(kindNames[kind], kind, rung.Number, spread)
		}
	}
	return report.Plot("Top-1 (%) over million multiply-adds, each after its last rung", "M", lines)
}

// curves are top-1 over epochs, the best on top.
func curves(r *Results, kinds map[string]int) report.Chart {
	var lines []report.Line
	for _, s := range slices.Backward(r.Ranking) {
		kind, name := kinds[s.Candidate.Name], ""
		if kind == kindBest {
			name = r.Plan.Title(s.Candidate)
		}
		lines = append(lines, s.curve(name, kind))
	}
	return report.Plot("Top-1 (%), mean of the seeds", "epoch", lines)
}

// parallel are the candidates by coefficient, cost and their top-1 after the first
// rung, which all were in.
func parallel(r *Results, kinds map[string]int) *report.Parallel {
	var rows []report.ParallelRow
	first := r.Plan.Rungs()[0]
	for _, s := range slices.Backward(r.Ranking) {
		epochs := s.Candidate.EpochsAfter(first)
		k, err := coefficients(s.Candidate)
		if err != nil || len(s.Curve) < epochs {
			continue
		}
		rows = append(rows, report.ParallelRow{Name: r.point(s, Spread{}).Text, Kind: kinds[s.Candidate.Name],
			Values: []float64{k.Alpha, k.Beta, k.Gamma, float64(s.Candidate.MACs()) / 1e6, 100 * s.Curve[epochs-1]}})
	}
	if rows == nil {
		return nil
	}
	var key []report.Curve
	for kind, name := range kindNames {
		if slices.ContainsFunc(rows, func(r report.ParallelRow) bool { return r.Kind == kind }) {
			key = append(key, report.Curve{Name: name, Kind: kind})
		}
	}
	return report.NewParallel([]string{"alpha (depth)", "beta (width)", "gamma (resolution)", "million multiply-adds", "top-1"},
		[]string{"%g", "%g", "%g", "%.3g", "%.1f%%"}, rows, key)
}
