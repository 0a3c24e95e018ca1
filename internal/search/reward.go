package search

import (
	"fmt"
	"math"
	"slices"

	"effnet/internal/config"
	"effnet/internal/scale"
)

// A Reward is what networks of different cost are compared by: top-1, times a power of
// each cost over the target of that cost.
type Reward []Term

// A Term is one cost of a Reward.
type Term struct {
	Cost   Cost
	Target float64 // in the unit of the cost
	Power  float64
}

// Cost is something that a network takes.
type Cost string

// The costs of rewards.
const (
	MACs    Cost = "MACs"          // of one image, forward
	Params  Cost = "parameters"    // that are trained
	Time    Cost = "training time" // seconds of an epoch, measured
	Latency Cost = "latency"       // seconds of a forward pass of one image, measured
)

// Rewards are the published ones, by name, without their targets.
var Rewards = []struct {
	Name, Source string
	Reward       Reward
}{
	{"flops", "Tan and Le 2019, section 4", Reward{{Cost: MACs, Power: -0.07}}},
	{"v2", "Tan and Le 2021, section 3.3", Reward{{Cost: Time, Power: -0.07}, {Cost: Params, Power: -0.05}}},
	{"latency", "Tan et al. 2019, section 3", Reward{{Cost: Latency, Power: -0.07}}},
}

// Measure is how much a network takes of a cost.
type Measure func(scale.Arch, Cost) (float64, error)

// Counted is a Measure of what need not be measured.
func Counted(a scale.Arch, c Cost) (float64, error) {
	switch cost := scale.Count(a); c {
	case MACs:
		return float64(cost.MACs), nil
	case Params:
		return float64(cost.Params), nil
	}
	return 0, fmt.Errorf("search: %s cannot be counted", c)
}

// WithTarget has a target that was given as text for its first cost; "" for none.
func (r Reward) WithTarget(text string) (Reward, error) {
	all := slices.Clone(r)
	if text == "" {
		return all, nil
	}
	switch first := &all[0]; first.Cost {
	case MACs:
		n, err := config.ParseCount(text)
		first.Target = float64(n)
		return all, err
	case Latency:
		d, err := config.ParseLatency(text)
		first.Target = d.Seconds()
		return all, err
	}
	return nil, fmt.Errorf("%s: the target of %s is that of the space's baseline", text, r[0].Cost)
}

// At has the costs of a network as the targets of terms that have none.
func (r Reward) At(a scale.Arch, measure Measure) (Reward, error) {
	all := make(Reward, len(r))
	for i, t := range r {
		if t.Target == 0 {
			var err error
			if t.Target, err = measure(a, t.Cost); err != nil {
				return nil, err
			}
		}
		all[i] = t
	}
	return all, nil
}

// Factor is what a network's top-1 is multiplied by.
func (r Reward) Factor(a scale.Arch, measure Measure) (float64, error) {
	factor := 1.
	for _, t := range r {
		cost, err := measure(a, t.Cost)
		if err != nil {
			return 0, err
		}
		factor *= math.Pow(cost/t.Target, t.Power)
	}
	if !(factor > 0) || math.IsInf(factor, 0) {
		return 0, fmt.Errorf("search: the reward of %s is top-1 times %v", a.Name, factor)
	}
	return factor, nil
}
