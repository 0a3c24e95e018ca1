package main

import (
	"fmt"
	"slices"
	"strings"

	"effnet/internal/report"
	"effnet/internal/trial"
)

// showSearch adds to a page what a search shows: accuracy over cost, the
// candidates, learning curves.
func (c *contest) showSearch(p *report.Search, standings []trial.Standing) {
	p.Title = "Search for coefficients: " + c.dir
	v := trial.Judge(standings)
	sentences := c.sentences(v)
	progress, done := c.progress()
	p.Verdict = progress
	if done {
		p.Verdict, p.Notes = sentences[0], append(sentences[1:], p.Notes...)
	}
	kinds := map[string]int{}
	for i, t := range standings {
		outcome := c.outcome(t, v, done)
		kinds[t.Entry.Name] = outcome.kind
		p.Rows[i].Cells = append(p.Rows[i].Cells, outcome.text)
		p.Rows[i].Set = outcome.kind == kindBest
	}
	p.Charts = append(p.Charts, c.overCost(standings, v, kinds), c.curves(standings, kinds))
	p.Parallel = c.parallel(standings, kinds)
}

type outcome struct {
	kind int
	text string
}

// outcome is what became of an entry.
func (c *contest) outcome(t trial.Standing, v trial.Verdict, done bool) outcome {
	switch {
	case t.Failed != "":
		return outcome{kindOut, "failed: " + t.Failed}
	case v.Winner == nil || t.Rung < v.Winner.Rung && !done || t.Rung == 0:
		return outcome{kindOut, ""}
	case t.Rung < v.Winner.Rung:
		return outcome{kindOut, fmt.Sprintf("out after rung %d", t.Rung)}
	case t.Entry.Name == v.Winner.Entry.Name:
		return outcome{kindBest, "best"}
	}
	for _, tie := range v.Ties {
		if tie.Entry.Name == t.Entry.Name {
			return outcome{kindTie, "tie"}
		}
	}
	return outcome{kindRival, "worse"}
}

// overCost is top-1 over multiply-adds.
func (c *contest) overCost(standings []trial.Standing, v trial.Verdict, kinds map[string]int) report.Chart {
	var lines []report.Line
	add := func(name string, kind, rung int) {
		l := report.Line{Name: name, Kind: kind, Dotted: true}
		for _, t := range standings {
			if t.Top1 != nil && kinds[t.Entry.Name] == kind && t.Rung == rung {
				spread := trial.Spread{}
				if kind != kindOut {
					spread = v.Spread
				}
				l.Points = append(l.Points, c.point(t, spread))
			}
		}
		if l.Points != nil {
			lines = append(lines, l)
		}
	}
	rungs := c.plan.Rungs()
	for i := range rungs {
		add(fmt.Sprintf("out after rung %d", i+1), kindOut, i+1)
	}
	for i := range rungs {
		add("worse", kindRival, i+1)
		add("tie", kindTie, i+1)
		add("best", kindBest, i+1)
	}
	return report.Plot("Top-1 (%) over million multiply-adds, each after its last rung", "M", lines)
}

// curves are top-1 over epochs, the best on top.
func (c *contest) curves(standings []trial.Standing, kinds map[string]int) report.Chart {
	var lines []report.Line
	for _, t := range slices.Backward(standings) {
		name := ""
		if kinds[t.Entry.Name] == kindBest {
			name = c.title(t.Entry)
		}
		lines = append(lines, c.curve(t, name, kinds[t.Entry.Name]))
	}
	return report.Plot("Top-1 (%), mean of the seeds", "epoch", lines)
}

// parallel are the candidates by coefficient, cost and their top-1 after the first
// rung, which all were in.
func (c *contest) parallel(standings []trial.Standing, kinds map[string]int) *report.Parallel {
	var rows []report.ParallelRow
	first := c.plan.Rungs()[0]
	for _, t := range slices.Backward(standings) {
		epochs := t.Entry.EpochsAfter(first)
		if len(t.Curve) < epochs {
			continue
		}
		row := report.ParallelRow{Name: c.point(t, trial.Spread{}).Text, Kind: kinds[t.Entry.Name]}
		f, err := c.winner(t)
		if err != nil {
			continue
		}
		row.Values = []float64{f.Alpha, f.Beta, f.Gamma, float64(t.Entry.MACs()) / 1e6, 100 * t.Curve[epochs-1]}
		rows = append(rows, row)
	}
	if rows == nil {
		return nil
	}
	var key []report.Curve
	for kind, name := range []string{"out", "best", "tie", "worse"} {
		if slices.ContainsFunc(rows, func(r report.ParallelRow) bool { return r.Kind == kind }) {
			key = append(key, report.Curve{Name: name, Kind: kind})
		}
	}
	return report.NewParallel([]string{"alpha (depth)", "beta (width)", "gamma (resolution)", "million multiply-adds", "top-1"},
		[]string{"%g", "%g", "%g", "%.3g", "%.1f%%"}, rows, key)
}

// sentences are a verdict in words.
func (c *contest) sentences(v trial.Verdict) []string {
	if v.Winner == nil {
		return []string{"No training was finished."}
	}
	best := fmt.Sprintf("%s: top-1 %s on %d images held out of training, mean of %d", c.title(v.Winner.Entry), report.Percent(v.Winner.Mean()), c.evalSet.Len(), len(v.Winner.Top1))
	if len(v.Winner.Top1) == 1 {
		best += " seed"
	} else {
		best += fmt.Sprintf(" seeds, standard deviation %.2f points", 100*v.Winner.SD())
	}
	all := []string{"Best is " + best + "."}
	least := 100 * v.Spread.Difference(len(v.Winner.Top1), len(v.Winner.Top1))
	var ties []string
	for _, t := range v.Ties {
		ties = append(ties, fmt.Sprintf("%s (%s)", c.title(t.Entry), report.Percent(t.Mean())))
	}
	others := "the other network"
	if v.Rivals > 1 {
		others = fmt.Sprintf("the %d other networks", v.Rivals)
	}
	switch {
	case v.Rivals == 0:
		return append(all, "No other network was trained as long: nothing says how sure that is.")
	case v.Spread.Freedom == 0:
		return append(all, fmt.Sprintf("One seed each does not say what is chance: %s trained as long may be as good (--seeds 2 or more).", others))
	case len(ties) == 0:
		return append(all, fmt.Sprintf("It is ahead of %s trained as long by more than the %.2f points that seeds explain (95%%).", others, least))
	}
	return append(all, fmt.Sprintf("It ties with %s: among the networks trained as long, seeds explain differences of up to %.2f points (95%%).",
		strings.Join(ties, " and "), least))
}
