package scale

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// mnasnet is the space of configs/spaces/mnasnet.yaml.
func mnasnet() Space {
	return Space{Table: mobileNetV2, Choices: []Choices{
		{
			Block: []string{MBConv, Separable, Fused}, Kernel: []int{3, 5}, Expansion: []float64{3, 6}, SERatio: []float64{0, 0.25},
			Channels: []float64{0.75, 1, 1.25}, Layers: []int{-1, 0, 1}, Shortcut: []bool{true, false},
		},
		{Stage: 1, Expansion: []float64{1}},
	}}
}

func TestSpaceSize(t *testing.T) {
	// Each stage has 3 blocks, 3 numbers of channels and of layers, and kernel,
	// squeeze-and-excitation and shortcut of two kinds; all but the first two expansions.
	want := 1.
	for stage := range 7 {
		want *= 3 * 2 * 2 * 3 * 3 * 2
		if stage > 0 {
			want *= 2
		}
	}
	if got := mnasnet().Size(); got != want {
		t.Errorf("%g combinations, want %g", got, want)
	}
	if err := mnasnet().Validate(); err != nil {
		t.Error(err)
	}
}

// Every network of the space is one that can be built, and what it has is from the choices.
func TestSpaceHasOnlyNetworks(t *testing.T) {
	s, rng := mnasnet(), rand.New(rand.NewPCG(1, 1))
	seen := map[string]map[string]bool{}
	for range 2000 {
		b, err := s.Baseline(s.Random(rng))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Scale(1, 1, 224); err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsSeq(b.unscaled().BlockText()) {
			for part := range strings.SplitSeq(word, "_") {
				kind := strings.TrimRight(part, "0123456789.")
				if seen[kind] == nil {
					seen[kind] = map[string]bool{}
				}
				seen[kind][part] = true
			}
		}
	}
	for kind, want := range map[string]string{"ir": "ir", "er": "er", "ds": "ds", "noskip": "noskip", "k": "k3 k5", "e": "e1 e3 e6", "se": "se0.25", "s": "s1 s2",
		"r": "r1 r2 r3 r4 r5", "c": "c120 c16 c160 c200 c24 c240 c32 c320 c40 c400 c48 c64 c72 c80 c96"} {
		var got []string
		for part := range seen[kind] {
			got = append(got, part)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", kind, got, want)
		}
	}
}

// EfficientNet-B0's stages are in the space around its own table, and so is the table.
func TestSpaceHasItsTable(t *testing.T) {
	b0, err := LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	s := mnasnet()
	s.Table = b0
	g := make(Genes, len(s.options()))
	for stage := range b0.Stages {
		// mbconv, the table's kernel, expansion and ratio, all its channels, its layers, a shortcut
		kernel := slices.Index([]int{3, 5}, b0.Stages[stage].Kernel)
		expansion := max(0, slices.Index([]float64{3, 6}, b0.Stages[stage].Expansion))
		copy(g[stage*len(dimensions):], Genes{0, kernel, expansion, 1, 1, 1, 0})
	}
	b, err := s.Baseline(g)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.unscaled().Key(), b0.unscaled().Key(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// A mutation changes one gene that has other options, and each of them now and then.
func TestMutate(t *testing.T) {
	s, rng := mnasnet(), rand.New(rand.NewPCG(2, 2))
	options := s.options()
	changed := make([]int, len(options))
	parent := s.Random(rng)
	for range 6000 {
		child := s.Mutate(parent, rng)
		var at []int
		for i := range child {
			if child[i] != parent[i] {
				at = append(at, i)
			}
		}
		if len(at) != 1 || child[at[0]] >= options[at[0]] {
			t.Fatalf("from %v to %v", parent, child)
		}
		changed[at[0]]++
		parent = child
	}
	free := 0
	for _, n := range options {
		if n > 1 {
			free++
		}
	}
	for i, n := range changed {
		mean := 6000 / float64(free)
		if options[i] == 1 && n > 0 || options[i] > 1 && (float64(n) < 0.6*mean || float64(n) > 1.5*mean) {
			t.Errorf("gene %d of %d options changed %d times, want %.0f", i, options[i], n, mean)
		}
	}
}

func TestSpaceRefuses(t *testing.T) {
	for want, change := range map[string]func(*Space){
		"stage: 8 is outside 0 to 7":                          func(s *Space) { s.Choices[1].Stage = 8 },
		"channels: 0 is outside (0, 64]":                      func(s *Space) { s.Choices[0].Channels[1] = 0 },
		"without choices":                                     func(s *Space) { s.Choices = nil },
		`choices of stage 1: block: "mbcnov"`:                 func(s *Space) { s.Choices[0].Block[1] = "mbcnov" },
		"choices of stage 3: kernel: 4 is even":               func(s *Space) { s.Choices = append(s.Choices, Choices{Stage: 3, Kernel: []int{4}}) },
		"choices of stage 2: channels: 24 are not a multiple": func(s *Space) { s.Choices[0].Block[1] = Bottleneck; s.Choices[0].Expansion[0] = 5 },
		"choices of stage 1: se-ratio: 2":                     func(s *Space) { s.Choices[0].SERatio[0] = 2 },
	} {
		s := mnasnet()
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	s := mnasnet()
	for _, g := range []Genes{nil, make(Genes, 3), append(make(Genes, len(s.options())-1), 9), append(make(Genes, len(s.options())-1), -1)} {
		if _, err := s.Baseline(g); err == nil {
			t.Errorf("genes %v are a network", g)
		}
	}
}
