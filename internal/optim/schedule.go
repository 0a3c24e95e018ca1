package optim

import "math"

// Schedule is the learning rate of each step. Every kind rises linearly from
// Start over the warm-up and counts its own decay from step 0, as the reference
// does (tensorflow/tpu utils.py, build_learning_rate, where Start is 0).
type Schedule struct {
	Kind          string  // "exponential", "cosine" or "constant"
	Peak          float64 // the rate that decays
	Start         float64 // of the warm-up
	Min           float64 // cosine: where the rate ends; exponential: the least
	WarmupUpdates float64
	TotalUpdates  float64 // cosine: when the rate reaches Min
	DecayUpdates  float64 // exponential: updates between two decays
	DecayRate     float64 // exponential: the factor of one decay
}

// LR is the learning rate of an update, counted from 0.
func (s Schedule) LR(step int) float64 {
	t := float64(step)
	if t < s.WarmupUpdates {
		return s.Start + (s.Peak-s.Start)*t/s.WarmupUpdates
	}
	switch s.Kind {
	case "exponential": // a staircase
		return max(s.Peak*math.Pow(s.DecayRate, math.Floor(t/s.DecayUpdates)), s.Min)
	case "cosine":
		return s.Min + (s.Peak-s.Min)*(1+math.Cos(math.Pi*min(t/s.TotalUpdates, 1)))/2
	default:
		return s.Peak
	}
}
