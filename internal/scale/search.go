package scale

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Kind names what a Grid bounds.
type Kind string

// The budgets of a Grid.
const (
	ByFormula Kind = "formula" // alpha * beta^2 * gamma^2, as the paper's section 3.3
	ByMACs    Kind = "macs"    // counted multiply-adds over the baseline's
	ByParams  Kind = "params"  // counted parameters over the baseline's
	ByLatency Kind = "latency" // Grid.Measure's time over the baseline's
)

// Grid is the search for Alpha, Beta and Gamma of the paper's section 3.3: every
// multiple of Step above 1 that meets the budget.
type Grid struct {
	Phi       float64 // what the candidates are scaled by; 1 in the paper
	Step      float64 // a multiple of 0.001
	Budget    Kind
	Target    float64 // what one unit of Phi multiplies the cost by; 2 in the paper
	Tolerance float64 // how far the cost may be from Target, or counted from Target^Phi
	// Most are the greatest values; where one is 0, it is 4, for Gamma what alone
	// meets the budget by the formula: parameters do not depend on it.
	Most struct{ Alpha, Beta, Gamma float64 }
	// Measure times a network, for ByLatency. It is asked once about each network
	// that counts from half to twice the multiply-adds the budget would let it have.
	Measure func(Arch) (time.Duration, error)
}

// PaperGrid is section 3.3's, with a step and a tolerance that the paper does not
// give: its result is a multiple of 0.05 whose product is 1.92.
var PaperGrid = Grid{Phi: 1, Step: 0.05, Budget: ByFormula, Target: 2, Tolerance: 0.1}

// Candidate is a network that a Grid's search would try.
type Candidate struct {
	Coefficients
	Network  Arch
	Cost     Cost
	Relative float64       // multiply-adds over the baseline's
	Latency  time.Duration // by Grid.Measure; 0 without
}

// Limits of a Grid.
const (
	decimals        = 1000 // Step is a whole number of thousandths
	leastStep       = 0.005
	maxCoefficient  = 4    // Coefficients.Validate's
	decimalRounding = 1e-9 // what floating point may add to a product of short decimals
	latencyReach    = 2    // how far time per multiply-add is taken to differ between networks
)

// Validate reports every number that no search can have.
func (g Grid) Validate() error {
	errs := []error{
		checkFloat("phi", g.Phi, 0.01, 10),
		checkFloat("step", g.Step, leastStep, 1),
		checkName("budget", g.Budget, ByFormula, ByMACs, ByParams, ByLatency),
		checkFloat("target", g.Target, 1, 64),
		checkFloat("tolerance", g.Tolerance, 0, 64),
		checkFloat("most alpha", g.Most.Alpha, 0, maxCoefficient),
		checkFloat("most beta", g.Most.Beta, 0, maxCoefficient),
		checkFloat("most gamma", g.Most.Gamma, 0, maxCoefficient),
	}
	if steps := g.Step * decimals; math.Abs(steps-math.Round(steps)) > decimalRounding {
		errs = append(errs, fmt.Errorf("step: %v is no multiple of 0.001", g.Step))
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("scale: search: %w", err)
		}
	}
	return errors.Join(errs...)
}

// Candidates are the networks of b that meet the budget, by rising Alpha, then
// Beta, then Gamma. Of those that round to the same network there is the first.
func (g Grid) Candidates(b Baseline, classes int) ([]Candidate, error) {
	s, err := g.begin(b, classes)
	if err != nil {
		return nil, err
	}
	most := g.most()
	for _, alpha := range g.values(most.Alpha) {
		for _, beta := range g.values(most.Beta) {
			for _, gamma := range g.values(most.Gamma) {
				over, err := s.try(Coefficients{Phi: g.Phi, Alpha: alpha, Beta: beta, Gamma: gamma})
				if err != nil {
					return nil, err
				}
				if over {
					break // as are all greater gammas
				}
			}
		}
	}
	return s.found, nil
}

