package search

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"effnet/internal/scale"
	"effnet/internal/words"
)

// Candidate is a network that may win.
type Candidate struct {
	Name   string     `json:"name"` // of its folder; no two are the same
	Arch   scale.Arch `json:"arch"`
	Epochs int        `json:"epochs"` // of its whole training
	Labels []string   `json:"labels"` // what tells it from the others, by Plan.Columns

	Genes  scale.Genes `json:"genes,omitempty"`  // of a network from a space
	Factor float64     `json:"factor,omitempty"` // of its reward, by which it is compared: top-1 times this; 0 for 1
}

// MACs are the multiply-adds of one image.
func (c Candidate) MACs() int64 { return scale.Count(c.Arch).MACs }

// EpochsAfter is how many epochs a candidate has been trained for after a rung.
func (c Candidate) EpochsAfter(r Rung) int {
	return max(1, int(math.Round(float64(c.Epochs)*r.Share)))
}

// Plan is what is trained: each candidate once a seed, in rungs.
type Plan struct {
	Candidates []Candidate `json:"entries"`
	Columns    []string    `json:"columns"` // names of the candidates' labels
	Seeds      []uint64    `json:"seeds"`
	// Halving is the factor N of successive halving (Jamieson and Talwalkar 2016):
	// a rung keeps 1/N of the candidates and trains them N times longer. 1 trains all
	// to the end.
	Halving int `json:"halving"`
	// Networks is how many candidates there will be, where the first rung's results decide
	// which ones (see Grower); 0 where all are there from the start.
	Networks int `json:"networks,omitempty"`
}

// Validate reports what no plan can have.
func (p Plan) Validate() error {
	if len(p.Candidates) == 0 || len(p.Seeds) == 0 || p.Halving < 1 {
		return errors.New("search: a plan without networks, seeds or halving")
	}
	names := map[string]bool{}
	for _, c := range p.Candidates {
		if err := c.Arch.Validate(); err != nil {
			return err
		}
		if names[c.Name] || !fs.ValidPath(c.Name) || len(c.Labels) != len(p.Columns) || c.Epochs < 1 {
			return fmt.Errorf("search: network %q of a plan: its name, labels or epochs are invalid", c.Name)
		}
		names[c.Name] = true
	}
	return nil
}

// Weighs says whether candidates are compared by a reward that is not their top-1.
func (p Plan) Weighs() bool {
	return slices.ContainsFunc(p.Candidates, func(c Candidate) bool { return c.Factor > 0 })
}

// Title is what a candidate is called in text: alpha 1.2, beta 1.1, gamma 1.15.
func (p Plan) Title(c Candidate) string {
	parts := make([]string, len(p.Columns))
	for i, column := range p.Columns {
		parts[i] = column + " " + c.Labels[i]
	}
	return strings.Join(parts, ", ")
}

// Rung is a part of all training runs. All its trials end before the next rung begins,
// where the best candidates continue from where they stopped.
type Rung struct {
	Number     int     // from 1
	Candidates int     // that take part
	Share      float64 // of a candidate's epochs, counted from the first, that are behind it at the end
}

// Rungs are the plan's. The last has at most Halving candidates, but at least two,
// so that there is something to compare.
func (p Plan) Rungs() []Rung {
	n := max(len(p.Candidates), p.Networks)
	rungs := []Rung{{1, n, 1}}
	if p.Halving < 2 {
		return rungs
	}
	for n > p.Halving {
		n = (n + p.Halving - 1) / p.Halving
		rungs = append(rungs, Rung{len(rungs) + 1, n, 1})
	}
	for i := range rungs {
		rungs[i].Share = math.Pow(float64(p.Halving), float64(i-len(rungs)+1))
	}
	return rungs
}

// Trials is how many a plan has in all of its rungs.
func (p Plan) Trials() (n int) {
	for _, r := range p.Rungs() {
		n += r.Candidates * len(p.Seeds)
	}
	return n
}

// Describe is a line about a rung.
func (p Plan) Describe(r Rung) string {
	most := 0
	for _, c := range p.Candidates {
		most = max(most, c.EpochsAfter(r))
	}
	return fmt.Sprintf("rung %d of %d: %s, %s each, up to epoch %d", r.Number, len(p.Rungs()), words.Count(r.Candidates, "network"), words.Count(len(p.Seeds), "seed"), most)
}

// work is what a number of a candidate's epochs takes, in multiply-adds of one image.
func (c Candidate) work(epochs int) float64 { return float64(c.MACs()) * float64(epochs) }

// work is what the whole plan takes, if the candidates that a rung keeps are average
// ones.
func (p Plan) work() (all float64) {
	var before Rung
	for i, r := range p.Rungs() {
		mean := 0.
		for _, c := range p.Candidates {
			more := c.work(c.EpochsAfter(r))
			if i > 0 {
				more -= c.work(c.EpochsAfter(before))
			}
			mean += more / float64(len(p.Candidates))
		}
		all += mean * float64(r.Candidates*len(p.Seeds))
		before = r
	}
	return all
}
