package search

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
)

// Score is what a candidate has come to: the records of its seeds in the last rung
// that it was in.
type Score struct {
	Candidate  Candidate
	Rung       int // from 1; 0 if no trial is finished
	Epochs     int
	Seconds    float64   // of all its seeds
	Objectives []float64 // one a seed
	Curve      []float64 // mean of the seeds after each epoch
	Failed     string    // why the first of its seeds to fail did
}

// scoreIn is a candidate's score by the records of one rung.
func scoreIn(records []Record, seeds []uint64, c Candidate, rung int) Score {
	s := Score{Candidate: c, Rung: rung}
	for _, seed := range seeds {
		if r := find(records, c.Name, seed, rung); r != nil {
			s.add(*r)
		}
	}
	return s
}

func (s *Score) add(r Record) {
	s.Seconds += r.Seconds
	if r.Failed != "" {
		if s.Failed == "" {
			s.Failed = fmt.Sprintf("seed %d: %s", r.Seed, r.Failed)
		}
		return
	}
	n := float64(len(s.Objectives))
	if n == 0 {
		s.Curve = make([]float64, len(r.Curve))
	}
	for i := range min(len(s.Curve), len(r.Curve)) {
		s.Curve[i] += (r.Curve[i] - s.Curve[i]) / (n + 1)
	}
	s.Objectives, s.Epochs = append(s.Objectives, r.Objective), r.Epochs
}

// Mean of the seeds' objectives; 0 of none.
func (s Score) Mean() float64 {
	if len(s.Objectives) == 0 {
		return 0
	}
	return stat.Mean(s.Objectives, nil)
}

// Rewards are what the objectives are worth, one a seed: each times the candidate's factor.
func (s Score) Rewards() []float64 {
	all := slices.Clone(s.Objectives)
	for i := range all {
		all[i] *= s.Candidate.factor()
	}
	return all
}

// Reward is their mean; 0 of none.
func (s Score) Reward() float64 { return s.Mean() * s.Candidate.factor() }

// factor is Factor, or 1 where there is none.
func (c Candidate) factor() float64 { return cmp.Or(c.Factor, 1) }

// SD is the standard deviation of the seeds' objectives; NaN of fewer than two.
func (s Score) SD() float64 {
	if len(s.Objectives) < 2 {
		return math.NaN()
	}
	return stat.StdDev(s.Objectives, nil)
}

// ranking is the scores of all of a plan's candidates, the best first.
func (p Plan) ranking(records []Record) []Score {
	all := make([]Score, 0, len(p.Candidates))
	for _, c := range p.Candidates {
		last := Score{Candidate: c}
		for _, rung := range p.Rungs() {
			if s := scoreIn(records, p.Seeds, c, rung.Number); s.Objectives != nil || s.Failed != "" {
				last = s
			}
		}
		all = append(all, last)
	}
	return rank(all)
}

// rank orders scores: the later rung, then the greater reward, then fewer
// multiply-adds. Those that failed are last.
func rank(all []Score) []Score {
	failed := func(s Score) int {
		if s.Failed != "" {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(all, func(a, b Score) int {
		return cmp.Or(cmp.Compare(failed(a), failed(b)), -cmp.Compare(a.Rung, b.Rung), -cmp.Compare(a.Reward(), b.Reward()),
			cmp.Compare(a.Candidate.MACs(), b.Candidate.MACs()), strings.Compare(a.Candidate.Name, b.Candidate.Name))
	})
	return all
}
