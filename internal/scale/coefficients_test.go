package scale

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// The formula is not the published table: phi 1 has b2's channels and repeats,
// at 258 pixels where b2 has 260.
func TestPhiOne(t *testing.T) {
	b, err := LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	a, err := b.Compound(Paper)
	if err != nil {
		t.Fatal(err)
	}
	b2, err := Variant("b2")
	if err != nil {
		t.Fatal(err)
	}
	if a.Resolution != 258 || !slices.Equal(channels(a), channels(b2)) || !slices.Equal(repeats(a), repeats(b2)) {
		t.Errorf("phi 1 is %d px, channels %v, repeats %v", a.Resolution, channels(a), repeats(a))
	}
}

func TestPhiZeroIsTheBaseline(t *testing.T) {
	b, err := LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	c := Paper
	c.Phi = 0
	a, err := b.Compound(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := Count(a).Params; got != 5_288_548 || a.Resolution != 224 {
		t.Errorf("phi 0 has %d params at %d px", got, a.Resolution)
	}
}

func TestProduct(t *testing.T) {
	if got, want := Paper.Product(), 1.2*1.21*1.3225; math.Abs(got-want) > 1e-12 {
		t.Errorf("product %v, want %v", got, want)
	}
}

func TestCoefficientsValidate(t *testing.T) {
	for _, c := range []struct {
		c    Coefficients
		want string // in the error; "" for none
	}{
		{Paper, ""},
		{Coefficients{-1, 1.2, 1.1, 1.15}, ""},
		{Coefficients{math.NaN(), 1.2, 1.1, 1.15}, "phi: NaN"},
		{Coefficients{1, 0.5, 1.1, 1.15}, "alpha: 0.5"},
		{Coefficients{1, 1.2, math.Inf(1), 1.15}, "beta: +Inf"},
		{Coefficients{1, 1.2, 1.1, 0}, "gamma: 0"},
	} {
		if err := c.c.Validate(); !matches(err, c.want) {
			t.Errorf("%+v: %v, want %q", c.c, err, c.want)
		}
	}
}

func matches(err error, want string) bool {
	if want == "" || err == nil {
		return want == "" && err == nil
	}
	return strings.Contains(err.Error(), want)
}

func TestFitAndNearest(t *testing.T) {
	for name, want := range map[string]float64{"b0": 0, "b1": 0.44, "b2": 1.02, "b7": 6.63, "lite2": 1.02} {
		p, err := LookupVariant(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := Paper.Fit(p).Phi; math.Abs(got-want) > 0.005 {
			t.Errorf("%s is nearest to phi %.3f, want %.2f", name, got, want)
		}
	}
	if p, ok := Paper.Nearest("efficientnet-b0"); !ok || p.Name != "b2" {
		t.Errorf("phi 1 is nearest to %q, want b2", p.Name)
	}
	if p, ok := Paper.Nearest("mine"); ok {
		t.Errorf("a baseline of one's own is nearest to %q", p.Name)
	}
	if got := (Coefficients{1, 1, 1, 1}).Fit(published[3]).Phi; got != 0 {
		t.Errorf("without scaling, phi %v, want 0", got)
	}
}

func tiny() Baseline {
	return Baseline{
		Name: "tiny", Resolution: 32, Stem: 8, Head: 64, Activation: ReLU6,
		Stages: []Stage{
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 8, Repeats: 1},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 4, Channels: 16, Repeats: 2, SERatio: 0.5},
		},
	}
}

// Counted by hand: channels and repeats double, the input stays at 32 px.
func TestScaleOwnBaseline(t *testing.T) {
	b := tiny()
	a, err := b.Scale(2, 2, 32)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := channels(a), []int{16, 16, 32, 128}; !slices.Equal(got, want) {
		t.Errorf("channels %v, want %v", got, want)
	}
	if got, want := repeats(a), []int{2, 4}; !slices.Equal(got, want) {
		t.Errorf("repeats %v, want %v", got, want)
	}
	if got := repeats(b.unscaled()); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("scaling changed the baseline: repeats %v", got)
	}
	rows := Count(a).Rows
	// Stem: 3*3*3*16 weights on 16x16 pixels.
	if got, want := rows[0], (Row{1, "Conv3x3", 32, 16, 1, 432 + 32, 432 * 256, 16 * 256}); got != want {
		t.Errorf("stem %+v, want %+v", got, want)
	}
	// A block: 3*3*16 depthwise, 16*16 projection.
	if got, want := rows[1], (Row{2, "MBConv1, k3x3", 16, 16, 2, 2 * (144 + 32 + 256 + 32), 2 * (144 + 256) * 256, 4 * 16 * 256}); got != want {
		t.Errorf("stage 1 %+v, want %+v", got, want)
	}

	b.FixedEnds = true
	if a, err = b.Scale(2, 2, 32); err != nil {
		t.Fatal(err)
	}
	if a.Stem != 8 || a.Head != 64 || !slices.Equal(repeats(a), []int{1, 2}) || a.Stages[1].Channels != 32 {
		t.Errorf("fixed ends: channels %v, repeats %v", channels(a), repeats(a))
	}
}

