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
	Head       int        `yaml:"head"`                  // output channels of the last 1x1 convolution; 0 for none
	HeadPooled bool       `yaml:"head-pooled,omitempty"` // whether it comes after the pooling, with a bias and no normalisation
	SE         SE         `yaml:"se,omitempty"`
	Activation Activation `yaml:"activation"`
	// FixedEnds is the Lite rule: stem and head keep their channels, the first
	// and the last stage their repeats.
	FixedEnds    bool `yaml:"fixed-ends"`
	FixedStem    bool `yaml:"fixed-stem,omitempty"`    // the stem keeps its channels
	LeastHead    bool `yaml:"least-head,omitempty"`    // the head has no fewer channels than here
	RoundRepeats bool `yaml:"round-repeats,omitempty"` // scaled repeats go to the nearest number, not the next one up
	// LoseChannels allows rounding to take any share of a layer's scaled channels;
	// otherwise it is a tenth at most.
	LoseChannels bool `yaml:"lose-channels,omitempty"`
}

// Validate reports every number of the table that no network can have.
func (b Baseline) Validate() error { return b.unscaled().Validate() }

// Scale multiplies the channels by width and the repeats by depth, rounds both
// as the reference code does, and sets the input to resolution pixels.
func (b Baseline) Scale(width, depth float64, resolution int) (Arch, error) {
	return b.scale(width, depth, 1, resolution)
}

// scale is Scale, and multiplies the repeats of the last two stages by late, too.
func (b Baseline) scale(width, depth, late float64, resolution int) (Arch, error) {
	a := b.unscaled()
	if err := errors.Join(a.Validate(), checkMultiplier("width", width), checkMultiplier("depth", depth)); err != nil {
		return Arch{}, err
	}
	a.Width, a.Depth, a.Resolution = width, depth, resolution
	if !b.FixedEnds && !b.FixedStem {
		a.Stem = b.channels(a.Stem, width)
	}
	if !b.FixedEnds && a.Head > 0 {
		a.Head = b.channels(a.Head, width)
		if b.LeastHead {
			a.Head = max(a.Head, b.Head)
		}
	}
	for i := range a.Stages {
		s := &a.Stages[i]
		s.Channels = b.channels(s.Channels, width)
		if s.ExpandFrom > 0 {
			s.ExpandFrom = b.channels(s.ExpandFrom, width)
		}
	}
	stages := stageRows(a.Stages)
	for i, rows := range stages {
		by := depth
		if i >= len(stages)-lateStages {
			by *= late
		}
		if !b.FixedEnds || i > 0 && i < len(stages)-1 {
			b.deepen(rows, by)
		}
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
		HeadPooled:      b.HeadPooled,
		SE:              b.SE,
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

// channels scales a layer's channels.
func (b Baseline) channels(n int, width float64) int {
	if b.LoseChannels {
		return nearestUnit(float64(n) * width)
	}
	return roundChannels(n, width)
}

// roundChannels is round_filters of efficientnet_model.py: the multiple of 8
// nearest to channels*width, or the next one where that would lose over a tenth.
func roundChannels(channels int, width float64) int {
	f := float64(channels) * width
	n := nearestUnit(f)
	if float64(n) < 0.9*f {
		n += channelUnit
	}
	return n
}

// nearestUnit is the nearest multiple of 8, 8 at least.
func nearestUnit(f float64) int {
	return max(channelUnit, int(f+channelUnit/2)/channelUnit*channelUnit)
}

// stageRows are the rows of each stage.
func stageRows(rows []Stage) (stages [][]Stage) {
	for first := 0; first < len(rows); {
		end := first + 1
		for end < len(rows) && rows[end].Joined {
			end++
		}
		stages = append(stages, rows[first:end])
		first = end
	}
	return stages
}

// deepen scales the repeats of one stage: their sum as round_repeats of
// efficientnet_model.py does, up, or to the nearest number. Of several rows the last
// are scaled first, each by its share of what is left (timm's _scale_stage_depth).
func (b Baseline) deepen(rows []Stage, depth float64) {
	sum := 0
	for _, s := range rows {
		sum += s.Repeats
	}
	const rounding = 1e-9 // of powers: 2.0000000000000004 is 2
	scaled := int(math.Ceil(depth*float64(sum) - rounding))
	if b.RoundRepeats {
		scaled = max(1, int(math.RoundToEven(float64(sum)*depth)))
	}
	for i := len(rows) - 1; i >= 0; i-- {
		r := rows[i].Repeats
		rows[i].Repeats = max(1, int(math.RoundToEven(float64(r)/float64(sum)*float64(scaled))))
		sum, scaled = sum-r, scaled-rows[i].Repeats
	}
}

func checkMultiplier(name string, v float64) error {
	if !(v > 0 && v <= maxMultiplier) {
		return fmt.Errorf("scale: %s: %v is outside (0, %d]", name, v, maxMultiplier)
	}
	return nil
}