// begin checks the grid and costs the baseline.
func (g Grid) begin(b Baseline, classes int) (*search, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	a, err := b.Compound(Coefficients{Alpha: 1, Beta: 1, Gamma: 1})
	if err != nil {
		return nil, err
	}
	a.Classes = classes
	if err := a.Validate(); err != nil {
		return nil, err
	}
	s := &search{grid: g, baseline: b, classes: classes, base: Count(a), seen: map[string]bool{}}
	if g.Budget == ByLatency {
		s.seen[a.Key()] = true
		s.baseLatency, err = g.Measure(a)
	}
	return s, err
}

// Exponent is that of Phi in the cost: the formula's is of one unit.
func (g Grid) Exponent() float64 {
	if g.Budget == ByFormula {
		return 1
	}
	return g.Phi
}

// most is Most with its zeros replaced.
func (g Grid) most() struct{ Alpha, Beta, Gamma float64 } {
	most, p := g.Most, g.Exponent()
	if most.Alpha == 0 {
		most.Alpha = maxCoefficient
	}
	if most.Beta == 0 {
		most.Beta = maxCoefficient
	}
	if most.Gamma == 0 {
		most.Gamma = min(maxCoefficient, math.Pow(math.Pow(g.Target, p)+g.Tolerance, 1/(2*p)))
	}
	return most
}

// values are 1, 1+Step, ..., most: quotients of whole numbers, so that 1.15 is the
// float64 nearest to it.
func (g Grid) values(most float64) []float64 {
	step := int(math.Round(g.Step * decimals))
	var all []float64
	for v := decimals; float64(v)/decimals <= most+decimalRounding; v += step {
		all = append(all, float64(v)/decimals)
	}
	return all
}

// search collects candidates.
type search struct {
	grid        Grid
	baseline    Baseline
	classes     int
	base        Cost
	baseLatency time.Duration   // ByLatency
	seen        map[string]bool // networks that were costed, by key
	found       []Candidate
}

// try adds k's network if it meets the budget and is new, and says whether it is
// over the budget by what is counted. A network too large to build is.
func (s *search) try(k Coefficients) (over bool, err error) {
	target := math.Pow(s.grid.Target, s.grid.Exponent())
	least, most := target-s.grid.Tolerance-decimalRounding, target+s.grid.Tolerance+decimalRounding
	if s.grid.Budget == ByFormula && k.Product() > most {
		return true, nil
	}
	a, err := s.baseline.Compound(k)
	if err != nil {
		return true, nil //nolint:nilerr // too large
	}
	a.Classes = s.classes
	c := Candidate{Coefficients: k, Network: a, Cost: Count(a)}
	c.Relative = float64(c.Cost.MACs) / float64(s.base.MACs)
	cost := s.counted(c)
	if s.grid.Budget == ByLatency {
		least, most = least/latencyReach, most*latencyReach
	}
	key := a.Key()
	if cost < least || cost > most || s.seen[key] {
		return cost > most, nil
	}
	s.seen[key] = true
	if s.grid.Budget == ByLatency {
		if c.Latency, err = s.grid.Measure(a); err != nil {
			return false, err
		}
		if times := float64(c.Latency) / float64(s.baseLatency); math.Abs(times-target) > s.grid.Tolerance {
			return false, nil
		}
	}
	s.found = append(s.found, c)
	return false, nil
}

// counted is what the budget bounds, or for ByLatency what it grows with.
func (s *search) counted(c Candidate) float64 {
	switch s.grid.Budget {
	case ByFormula:
		return c.Product()
	case ByParams:
		return float64(c.Cost.Params) / float64(s.base.Params)
	}
	return c.Relative
}

// Key is equal for networks of the same layers and input, that is of the same Baseline.
func (a Arch) Key() string { return fmt.Sprint(a.Resolution, a.Stem, a.Head, a.Stages) }
