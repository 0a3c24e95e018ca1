package search

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"effnet/internal/report"
	"effnet/internal/scale"
)

// page is report.html: what all searches show, completed by the question.
func (r *Results) page(q Question) *report.Search {
	p := &report.Search{Title: q.Title() + ": " + r.About.Folder, Settings: r.About.Settings, Machine: r.About.Machine, Notes: []string{r.uncertainty()},
		Columns: append(slices.Clone(r.Plan.Columns), "pixels", "parameters", "MACs", "MACs/base", "epochs", "top-1", "sd", "outcome")}
	for _, s := range r.Ranking {
		p.Rows = append(p.Rows, report.SearchRow{Cells: r.row(s)})
	}
	p.Verdict = r.progress()
	if r.Finished {
		answer := q.Answer(r)
		p.Verdict, p.Notes = answer[0], append(answer[1:], p.Notes...)
	}
	q.Show(p, r)
	return p
}

// row is a score in the page's table, without its outcome.
func (r *Results) row(s Score) []string {
	cost := scale.Count(s.Candidate.Arch)
	return append(slices.Clone(s.Candidate.Labels),
		strconv.Itoa(s.Candidate.Arch.Resolution), report.Grouped(cost.Params), report.Grouped(cost.MACs),
		fmt.Sprintf("%.3f", float64(cost.MACs)/float64(r.About.Baseline.MACs)), strconv.Itoa(s.Epochs), report.Percent(s.Mean()), report.Percent(s.SD()))
}

// uncertainty is what the number of evaluation images does to a top-1: the normal
// approximation of the binomial's 95% interval.
func (r *Results) uncertainty() string {
	p, n := r.Ranking[0].Mean(), r.About.Images
	return fmt.Sprintf("All were evaluated on the same %d images. With that many, a top-1 of %s is within ±%.1f points (95%%) of the value for all such images; the differences between seeds do not include that.",
		n, report.Percent(p), 100*1.96*math.Sqrt(p*(1-p)/float64(n)))
}

// progress is how many trials are finished.
func (r *Results) progress() string {
	finished := 0
	for _, record := range r.Records {
		if record.Failed == "" {
			finished++
		}
	}
	return fmt.Sprintf("%d of %d trials done.", finished, r.Plan.Trials())
}

// point is a score in a chart over multiply-adds, with the interval of its mean.
func (r *Results) point(s Score, spread Spread) report.Point {
	macs := s.Candidate.MACs()
	return report.Point{X: float64(macs) / 1e6, Y: 100 * s.Mean(), Interval: 100 * spread.Interval(len(s.Objectives)),
		Text: fmt.Sprintf("%s: %s after %d epochs, %s multiply-adds", r.Plan.Title(s.Candidate), report.Percent(s.Mean()), s.Epochs, report.WithUnit(macs))}
}

// curve is a score's mean top-1 over epochs.
func (s Score) curve(name string, kind int) report.Line {
	l := report.Line{Name: name, Kind: kind, Joined: true}
	for i, v := range s.Curve {
		l.Points = append(l.Points, report.Point{X: float64(i + 1), Y: 100 * v})
	}
	return l
}
