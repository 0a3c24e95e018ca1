package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/search"
)

// printPlan ends a dry run.
func (s *searchJob) printPlan(w io.Writer, result any) error {
	if s.opts.JSON {
		return json.NewEncoder(w).Encode(result)
	}
	if len(s.plan.Candidates) == 0 {
		return nil
	}
	p := &printer{w: w}
	for _, r := range s.plan.Rungs() {
		p.line("%s", s.plan.Describe(r))
	}
	return p.err
}

// scoreJSON is a score in a search's result; its keys are an interface.
type scoreJSON struct {
	Name       string    `json:"name"`
	Resolution int       `json:"resolution"`
	Params     int64     `json:"params"`
	MACs       int64     `json:"macs"`
	Rung       int       `json:"rung"` // the last that it was in, from 1
	Epochs     int       `json:"epochs"`
	Top1       []float64 `json:"top1"` // of each seed, after them
	Mean       float64   `json:"mean"`
	Reward     float64   `json:"reward,omitempty"` // where cost counts too
	Failed     string    `json:"failed,omitempty"`
}

func rankingJSON(ranking []search.Score) []scoreJSON {
	all := make([]scoreJSON, len(ranking))
	for i, s := range ranking {
		cost := scale.Count(s.Candidate.Arch)
		all[i] = scoreJSON{s.Candidate.Name, s.Candidate.Arch.Resolution, cost.Params, cost.MACs, s.Rung, s.Epochs, s.Objectives, s.Mean(), 0, s.Failed}
		if s.Candidate.Factor > 0 {
			all[i].Reward = s.Reward()
		}
	}
	return all
}

// printRanking prints the scores, the best first.
func printRanking(w io.Writer, r *search.Results) error {
	p := &printer{w: w}
	columns := func(labels []string) string {
		var text strings.Builder
		for _, label := range labels {
			fmt.Fprintf(&text, "%-10s  ", label)
		}
		return text.String()
	}
	head := fmt.Sprintf("%s%10s  %8s  %6s  %8s  %6s", columns(r.Plan.Columns), "resolution", "MACs", "epochs", "top-1", "sd")
	if r.Plan.Weighs() {
		head += "   reward"
	}
	p.line("%s", head)
	for _, s := range r.Ranking {
		outcome := fmt.Sprintf("%6d  %8s  %6s", s.Epochs, report.Percent(s.Mean()), report.Percent(s.SD()))
		if r.Plan.Weighs() {
			outcome += fmt.Sprintf("  %7s", report.Percent(s.Reward()))
		}
		if s.Failed != "" {
			outcome = "failed: " + s.Failed
		}
		p.line("%s%10d  %8s  %s", columns(s.Candidate.Labels), s.Candidate.Arch.Resolution, report.WithUnit(s.Candidate.MACs()), outcome)
	}
	return p.err
}
