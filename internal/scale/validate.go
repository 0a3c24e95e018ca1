package scale

import (
	"errors"
	"fmt"
	"slices"
)

// Limits that no sensible network reaches: a mistyped table or a damaged
// checkpoint is refused before anything is allocated for it.
const (
	maxMultiplier = 64
	maxResolution = 4096
	maxChannels   = 1 << 14 // EfficientNet-L2's head is 5504
	maxClasses    = 1 << 20
	maxStages     = 64
	maxKernel     = 31
	maxStride     = 4
	maxExpansion  = 64
	maxRepeats    = 256
)

// Validate reports every number that no network can have, one error each.
func (a Arch) Validate() error {
	errs := []error{
		checkInt("resolution", a.Resolution, maxResolution),
		checkInt("stem", a.Stem, maxChannels),
		checkInt("head", a.Head, maxChannels),
		checkInt("classes", a.Classes, maxClasses),
		checkInt("number of stages", len(a.Stages), maxStages),
		checkName("activation", a.Activation, Swish, ReLU6),
		checkName("padding", a.Padding, Same, Symmetric),
		checkFloat("dropout", a.Dropout, 0, 0.99),
		checkFloat("stochastic depth", a.StochasticDepth, 0, 0.99),
		checkFloat("batch norm eps", a.BNEps, 1e-12, 1),
		checkFloat("batch norm momentum", a.BNMomentum, 0, 1),
	}
	for i, s := range a.Stages {
		for _, err := range s.check() {
			if err != nil {
				errs = append(errs, fmt.Errorf("stage %d: %w", i+1, err))
			}
		}
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("scale: network %q: %w", a.Name, err)
		}
	}
	return errors.Join(errs...)
}

func (s Stage) check() []error {
	errs := []error{
		checkName("block", s.Block, MBConv, Fused),
		checkInt("kernel", s.Kernel, maxKernel),
		checkInt("stride", s.Stride, maxStride),
		checkInt("expansion", s.Expansion, maxExpansion),
		checkInt("channels", s.Channels, maxChannels),
		checkInt("repeats", s.Repeats, maxRepeats),
		checkFloat("se-ratio", s.SERatio, 0, 1),
	}
	if s.Block == Fused && s.SERatio != 0 {
		errs = append(errs, fmt.Errorf("se-ratio: %v in a block %q, which has no squeeze-and-excitation", s.SERatio, Fused))
	}
	if s.Kernel%2 == 0 {
		errs = append(errs, fmt.Errorf("kernel: %d is even (an odd side has a centre)", s.Kernel))
	}
	return errs
}

func checkInt(name string, v, most int) error {
	if v < 1 || v > most {
		return fmt.Errorf("%s: %d is outside 1 to %d", name, v, most)
	}
	return nil
}

// checkFloat also refuses NaN.
func checkFloat(name string, v, least, most float64) error {
	if !(v >= least && v <= most) {
		return fmt.Errorf("%s: %v is outside %v to %v", name, v, least, most)
	}
	return nil
}

func checkName[T ~string](name string, v T, allowed ...T) error {
	if slices.Contains(allowed, v) {
		return nil
	}
	return fmt.Errorf("%s: %q is unknown (have %v)", name, v, allowed)
}
