package scale

import (
	"errors"
	"fmt"
	"math"
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

// mapActivations are those that a network may have after its convolutions.
var mapActivations = []Activation{Swish, ReLU, ReLU6, HardSwish}

// Validate reports every number that no network can have, one error each.
func (a Arch) Validate() error {
	errs := []error{
		checkInt("resolution", a.Resolution, maxResolution),
		checkInt("stem", a.Stem, maxChannels),
		checkFrom(0, "stem-kernel", a.StemKernel, maxKernel),
		checkOdd("stem-kernel", a.StemSide()),
		checkFrom(0, "head", a.Head, maxChannels),
		checkInt("classes", a.Classes, maxClasses),
		checkInt("number of stages", len(a.Stages), maxStages),
		checkName("activation", a.Activation, mapActivations...),
		checkName("padding", a.Padding, Same, Symmetric),
		checkName("se: activation", a.SE.Activation, append(slices.Clone(mapActivations), Identity)...),
		checkName("se: gate", a.SE.Gate, Identity, Sigmoid, HardSigmoid),
		checkFloat("dropout", a.Dropout, 0, 0.99),
		checkFloat("stochastic depth", a.StochasticDepth, 0, 0.99),
		checkFloat("batch norm eps", a.BNEps, 1e-12, 1),
		checkFloat("batch norm momentum", a.BNMomentum, 0, 1),
	}
	if a.HeadPooled && a.Head == 0 {
		errs = append(errs, errors.New("head-pooled: there is no head"))
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
	kind := kindOf(s.Block)
	errs := []error{
		checkName("block", s.Block, BlockKinds()...),
		checkInt("kernel", s.Kernel, maxKernel),
		checkOdd("kernel", s.Kernel),
		checkInt("stride", s.Stride, maxStride),
		checkFloat("expansion", s.Expansion, 1, maxExpansion),
		checkInt("channels", s.Channels, maxChannels),
		checkInt("repeats", s.Repeats, maxRepeats),
		checkFloat("se-ratio", s.SERatio, 0, 1),
		checkName("activation", s.Activation, append(slices.Clone(mapActivations), Identity)...),
		checkFrom(0, "expand-from", s.ExpandFrom, maxChannels),
	}
	if !kind.squeezes && s.SERatio != 0 {
		errs = append(errs, fmt.Errorf("se-ratio: %v in a block %q, which has no squeeze-and-excitation", s.SERatio, s.Block))
	}
	if kind.expansion == noExpansion && s.Expansion != 1 {
		errs = append(errs, fmt.Errorf("expansion: %v in a block %q, which has none: it is 1", s.Expansion, s.Block))
	}
	if kind.expansion == divides && s.Expansion >= 1 && (s.Expansion != math.Trunc(s.Expansion) || math.Mod(float64(s.Channels), s.Expansion) != 0) {
		errs = append(errs, fmt.Errorf("channels: %d are not a multiple of the expansion, %v, as a block %q needs", s.Channels, s.Expansion, s.Block))
	}
	if s.ExpandFrom > 0 && (kind.expansion != multiplies || s.Expansion == 1) {
		errs = append(errs, fmt.Errorf("expand-from: %d in a block %q of expansion %v, which expands nothing", s.ExpandFrom, s.Block, s.Expansion))
	}
	if s.NoShortcut && kind.shortcut == projected {
		errs = append(errs, fmt.Errorf("no-shortcut: a block %q always adds its input", s.Block))
	}
	return errs
}

func checkInt(name string, v, most int) error { return checkFrom(1, name, v, most) }

func checkFrom(least int, name string, v, most int) error {
	if v < least || v > most {
		return fmt.Errorf("%s: %d is outside %d to %d", name, v, least, most)
	}
	return nil
}

func checkOdd(name string, v int) error {
	if v%2 == 0 {
		return fmt.Errorf("%s: %d is even (an odd side has a centre)", name, v)
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
