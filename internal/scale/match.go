package scale

import (
	"fmt"
	"math"
)

// Method is a way to make a network larger.
type Method string

// The methods: one dimension alone or all three by Coefficients (the paper's figure 2),
// or all three by the later rule of Dollár et al. (see FastRule).
const (
	DepthOnly      Method = "depth"
	WidthOnly      Method = "width"
	ResolutionOnly Method = "resolution"
	AllThree       Method = "compound"
	Fast           Method = "fast"
)

// Methods are all of them, single dimensions first.
var Methods = []Method{DepthOnly, WidthOnly, ResolutionOnly, AllThree, Fast}

// FastRule is fast compound scaling (Dollár, Singh and Girshick 2021, "Fast and Accurate
// Model Scaling", section 5): s times the multiply-adds are depth times s^((1-a)/2), width
// times s^(a/2) and resolution times s^((1-a)/4). A unit of Phi is twice the multiply-adds.
// Width grows most, so that activations, and with them time on processors that memory
// bounds, only grow as s^(1-a/2): s^0.6 with FastShare, the a of the paper.
func FastRule(a float64) Coefficients {
	return Coefficients{Phi: 1, Alpha: math.Exp2((1 - a) / 2), Beta: math.Exp2(a / 2), Gamma: math.Exp2((1 - a) / 4)}
}

// FastShare is the paper's a.
const FastShare = 0.8

// By is the baseline scaled by a method: x multiplies a dimension, or is the Phi
// of k or of the fast rule.
func (b Baseline) By(m Method, x float64, k Coefficients) (Arch, error) {
	switch m {
	case DepthOnly:
		return b.Scale(1, x, b.Resolution)
	case WidthOnly:
		return b.Scale(x, 1, b.Resolution)
	case ResolutionOnly:
		return b.Scale(1, 1, int(float64(b.Resolution)*x+0.5))
	case Fast:
		k = FastRule(FastShare)
		fallthrough
	case AllThree:
		k.Phi = x
		return b.Compound(k)
	}
	return Arch{}, fmt.Errorf("scale: method: %q is unknown (have %v)", m, Methods)
}

// Match is the network that By makes of the baseline whose counted multiply-adds come
// nearest to times the baseline's, and its x: of those that give the same
// network, the one of fewest decimals.
func (b Baseline) Match(m Method, times float64, k Coefficients, classes int) (x float64, a Arch, err error) {
	arch := func(x float64) (Arch, error) {
		a, err := b.By(m, x, k)
		a.Classes = classes
		return a, err
	}
	low, high := 1., 2. // low has too few multiply-adds, high too many
	if m == AllThree || m == Fast {
		low, high = 0, 1
	}
	base, err := arch(low)
	if err != nil {
		return 0, Arch{}, err
	}
	target := times * float64(Count(base).MACs)
	macs := func(x float64) float64 {
		a, reason := arch(x)
		if reason != nil {
			err = fmt.Errorf("scale: %s of %g times the multiply-adds: %w", m, times, reason)
			return target + 1
		}
		return float64(Count(a).MACs)
	}
	for macs(high) < target {
		low, high = high, 2*high
	}
	for high-low > exactPhi {
		if middle := (low + high) / 2; macs(middle) < target {
			low = middle
		} else {
			high = middle
		}
	}
	if err != nil {
		return 0, Arch{}, err
	}
	x = low
	if macs(high)-target < target-macs(low) {
		x = high
	}
	return shortest(x, arch)
}
