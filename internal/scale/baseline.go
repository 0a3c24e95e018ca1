package scale

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// TensorFlow's conventions for a fresh network (efficientnet_builder.py), which
// every scaled Arch starts with.
const (
	defaultClasses         = 1000 // ImageNet's
	defaultPadding         = Same
	defaultDropout         = 0.2
	defaultStochasticDepth = 0.2
	defaultBNEps           = 1e-3
	defaultBNMomentum      = 0.01
)

// channelUnit is what scaled channels are a multiple of, and their least.
const channelUnit = 8

// Baseline is a stage table before scaling, such as the paper's table 1.
type Baseline struct {
	Name       string     `yaml:"name"`
	Resolution int        `yaml:"resolution"`            // side of the square input, pixels
	Stem       int        `yaml:"stem"`                  // output channels of the first convolution, of stride 2
	StemKernel int        `yaml:"stem-kernel,omitempty"` // its side; 0 for 3
	StemPool   bool       `yaml:"stem-pool,omitempty"`   // whether a 3x3 max pool of stride 2 follows it
	Stages     []Stage    `yaml:"stages"`
	Head       int        `yaml:"head"` // output channels of the last 1x1 convolution; 0 for none
	Activation Activation `yaml:"activation"`
	// FixedEnds is the Lite rule: stem and head keep their channels, the first
	// and the last stage their repeats.
	FixedEnds bool `yaml:"fixed-ends"`
}

// Validate reports every number of the table that no network can have.
func (b Baseline) Validate() error { return b.unscaled().Validate() }

// Scale multiplies the channels by width and the repeats by depth, rounds both
// as the reference code does, and sets the input to resolution pixels.
func (b Baseline) Scale(width, depth float64, resolution int) (Arch, error) {
	a := b.unscaled()
	if err := errors.Join(a.Validate(), checkMultiplier("width", width), checkMultiplier("depth", depth)); err != nil {
		return Arch{}, err
	}
	a.Width, a.Depth, a.Resolution = width, depth, resolution
	if !b.FixedEnds {
		a.Stem = roundChannels(a.Stem, width)
		if a.Head > 0 {
			a.Head = roundChannels(a.Head, width)
		}
	}
	last := len(a.Stages) - 1
	for i := range a.Stages {
		s := &a.Stages[i]
		s.Channels = roundChannels(s.Channels, width)
		if b.FixedEnds && (i == 0 || i == last) {
			continue
		}
		s.Repeats = roundRepeats(s.Repeats, depth)
	}
	if err := a.Validate(); err != nil {
		return Arch{}, err
	}
	return a, nil
}

// unscaled is the network of the table as it stands.
func (b Baseline) unscaled() Arch {
	return Arch{
		Name:            b.Name,
		Resolution:      b.Resolution,
		Stem:            b.Stem,
		StemKernel:      b.StemKernel,
		StemPool:        b.StemPool,
		Stages:          slices.Clone(b.Stages),
		Head:            b.Head,
		Classes:         defaultClasses,
		Activation:      b.Activation,
		Padding:         defaultPadding,
		Dropout:         defaultDropout,
		StochasticDepth: defaultStochasticDepth,
		BNEps:           defaultBNEps,
		BNMomentum:      defaultBNMomentum,
		Width:           1,
		Depth:           1,
	}
}

// roundChannels is round_filters of efficientnet_model.py: the multiple of 8
// nearest to channels*width, or the next one where that would lose over a tenth.
func roundChannels(channels int, width float64) int {
	f := float64(channels) * width
	n := max(channelUnit, int(f+channelUnit/2)/channelUnit*channelUnit)
	if float64(n) < 0.9*f {
		n += channelUnit
	}
	return n
}

// roundRepeats is round_repeats of efficientnet_model.py.
func roundRepeats(repeats int, depth float64) int {
	return int(math.Ceil(depth * float64(repeats)))
}

func checkMultiplier(name string, v float64) error {
	if !(v > 0 && v <= maxMultiplier) {
		return fmt.Errorf("scale: %s: %v is outside (0, %d]", name, v, maxMultiplier)
	}
	return nil
}
