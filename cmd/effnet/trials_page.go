package main

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/trial"
)

// Kinds of lines in a contest's charts.
const (
	kindOut = iota
	kindBest
	kindTie
	kindRival
)

// writePage writes report.html.
func (c *contest) writePage(standings []trial.Standing) error {
	p := report.Search{Columns: append(slices.Clone(c.plan.Columns), "pixels", "parameters", "MACs", "MACs/base", "epochs", "top-1", "sd", "outcome")}
	base, err := c.base()
	if err != nil {
		return err
	}
	for _, t := range standings {
		cost := scale.Count(t.Entry.Arch)
		row := append(slices.Clone(t.Entry.Labels), strconv.Itoa(t.Entry.Arch.Resolution), report.Grouped(cost.Params), report.Grouped(cost.MACs),
			fmt.Sprintf("%.3f", float64(cost.MACs)/float64(base.MACs)), strconv.Itoa(t.Epochs), report.Percent(t.Mean()), report.Percent(t.SD()))
		p.Rows = append(p.Rows, report.SearchRow{Cells: row})
	}
	if p.Settings, err = settingsTable(c.flags, c.cfg); err != nil {
		return err
	}
	for _, name := range append(slices.Clone(c.own), "jobs") {
		flag := c.flags.Lookup(name)
		from := "default"
		if flag.Changed {
			from = "flag"
		}
		p.Settings = append(p.Settings, report.Setting{Key: name, Value: flag.Value.String(), Source: from})
	}
	p.Notes = append(p.Notes, c.uncertainty(standings))
	p.Machine = c.machine
	c.show(&p, standings)
	return p.Write(filepath.Join(c.cfg.Out, "report.html"))
}

// uncertainty is what the number of evaluation images does to a top-1: the normal
// approximation of the binomial's 95% interval.
func (c *contest) uncertainty(standings []trial.Standing) string {
	p, n := standings[0].Mean(), c.evalSet.Len()
	return fmt.Sprintf("All were evaluated on the same %d images. A top-1 of %s on so many is that of the population to ±%.1f points (95%%); how seeds differ does not include that.",
		n, report.Percent(p), 100*1.96*math.Sqrt(p*(1-p)/float64(n)))
}

// progress is how far the trials are, where they are not done.
func (c *contest) progress() (text string, done bool) {
	finished, all := 0, 0
	for _, r := range c.search.Records {
		if r.Failed == "" {
			finished++
		}
	}
	for _, r := range c.plan.Rungs() {
		all += r.Entries * len(c.plan.Seeds)
	}
	return fmt.Sprintf("%d of %d trials done.", finished, all), c.finished
}

// point is a standing in a chart over multiply-adds, with the interval of its mean.
func (c *contest) point(t trial.Standing, spread trial.Spread) report.Point {
	macs := t.Entry.MACs()
	return report.Point{X: float64(macs) / 1e6, Y: 100 * t.Mean(), Interval: 100 * spread.Interval(len(t.Top1)),
		Text: fmt.Sprintf("%s: %s after %d epochs, %s multiply-adds", c.title(t.Entry), report.Percent(t.Mean()), t.Epochs, report.WithUnit(macs))}
}

// curve is a standing's mean top-1 over epochs.
func (c *contest) curve(t trial.Standing, name string, kind int) report.Line {
	l := report.Line{Name: name, Kind: kind, Joined: true}
	for i, v := range t.Curve {
		l.Points = append(l.Points, report.Point{X: float64(i + 1), Y: 100 * v})
	}
	return l
}

// contestant is a network in a contest's result; its JSON keys are an interface.
type contestant struct {
	Name       string    `json:"name"`
	Resolution int       `json:"resolution"`
	Params     int64     `json:"params"`
	MACs       int64     `json:"macs"`
	Rung       int       `json:"rung"` // the last that it was in, from 1
	Epochs     int       `json:"epochs"`
	Top1       []float64 `json:"top1"` // of each seed, after them
	Mean       float64   `json:"mean"`
	Failed     string    `json:"failed,omitempty"`
}

func contestants(standings []trial.Standing) []contestant {
	all := make([]contestant, len(standings))
	for i, t := range standings {
		cost := scale.Count(t.Entry.Arch)
		all[i] = contestant{t.Entry.Name, t.Entry.Arch.Resolution, cost.Params, cost.MACs, t.Rung, t.Epochs, t.Top1, t.Mean(), t.Failed}
	}
	return all
}

// printStandings prints them, the best first.
func (c *contest) printStandings(w io.Writer, standings []trial.Standing) error {
	p := &printer{w: w}
	var head strings.Builder
	for _, column := range c.plan.Columns {
		fmt.Fprintf(&head, "%-10s  ", column)
	}
	p.line("%s%10s  %8s  %6s  %8s  %6s", head.String(), "resolution", "MACs", "epochs", "top-1", "sd")
	for _, t := range standings {
		var row strings.Builder
		for _, label := range t.Entry.Labels {
			fmt.Fprintf(&row, "%-10s  ", label)
		}
		outcome := fmt.Sprintf("%6d  %8s  %6s", t.Epochs, report.Percent(t.Mean()), report.Percent(t.SD()))
		if t.Failed != "" {
			outcome = "failed: " + t.Failed
		}
		p.line("%s%10d  %8s  %s", row.String(), t.Entry.Arch.Resolution, report.WithUnit(t.Entry.MACs()), outcome)
	}
	return p.err
}

// title is what an entry is called in text: alpha 1.2, beta 1.1, gamma 1.15.
func (c *contest) title(e trial.Entry) string {
	parts := make([]string, len(c.plan.Columns))
	for i, column := range c.plan.Columns {
		parts[i] = column + " " + e.Labels[i]
	}
	return strings.Join(parts, ", ")
}
