package search

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// confidence is that of the intervals.
const confidence = 0.95

// Spread is how much the rewards of seeds differ, taken to be alike for all of the
// scores: few seeds of each say little of one, and together more.
type Spread struct {
	SD      float64 // pooled
	Freedom int     // degrees of freedom; 0 if no candidate has two seeds
}

// SpreadOf pools the variances of the scores' seeds.
func SpreadOf(all []Score) (s Spread) {
	sum := 0.
	for _, score := range all {
		if n := len(score.Objectives); n > 1 {
			sum += stat.Variance(score.Rewards(), nil) * float64(n-1)
			s.Freedom += n - 1
		}
	}
	if s.Freedom > 0 {
		s.SD = math.Sqrt(sum / float64(s.Freedom))
	}
	return s
}

// Interval is half the width of the 95% confidence interval (Student's t) of a
// mean of n seeds; NaN where no spread is known.
func (s Spread) Interval(n int) float64 { return s.t() * s.SD * math.Sqrt(1/float64(n)) }

// Difference is the same of the difference between the means of n and m seeds.
func (s Spread) Difference(n, m int) float64 {
	return s.t() * s.SD * math.Sqrt(1/float64(n)+1/float64(m))
}

func (s Spread) t() float64 {
	if s.Freedom == 0 {
		return math.NaN()
	}
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(s.Freedom)}.Quantile((1 + confidence) / 2)
}

// Verdict is what a ranking says about its best.
type Verdict struct {
	Winner *Score  // nil if all failed
	Ties   []Score // others of the winner's rung that the spread does not tell from it
	Rivals int     // others of the winner's rung
	Spread Spread  // within that rung
}

// Judge is the verdict on a ranking. Of a single seed each, no difference is known
// to be more than chance: all are ties.
func Judge(ranking []Score) (v Verdict) {
	if len(ranking) == 0 || ranking[0].Failed != "" || ranking[0].Objectives == nil {
		return v
	}
	v.Winner = &ranking[0]
	var last []Score
	for _, s := range ranking {
		if s.Rung == v.Winner.Rung && s.Failed == "" {
			last = append(last, s)
		}
	}
	v.Spread, v.Rivals = SpreadOf(last), len(last)-1
	for _, s := range last[1:] {
		least := v.Spread.Difference(len(v.Winner.Objectives), len(s.Objectives))
		if !(v.Winner.Reward()-s.Reward() > least) { // NaN too
			v.Ties = append(v.Ties, s)
		}
	}
	return v
}
