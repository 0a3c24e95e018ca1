package augment

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// A Policy changes training images by operations that it draws.
type Policy interface {
	// Apply changes m, which has at least one pixel, in place. All randomness
	// comes from rng. scratch is memory kept from one image to the next, whose
	// content does not matter.
	Apply(m *Image, rng *rand.Rand, scratch *[]uint8)
	// Validate returns an error naming the first parameter out of range.
	Validate() error
}

// AutoAugment is the policy found for ImageNet: one of 25 pairs of operations,
// each with its probability and magnitude (Cubuk et al. 2019, AutoAugment,
// table 9; policy v0 of tensorflow/tpu,
// models/official/efficientnet/autoaugment.py).
type AutoAugment struct{}

// A step is an operation of a pair.
type step struct {
	op        Op
	prob      float64
	magnitude float64
}

var policyV0 = [25][2]step{
	{{Equalize, 0.8, 1}, {ShearY, 0.8, 4}},
	{{Color, 0.4, 9}, {Equalize, 0.6, 3}},
	{{Color, 0.4, 1}, {Rotate, 0.6, 8}},
	{{Solarize, 0.8, 3}, {Equalize, 0.4, 7}},
	{{Solarize, 0.4, 2}, {Solarize, 0.6, 2}},
	{{Color, 0.2, 0}, {Equalize, 0.8, 8}},
	{{Equalize, 0.4, 8}, {SolarizeAdd, 0.8, 3}},
	{{ShearX, 0.2, 9}, {Rotate, 0.6, 8}},
	{{Color, 0.6, 1}, {Equalize, 1, 2}},
	{{Invert, 0.4, 9}, {Rotate, 0.6, 0}},
	{{Equalize, 1, 9}, {ShearY, 0.6, 3}},
	{{Color, 0.4, 7}, {Equalize, 0.6, 0}},
	{{Posterize, 0.4, 6}, {AutoContrast, 0.4, 7}},
	{{Solarize, 0.6, 8}, {Color, 0.6, 9}},
	{{Solarize, 0.2, 4}, {Rotate, 0.8, 9}},
	{{Rotate, 1, 7}, {TranslateY, 0.8, 9}},
	{{ShearX, 0, 0}, {Solarize, 0.8, 4}},
	{{ShearY, 0.8, 0}, {Color, 0.6, 4}},
	{{Color, 1, 0}, {Rotate, 0.6, 2}},
	{{Equalize, 0.8, 4}, {Equalize, 0, 8}},
	{{Equalize, 1, 4}, {AutoContrast, 0.6, 2}},
	{{ShearY, 0.4, 7}, {SolarizeAdd, 0.6, 7}},
	{{Posterize, 0.8, 2}, {Solarize, 0.6, 10}},
	{{Solarize, 0.6, 8}, {Equalize, 0.6, 1}},
	{{Color, 0.8, 6}, {Rotate, 0.4, 5}},
}

// Apply implements Policy.
func (AutoAugment) Apply(m *Image, rng *rand.Rand, scratch *[]uint8) {
	a := aids{rng, scratch}
	for _, s := range policyV0[rng.IntN(len(policyV0))] {
		if rng.Float64() < s.prob {
			o := &operations[s.op]
			o.apply(m, o.argument(s.magnitude, rng), a)
		}
	}
}

// Validate implements Policy.
func (AutoAugment) Validate() error { return nil }

// RandAugment draws N of the operations of a list, any as likely as any other and some
// perhaps twice, and applies each with probability Prob at a magnitude that is
// normal about Magnitude with standard deviation Std, at least 0 and, unless
// Magnitude is more, at most 10 (Cubuk et al. 2020, RandAugment; operations
// and their constants as in tensorflow/tpu,
// models/official/efficientnet/autoaugment.py; Prob and Std are timm's).
type RandAugment struct {
	N         int
	Magnitude float64 // 10 is the range of AutoAugment; the authors went to 28
	Std       float64
	Prob      float64 // 1 in the paper
	List      int     // the version of the list, see lists
}

// Apply implements Policy.
func (p RandAugment) Apply(m *Image, rng *rand.Rand, scratch *[]uint8) {
	a, list := aids{rng, scratch}, lists[p.List]
	for range p.N {
		o := &operations[list[rng.IntN(len(list))]]
		if rng.Float64() < p.Prob {
			o.apply(m, o.argument(p.magnitude(rng), rng), a)
		}
	}
}

// magnitude draws a magnitude. Without Std it draws nothing.
func (p RandAugment) magnitude(rng *rand.Rand) float64 {
	if p.Std == 0 {
		return p.Magnitude
	}
	v := max(p.Magnitude+float64(p.Std*rng.NormFloat64()), 0)
	if p.Magnitude <= 10 {
		return min(v, 10)
	}
	return v
}

// Validate implements Policy.
func (p RandAugment) Validate() error {
	switch {
	case p.N < 1 || p.N > 100:
		return fmt.Errorf("augment: RandAugment of %d operations: want 1 to 100", p.N)
	case !(0 <= p.Magnitude && p.Magnitude <= 100):
		return fmt.Errorf("augment: RandAugment of magnitude %v: want 0 to 100", p.Magnitude)
	case !(0 <= p.Std && p.Std <= 100):
		return fmt.Errorf("augment: RandAugment with standard deviation %v of the magnitude: want 0 to 100", p.Std)
	case !(0 <= p.Prob && p.Prob <= 1):
		return fmt.Errorf("augment: RandAugment with probability %v: want 0 to 1", p.Prob)
	case p.List < 0 || p.List >= len(lists):
		return fmt.Errorf("augment: RandAugment of list %d of operations: want 0 to %d", p.List, len(lists)-1)
	}
	return nil
}

// argument returns what a magnitude means to o, and draws the sign if there is
// one.
func (o *operation) argument(magnitude float64, rng *rand.Rand) float64 {
	v := o.base + float64(magnitude/10*o.span)
	if o.whole {
		v = math.Trunc(v)
	}
	if o.signed && rng.Float64() < 0.5 {
		return -v
	}
	return v
}
