package trial

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Standing is where an entry is: what its seeds came to in the last rung it was in.
type Standing struct {
	Entry   Entry
	Rung    int // from 1; 0 if none is finished
	Epochs  int
	Seconds float64   // of all its seeds
	Top1    []float64 // one a seed
	Curve   []float64 // mean of the seeds after each epoch
	Failed  string    // why its first seed that failed did
}

func (t *Standing) add(r Record) {
	t.Seconds += r.Seconds
	if r.Failed != "" {
		if t.Failed == "" {
			t.Failed = fmt.Sprintf("seed %d: %s", r.Seed, r.Failed)
		}
		return
	}
	n := float64(len(t.Top1))
	if n == 0 {
		t.Curve = make([]float64, len(r.Curve))
	}
	for i := range min(len(t.Curve), len(r.Curve)) {
		t.Curve[i] += (r.Curve[i] - t.Curve[i]) / (n + 1)
	}
	t.Top1, t.Epochs = append(t.Top1, r.Top1), r.Epochs
}

// Mean of the seeds' top-1; 0 of none.
func (t Standing) Mean() float64 {
	if len(t.Top1) == 0 {
		return 0
	}
	return stat.Mean(t.Top1, nil)
}

// SD is the standard deviation of the seeds' top-1; NaN of fewer than two.
func (t Standing) SD() float64 {
	if len(t.Top1) < 2 {
		return math.NaN()
	}
	return stat.StdDev(t.Top1, nil)
}

// confidence is that of the intervals.
const confidence = 0.95

// Spread is how much seeds differ, taken to be alike in all of the standings: few
// seeds of each say little of one, and together more.
type Spread struct {
	SD      float64 // pooled
	Freedom int     // degrees of freedom; 0 if no entry has two seeds
}

// SpreadOf pools the variances of the standings' seeds.
func SpreadOf(all []Standing) (s Spread) {
	sum := 0.
	for _, t := range all {
		if n := len(t.Top1); n > 1 {
			sum += stat.Variance(t.Top1, nil) * float64(n-1)
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

// Verdict is what ranked standings say.
type Verdict struct {
	Winner *Standing  // nil if all failed
	Ties   []Standing // others of the winner's rung that the spread does not tell from it
	Rivals int        // others of the winner's rung
	Spread Spread     // within that rung
}

// Judge is the verdict on standings as Rank orders them. Of a single seed each,
// no difference is known to be more than chance: all are ties.
func Judge(ranked []Standing) (v Verdict) {
	if len(ranked) == 0 || ranked[0].Failed != "" || ranked[0].Top1 == nil {
		return v
	}
	v.Winner = &ranked[0]
	var last []Standing
	for _, t := range ranked {
		if t.Rung == v.Winner.Rung && t.Failed == "" {
			last = append(last, t)
		}
	}
	v.Spread, v.Rivals = SpreadOf(last), len(last)-1
	for _, t := range last[1:] {
		least := v.Spread.Difference(len(v.Winner.Top1), len(t.Top1))
		if !(v.Winner.Mean()-t.Mean() > least) { // NaN too
			v.Ties = append(v.Ties, t)
		}
	}
	return v
}
