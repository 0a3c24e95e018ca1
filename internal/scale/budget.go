package scale

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ErrOverBudget is the answer where not even the baseline fits.
var ErrOverBudget = errors.New("the baseline alone is over the budget")

// ErrUnbounded is the answer where the budget bounds nothing.
var ErrUnbounded = errors.New("scale: the largest network that phi can give is within the budget (give phi, or less of a budget)")

// Budget is the most that a network may cost; 0 is any cost.
type Budget struct{ MACs, Params int64 }

// Allows reports whether a cost is within the budget.
func (b Budget) Allows(c Cost) bool {
	return (b.MACs == 0 || c.MACs <= b.MACs) && (b.Params == 0 || c.Params <= b.Params)
}

// exactPhi is a difference between two phis that no step of a network's size
// comes near to.
const exactPhi = 1e-9

// LargestPhi is the largest Phi, from 0 up, whose counted cost is within the
// budget; arch is the network of a Phi, larger with it. ErrOverBudget, with the
// numbers, means that there is none.
func (b Budget) LargestPhi(arch func(phi float64) (Arch, error)) (phi float64, a Arch, c Cost, err error) {
	phi, a, err = LargestPhi(exactPhi, arch, func(a Arch) (bool, error) { return b.Allows(Count(a)), nil })
	if errors.Is(err, ErrOverBudget) {
		c = Count(a)
		return phi, a, c, fmt.Errorf("%w: %s", err, b.compare(c))
	}
	if err != nil {
		return 0, Arch{}, Cost{}, err
	}
	return phi, a, Count(a), nil
}

// compare says how a cost compares with the budget.
func (b Budget) compare(c Cost) string {
	var all []string
	if b.MACs > 0 {
		all = append(all, fmt.Sprintf("%d multiply-adds of %d", c.MACs, b.MACs))
	}
	if b.Params > 0 {
		all = append(all, fmt.Sprintf("%d parameters of %d", c.Params, b.Params))
	}
	return strings.Join(all, ", ")
}

// LargestPhi is the largest Phi, from 0 up, whose network fits, to precision.
// Networks grow by steps, and every Phi of a step gives the same one: of those, it
// is the Phi of fewest decimals. fits is asked once about each network, of sizes
// no more than one unit of Phi beyond what fits: where it measures, that is what
// takes time. If the baseline does not fit, a is the baseline and the error
// ErrOverBudget.
func LargestPhi(precision float64, arch func(phi float64) (Arch, error), fits func(Arch) (bool, error)) (phi float64, a Arch, err error) {
	p := &prober{arch: arch, fits: fits, known: map[string]bool{}}
	switch fits := p.fitsAt(0); {
	case p.failed != nil:
		return 0, Arch{}, p.failed
	case p.invalid != nil:
		return 0, Arch{}, p.invalid
	case !fits:
		return 0, p.last, fmt.Errorf("scale: %w", ErrOverBudget)
	}
	low, high := 0., 1. // low fits, high does not
	for p.fitsAt(high) {
		low, high = high, high+1
	}
	unbounded := p.invalid != nil
	for p.failed == nil && high-low > precision {
		if middle := low + (high-low)/2; p.fitsAt(middle) {
			low = middle
		} else {
			high, unbounded = middle, p.invalid != nil
		}
	}
	switch {
	case p.failed != nil:
		return 0, Arch{}, p.failed
	case unbounded:
		return 0, Arch{}, ErrUnbounded
	}
	return shortest(low, arch)
}

// prober asks about the networks of Phis, and remembers the answers.
type prober struct {
	arch    func(phi float64) (Arch, error)
	fits    func(Arch) (bool, error)
	known   map[string]bool // by the network's key
	last    Arch            // the network asked about last
	invalid error           // why it cannot be built, if so
	failed  error           // of fits
}

// fitsAt reports whether Phi's network fits. One that cannot be built does not.
func (p *prober) fitsAt(phi float64) bool {
	if p.last, p.invalid = p.arch(phi); p.invalid != nil || p.failed != nil {
		return false
	}
	key := p.last.Key()
	if fits, asked := p.known[key]; asked {
		return fits
	}
	fits, err := p.fits(p.last)
	p.known[key], p.failed = fits, err
	return fits && err == nil
}

// shortest is the Phi of fewest decimals, below or above phi, at most 20, with the
// same network.
func shortest(phi float64, arch func(phi float64) (Arch, error)) (float64, Arch, error) {
	a, err := arch(phi)
	if err != nil {
		return 0, Arch{}, err
	}
	const most = 12 // decimals beyond any precision asked for
	for n := range most {
		unit := math.Pow10(n)
		for _, whole := range []float64{math.Floor(phi * unit), math.Ceil(phi * unit)} {
			short, err := strconv.ParseFloat(strconv.FormatFloat(whole/unit, 'f', n, 64), 64)
			if err != nil {
				return 0, Arch{}, err
			}
			if b, err := arch(short); err == nil && b.Key() == a.Key() {
				return short, b, nil
			}
		}
	}
	return phi, a, nil
}
