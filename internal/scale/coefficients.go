package scale

import (
	"errors"
	"fmt"
	"math"
)

// Coefficients are the paper's equation 3: one number, Phi, scales depth by
// Alpha^Phi, width by Beta^Phi and resolution by Gamma^Phi.
type Coefficients struct{ Phi, Alpha, Beta, Gamma float64 }

// Paper is what the paper's grid search found at phi 1 (section 4).
var Paper = Coefficients{Phi: 1, Alpha: 1.2, Beta: 1.1, Gamma: 1.15}

// Depth multiplies a stage's repeats.
func (c Coefficients) Depth() float64 { return math.Pow(c.Alpha, c.Phi) }

// Width multiplies the channels.
func (c Coefficients) Width() float64 { return math.Pow(c.Beta, c.Phi) }

// Resolution scales a side of base pixels, to the nearest pixel: phi 1 and
// gamma 1.15 take 224 to 258.
func (c Coefficients) Resolution(base int) int {
	return int(math.Round(float64(base) * math.Pow(c.Gamma, c.Phi)))
}

// Product is what one unit of Phi multiplies the multiply-adds by, before
// rounding. The paper holds it near 2.
func (c Coefficients) Product() float64 { return c.Alpha * c.Beta * c.Beta * c.Gamma * c.Gamma }

// Validate holds the paper's constraint that Alpha, Beta and Gamma are at least
// 1. A negative Phi shrinks the baseline, and is allowed.
func (c Coefficients) Validate() error {
	return inScale(c.check())
}

func (c Coefficients) check() []error {
	return []error{
		checkFloat("phi", c.Phi, -10, 20),
		checkFloat("alpha", c.Alpha, 1, 4),
		checkFloat("beta", c.Beta, 1, 4),
		checkFloat("gamma", c.Gamma, 1, 4),
	}
}

// inScale joins errors, and says of each that scaling is at fault.
func inScale(errs []error) error {
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("scale: %w", err)
		}
	}
	return errors.Join(errs...)
}

// Compound is the baseline scaled by the paper's formula.
func (b Baseline) Compound(c Coefficients) (Arch, error) { return b.Enlarge(Rule{Coefficients: c}) }
