package augment

import (
	"math"
	"math/rand/v2"
)

// beta draws from the symmetric distribution Beta(alpha, alpha), alpha > 0, as
// X/(X+Y) of two gamma variates. The ratio is taken in logarithms: for a small
// alpha both variates are often too small for a float64.
func beta(rng *rand.Rand, alpha float64) float64 {
	return 1 / (1 + math.Exp(logGamma(rng, alpha)-logGamma(rng, alpha)))
}

// logGamma draws the logarithm of a Gamma(shape, 1) variate (Marsaglia and Tsang
// 2000, A Simple Method for Generating Gamma Variables: section 2 for a shape
// of 1 or more, the end of section 6 for less).
func logGamma(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		u := 1 - rng.Float64() // in (0, 1]
		return logGamma(rng, shape+1) + math.Log(u)/shape
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		t := 1 + float64(c*x)
		if t <= 0 {
			continue
		}
		v := t * t * t
		u := 1 - rng.Float64()
		if math.Log(u) < float64(0.5*x*x)+d-float64(d*v)+float64(d*math.Log(v)) {
			return math.Log(d * v)
		}
	}
}