func TestBadBaselines(t *testing.T) {
	for _, c := range []struct {
		want   string
		damage func(*Baseline)
	}{
		{"resolution: 0", func(b *Baseline) { b.Resolution = 0 }},
		{"stem: -8", func(b *Baseline) { b.Stem = -8 }},
		{"head: -1", func(b *Baseline) { b.Head = -1 }},
		{"stem-kernel: 4 is even", func(b *Baseline) { b.StemKernel = 4 }},
		{"stem-kernel: -3", func(b *Baseline) { b.StemKernel = -3 }},
		{`stage 1: expansion: 2 in a block "separable"`, func(b *Baseline) { b.Stages[0].Block, b.Stages[0].Expansion = Separable, 2 }},
		{`stage 2: se-ratio: 0.5 in a block "bottleneck"`, func(b *Baseline) { b.Stages[1].Block = Bottleneck }},
		{"stage 2: channels: 16 are not a multiple of the expansion, 3", func(b *Baseline) {
			b.Stages[1] = Stage{Block: Bottleneck, Kernel: 3, Stride: 1, Expansion: 3, Channels: 16, Repeats: 1}
		}},
		{`stage 2: no-shortcut: a block "bottleneck" always adds its input`, func(b *Baseline) {
			b.Stages[1] = Stage{Block: Bottleneck, Kernel: 3, Stride: 1, Expansion: 4, Channels: 16, Repeats: 1, NoShortcut: true}
		}},
		{"stage 2: expansion: 0", func(b *Baseline) { b.Stages[1].Block, b.Stages[1].Expansion = Bottleneck, 0 }},
		{"number of stages: 0", func(b *Baseline) { b.Stages = nil }},
		{`activation: "tanh" is unknown (have [swish relu relu6 hard-swish])`, func(b *Baseline) { b.Activation = "tanh" }},
		{`stage 1: block: "resnet" is unknown`, func(b *Baseline) { b.Stages[0].Block = "resnet" }},
		{"stage 2: kernel: 4 is even", func(b *Baseline) { b.Stages[1].Kernel = 4 }},
		{"stage 2: stride: 0", func(b *Baseline) { b.Stages[1].Stride = 0 }},
		{"stage 2: expansion: 0", func(b *Baseline) { b.Stages[1].Expansion = 0 }},
		{"stage 2: channels: 1000000", func(b *Baseline) { b.Stages[1].Channels = 1e6 }},
		{"stage 2: repeats: 0", func(b *Baseline) { b.Stages[1].Repeats = 0 }},
		{"stage 2: se-ratio: NaN", func(b *Baseline) { b.Stages[1].SERatio = math.NaN() }},
	} {
		b := tiny()
		c.damage(&b)
		if err := b.Validate(); !matches(err, c.want) {
			t.Errorf("Validate: %v, want %q", err, c.want)
		}
		if _, err := b.Scale(1, 1, 32); !matches(err, c.want) {
			t.Errorf("Scale: %v, want %q", err, c.want)
		}
	}
}

func TestBadScales(t *testing.T) {
	for _, c := range []struct {
		width, depth float64
		resolution   int
		want         string
	}{
		{0, 1, 32, "width: 0"},
		{math.NaN(), 1, 32, "width: NaN"},
		{1, math.Inf(1), 32, "depth: +Inf"},
		{1, -1, 32, "depth: -1"},
		{1, 1, 0, "resolution: 0"},
		{1, 1, 1 << 20, "resolution: 1048576"},
	} {
		if _, err := tiny().Scale(c.width, c.depth, c.resolution); !matches(err, c.want) {
			t.Errorf("Scale(%v, %v, %d): %v, want %q", c.width, c.depth, c.resolution, err, c.want)
		}
	}
}
