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
	Capped         Method = "capped" // compound, with the largest resolution of a Rule
	Late           Method = "late"   // compound, with the late depth of a Rule, and its largest resolution if it has one
)

// Methods are all of them, single dimensions first.
var Methods = []Method{DepthOnly, WidthOnly, ResolutionOnly, AllThree, Fast, Capped, Late}

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

// one says whether a method scales one dimension.
func (m Method) one() bool { return m == DepthOnly || m == WidthOnly || m == ResolutionOnly }

// By is the baseline scaled by a method: x multiplies a dimension, or is the Phi
// of the rule or of the fast one.
func (b Baseline) By(m Method, x float64, r Rule) (Arch, error) {
	switch m {
	case DepthOnly:
		return b.Scale(1, x, b.Resolution)
	case WidthOnly:
		return b.Scale(x, 1, b.Resolution)
	case ResolutionOnly:
		return b.Scale(1, 1, int(float64(b.Resolution)*x+0.5))
	case AllThree:
		r = Rule{Coefficients: r.Coefficients}
	case Fast:
		r = Rule{Coefficients: FastRule(FastShare)}
	case Capped:
		if r.MaxResolution == 0 {
			return Arch{}, fmt.Errorf("scale: method: %s needs max-img-size, the largest width and height", m)
		}
		r.LateDepth = 0
	case Late:
		if r.LateDepth <= 1 {
			return Arch{}, fmt.Errorf("scale: method: %s needs late-depth, above 1", m)
		}
	default:
		return Arch{}, fmt.Errorf("scale: method: %q is unknown (have %v)", m, Methods)
	}
	r.Phi = x
	return b.Enlarge(r)
}

// Match is the network that By makes of the baseline whose counted multiply-adds come
// nearest to times the baseline's, and its x: of those that give the same
// network, the one of fewest decimals.
func (b Baseline) Match(m Method, times float64, r Rule, classes int) (x float64, a Arch, err error) {
	arch := func(x float64) (Arch, error) {
		a, err := b.By(m, x, r)
		a.Classes = classes
		return a, err
	}
	low, high := 0., 1. // low has too few multiply-adds, high too many
	if m.one() {
		low, high = 1, 2
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
