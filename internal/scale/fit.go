package scale

import "math"

// Fit is c with the Phi whose formula comes nearest to the variant: least
// squares between the logarithms of the variant's (depth, width, resolution)
// and the formula's.
func (c Coefficients) Fit(p Published) Coefficients {
	want := [...]float64{p.Depth, p.Width, float64(p.Resolution) / float64(p.Baseline.Resolution)}
	var dot, norm float64
	for i, base := range [...]float64{c.Alpha, c.Beta, c.Gamma} {
		x := math.Log(base)
		dot += x * math.Log(want[i])
		norm += x * x
	}
	c.Phi = 0
	if norm > 0 { // with alpha, beta and gamma 1, every Phi is the baseline
		c.Phi = dot / norm
	}
	return c
}

// Nearest is the published variant of the named baseline whose Fit comes
// nearest to c's Phi. It is false for a baseline without variants.
func (c Coefficients) Nearest(baseline string) (nearest Published, ok bool) {
	least := math.Inf(1)
	for _, p := range published {
		if p.Baseline.Name != baseline {
			continue
		}
		if d := math.Abs(c.Fit(p).Phi - c.Phi); d < least {
			nearest, least, ok = p, d, true
		}
	}
	return nearest, ok
}
