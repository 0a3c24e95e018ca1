package scale

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// A Space is the networks among which a baseline is searched: a table, and what each of its
// stages may have instead. Around MobileNetV2's table, with the choices of
// configs/spaces/mnasnet.yaml, it is the factorised hierarchical search space of MnasNet
// (Tan et al. 2019, section 4.1), in which EfficientNet-B0 was found (Tan and Le 2019,
// section 4).
type Space struct {
	Table   Baseline
	Choices []Choices
}

// Choices are what a stage may have, and all its blocks alike. An empty list leaves what
// the table says.
type Choices struct {
	Stage     int       `yaml:"stage"` // from 1; 0 for every stage. Of two rows that say something of a stage the later counts
	Block     []string  `yaml:"block"`
	Kernel    []int     `yaml:"kernel"`
	Expansion []float64 `yaml:"expansion"` // left out in blocks that have none
	SERatio   []float64 `yaml:"se-ratio"`  // the same
	Channels  []float64 `yaml:"channels"`  // times the table's, rounded as in scaling
	Layers    []int     `yaml:"layers"`    // more than the table's; at least one stays
	Shortcut  []bool    `yaml:"shortcut"`
}

// dimensions are what there are choices of, in the order in which they are set: what a
// block may have depends on its kind.
var dimensions = []struct {
	name    string
	options func(Choices) int
	set     func(*Stage, Choices, int)
}{
	{"block", func(c Choices) int { return len(c.Block) }, func(s *Stage, c Choices, i int) { s.Block = c.Block[i] }},
	{"kernel", func(c Choices) int { return len(c.Kernel) }, func(s *Stage, c Choices, i int) { s.Kernel = c.Kernel[i] }},
	{"expansion", func(c Choices) int { return len(c.Expansion) }, func(s *Stage, c Choices, i int) { s.Expansion = c.Expansion[i] }},
	{"se-ratio", func(c Choices) int { return len(c.SERatio) }, func(s *Stage, c Choices, i int) { s.SERatio = c.SERatio[i] }},
	{"channels", func(c Choices) int { return len(c.Channels) }, func(s *Stage, c Choices, i int) { s.Channels = roundChannels(s.Channels, c.Channels[i]) }},
	{"layers", func(c Choices) int { return len(c.Layers) }, func(s *Stage, c Choices, i int) { s.Repeats = max(1, s.Repeats+c.Layers[i]) }},
	{"shortcut", func(c Choices) int { return len(c.Shortcut) }, func(s *Stage, c Choices, i int) { s.NoShortcut = !c.Shortcut[i] }},
}

// Genes say which of the choices a network has: for each stage of the table and each
// dimension the number of an option, from 0.
type Genes []int

// of are the rows that count for a stage, by dimension; nil where the table counts.
func (s Space) of(stage, dimension int) (row *Choices) {
	for i, c := range s.Choices {
		if (c.Stage == 0 || c.Stage == stage+1) && dimensions[dimension].options(c) > 0 {
			row = &s.Choices[i]
		}
	}
	return row
}

// options is how many there are of each gene, 1 where there is no choice.
func (s Space) options() []int {
	all := make([]int, 0, len(s.Table.Stages)*len(dimensions))
	for stage := range s.Table.Stages {
		for d, dimension := range dimensions {
			n := 1
			if row := s.of(stage, d); row != nil {
				n = dimension.options(*row)
			}
			all = append(all, n)
		}
	}
	return all
}

// Size is how many combinations of choices there are. Some are the same network.
func (s Space) Size() float64 {
	size := 1.
	for _, n := range s.options() {
		size *= float64(n)
	}
	return size
}

// Validate reports a choice that no network can have, and a space without choices.
func (s Space) Validate() error {
	if err := s.Table.Validate(); err != nil {
		return err
	}
	for i, c := range s.Choices {
		if c.Stage < 0 || c.Stage > len(s.Table.Stages) {
			return fmt.Errorf("scale: choices %d: stage: %d is outside 0 to %d", i+1, c.Stage, len(s.Table.Stages))
		}
		if i := slices.IndexFunc(c.Channels, func(v float64) bool { return !(v > 0 && v <= maxMultiplier) }); i >= 0 {
			return fmt.Errorf("scale: choices %d: channels: %v is outside (0, %d]", i+1, c.Channels[i], maxMultiplier)
		}
	}
	if s.Size() < 2 {
		return errors.New("scale: a search space without choices")
	}
	options := s.options()
	for stage := range s.Table.Stages {
		if err := s.check(stage, options[stage*len(dimensions):][:len(dimensions)]); err != nil {
			return fmt.Errorf("scale: choices of stage %d: %w", stage+1, err)
		}
	}
	return nil
}

// check reports the first combination of a stage's choices that no network can have.
func (s Space) check(stage int, options []int) error {
	all := 1
	for _, n := range options {
		all *= n
	}
	g := make(Genes, len(dimensions))
	for number := range all {
		for d, n := range options {
			g[d], number = number%n, number/n
		}
		row := s.stage(stage, g)
		if err := errors.Join(row.check()...); err != nil {
			return err
		}
	}
	return nil
}

// stage is a row of the table with the choices of its genes.
func (s Space) stage(stage int, g Genes) Stage {
	row := s.Table.Stages[stage]
	for d, dimension := range dimensions {
		if choices := s.of(stage, d); choices != nil {
			dimension.set(&row, *choices, g[d])
		}
	}
	row.conform()
	return row
}

// Baseline is the table with the choices of genes.
func (s Space) Baseline(g Genes) (Baseline, error) {
	options := s.options()
	if len(g) != len(options) {
		return Baseline{}, fmt.Errorf("scale: %d genes in a space of %d", len(g), len(options))
	}
	for i, option := range g {
		if option < 0 || option >= options[i] {
			return Baseline{}, fmt.Errorf("scale: gene %d is %d in a space with %d options of it", i, option, options[i])
		}
	}
	b := s.Table
	b.Stages = slices.Clone(b.Stages)
	for i := range b.Stages {
		b.Stages[i] = s.stage(i, g[i*len(dimensions):][:len(dimensions)])
	}
	return b, b.Validate()
}

// conform removes what a stage's kind of block does not have.
func (s *Stage) conform() {
	kind := kindOf(s.Block)
	if kind.expansion == noExpansion {
		s.Expansion = 1
	}
	if !kind.squeezes {
		s.SERatio = 0
	}
	if kind.shortcut != whereAlike {
		s.NoShortcut = false
	}
	if kind.expansion != multiplies || s.Expansion == 1 {
		s.ExpandFrom = 0
	}
}

// Random are genes of which each is drawn for itself.
func (s Space) Random(rng *rand.Rand) Genes {
	options := s.options()
	g := make(Genes, len(options))
	for i, n := range options {
		g[i] = rng.IntN(n)
	}
	return g
}

// Mutate changes one gene to another option. Each gene with options is as likely.
func (s Space) Mutate(g Genes, rng *rand.Rand) Genes {
	options := s.options()
	var free []int
	for i, n := range options {
		if n > 1 {
			free = append(free, i)
		}
	}
	g = slices.Clone(g)
	i := free[rng.IntN(len(free))]
	g[i] = (g[i] + 1 + rng.IntN(options[i]-1)) % options[i]
	return g
}
