package scale

import "math"

// A Rule is how one number, Phi, enlarges a baseline: the paper's coefficients, and two
// bounds of what Tan and Le (2021, EfficientNetV2, section 3.3) did to them by hand. They
// "restrict the maximum inference image size to 480, as very large images often lead to
// expensive memory and training speed overhead", and "gradually add more layers to later
// stages". They publish no formula for the second: LateDepth is this program's.
type Rule struct {
	Coefficients
	// MaxResolution is the largest side of images, in pixels; 0 for any.
	MaxResolution int
	// LateDepth^Phi multiplies the depth of the last two stages once more; 0 is 1.
	LateDepth float64
}

// lateStages are the stages that LateDepth deepens.
const lateStages = 2

// Validate holds the coefficients' bounds and those of the two others.
func (r Rule) Validate() error {
	errs := r.check()
	if r.LateDepth != 0 {
		errs = append(errs, checkFloat("late-depth", r.LateDepth, 1, 4))
	}
	if r.MaxResolution != 0 {
		errs = append(errs, checkFrom(8, "max-img-size", r.MaxResolution, maxResolution))
	}
	return inScale(errs)
}

// late multiplies the depth of the last stages.
func (r Rule) late() float64 {
	if r.LateDepth == 0 {
		return 1
	}
	return math.Pow(r.LateDepth, r.Phi)
}

// Resolution scales a side of base pixels, to MaxResolution at most.
func (r Rule) Resolution(base int) int {
	side := r.Coefficients.Resolution(base)
	if r.MaxResolution > 0 {
		side = min(side, r.MaxResolution)
	}
	return side
}

// Enlarge is the baseline scaled by the rule.
func (b Baseline) Enlarge(r Rule) (Arch, error) {
	if err := r.Validate(); err != nil {
		return Arch{}, err
	}
	return b.scale(r.Width(), r.Depth(), r.late(), r.Resolution(b.Resolution))
}
