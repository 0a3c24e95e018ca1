package scale

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// released is what the reference implementations have at 1000 classes: params
// exact (torchvision for b0-b7, timm for the rest), multiply-adds to the digits
// shown, in millions.
var released = []struct {
	name     string
	params   int64
	macs     string
	channels []int // stem, stages, head
	repeats  []int
}{
	{"b0", 5_288_548, "385.8", []int{32, 16, 24, 40, 80, 112, 192, 320, 1280}, []int{1, 2, 2, 3, 3, 4, 1}},
	{"b1", 7_794_184, "686.8", []int{32, 16, 24, 40, 80, 112, 192, 320, 1280}, []int{2, 3, 3, 4, 4, 5, 2}},
	{"b2", 9_109_994, "993.6", []int{32, 16, 24, 48, 88, 120, 208, 352, 1408}, []int{2, 3, 3, 4, 4, 5, 2}},
	{"b3", 12_233_232, "1827", []int{40, 24, 32, 48, 96, 136, 232, 384, 1536}, []int{2, 3, 3, 5, 5, 6, 2}},
	{"b4", 19_341_616, "4394", []int{48, 24, 32, 56, 112, 160, 272, 448, 1792}, []int{2, 4, 4, 6, 6, 8, 2}},
	{"b5", 30_389_784, "1027e1", []int{48, 24, 40, 64, 128, 176, 304, 512, 2048}, []int{3, 5, 5, 7, 7, 9, 3}},
	{"b6", 43_040_704, "1907e1", []int{56, 32, 40, 72, 144, 200, 344, 576, 2304}, []int{3, 6, 6, 8, 8, 11, 3}},
	{"b7", 66_347_960, "3775e1", []int{64, 32, 48, 80, 160, 224, 384, 640, 2560}, []int{4, 7, 7, 10, 10, 13, 4}},
	{"b8", 87_413_142, "6260e1", []int{72, 32, 56, 88, 176, 248, 424, 704, 2816}, []int{4, 8, 8, 11, 11, 15, 4}},
	{"l2", 480_309_308, "4757e2", []int{136, 72, 104, 176, 344, 480, 824, 1376, 5504}, []int{6, 11, 11, 16, 16, 22, 6}},
	{"lite0", 4_652_008, "", []int{32, 16, 24, 40, 80, 112, 192, 320, 1280}, []int{1, 2, 2, 3, 3, 4, 1}},
	{"lite1", 5_416_680, "", []int{32, 16, 24, 40, 80, 112, 192, 320, 1280}, []int{1, 3, 3, 4, 4, 5, 1}},
	{"lite2", 6_092_072, "", []int{32, 16, 24, 48, 88, 120, 208, 352, 1280}, []int{1, 3, 3, 4, 4, 5, 1}},
	{"lite3", 8_197_096, "", []int{32, 24, 32, 48, 96, 136, 232, 384, 1280}, []int{1, 3, 3, 5, 5, 6, 1}},
	{"lite4", 13_006_568, "", []int{32, 24, 32, 56, 112, 160, 272, 448, 1280}, []int{1, 4, 4, 6, 6, 8, 1}},
	{"v2-s", 21_458_488, "8366", []int{24, 24, 48, 64, 128, 160, 256, 1280}, []int{2, 4, 4, 6, 9, 15}}, // torchvision's num_params and _ops
	{"v2-m", 54_139_356, "2458e1", []int{24, 24, 48, 80, 160, 176, 304, 512, 1280}, []int{3, 5, 5, 7, 14, 18, 5}},
	{"v2-l", 118_515_272, "5608e1", []int{32, 32, 64, 96, 192, 224, 384, 640, 1280}, []int{4, 7, 7, 10, 19, 25, 7}},
}

// Widths, repeats and multiply-adds of EfficientNets; TestTensorsAreTimms has all others.
func TestReleasedVariants(t *testing.T) {
	for _, want := range released {
		t.Run(want.name, func(t *testing.T) {
			a, err := Variant(want.name)
			if err != nil {
				t.Fatal(err)
			}
			cost := Count(a)
			if cost.Params != want.params {
				t.Errorf("params %d, want %d", cost.Params, want.params)
			}
			if want.macs != "" && !sameDigits(float64(cost.MACs)/1e6, want.macs) {
				t.Errorf("%d multiply-adds, want %s million", cost.MACs, want.macs)
			}
			if got := channels(a); !slices.Equal(got, want.channels) {
				t.Errorf("channels %v, want %v", got, want.channels)
			}
			if got := repeats(a); !slices.Equal(got, want.repeats) {
				t.Errorf("repeats %v, want %v", got, want.repeats)
			}
		})
	}
}

// Activations as fvcore counts them in timm's networks (tools/golden/activations.py).
func TestActivations(t *testing.T) {
	for name, want := range map[string]int64{
		"b0": 6748036, "b1": 10884328, "b4": 49489032, "lite0": 6738696, "v2-s": 35766624, "mobilenetv3-large": 4407168, "mnasnet-a1": 6227062,
	} {
		a, err := Variant(name)
		if err != nil {
			t.Fatal(err)
		}
		cost, sum := Count(a), int64(0)
		for _, r := range cost.Rows {
			sum += r.Activations
		}
		if cost.Activations != want || sum != want {
			t.Errorf("%s: %d activations, %d in its rows, want %d", name, cost.Activations, sum, want)
		}
	}
}

// sameDigits reports whether v rounds to want's four digits.
func sameDigits(v float64, want string) bool {
	var w float64
	fmt.Sscan(want, &w)
	unit := math.Pow(10, math.Floor(math.Log10(w))-3)
	return math.Abs(v-w) <= unit/2
}

func channels(a Arch) []int {
	c := []int{a.Stem}
	for _, s := range a.Stages {
		c = append(c, s.Channels)
	}
	return append(c, a.Features())
}

func repeats(a Arch) []int {
	var r []int
	for _, s := range a.Stages {
		r = append(r, s.Repeats)
	}
	return r
}

func TestPublishedTable(t *testing.T) {
	type row struct {
		resolution int
		dropout    float64
	}
	want := map[string]row{
		"b0": {224, .2}, "b1": {240, .2}, "b2": {260, .3}, "b3": {300, .3}, "b4": {380, .4}, "b5": {456, .4},
		"b6": {528, .5}, "b7": {600, .5}, "b8": {672, .5}, "l2": {800, .5},
		"lite0": {224, .2}, "lite1": {240, .2}, "lite2": {260, .3}, "lite3": {280, .3}, "lite4": {300, .3},
		"v2-s": {384, .2}, "v2-m": {480, .3}, "v2-l": {480, .4},
		"v2-b0": {224, .2}, "v2-b1": {240, .2}, "v2-b2": {260, .3}, "v2-b3": {300, .3},
		"mnasnet-a1": {224, .2}, "mnasnet-b1": {224, .2}, "es": {224, .2}, "em": {240, .2}, "el": {300, .3},
		"tinynet-a": {192, .2}, "tinynet-b": {188, .2}, "tinynet-c": {184, .2}, "tinynet-d": {152, .2}, "tinynet-e": {106, .2},
		"mobilenetv3-large": {224, .2}, "mobilenetv3-small": {224, .2},
	}
	for _, p := range Variants() {
		a, err := p.Arch()
		if err != nil {
			t.Fatal(err)
		}
		if got := (row{a.Resolution, a.Dropout}); got != want[p.Name] {
			t.Errorf("%s: resolution and dropout %v, want %v", p.Name, got, want[p.Name])
		}
		lite := strings.HasPrefix(p.Name, "lite")
		if got := a.Activation == ReLU6 && a.Stages[1].SERatio == 0; got != lite {
			t.Errorf("%s: ReLU6 without squeeze-and-excitation: %v, want %v", p.Name, got, lite)
		}
		if a.Padding != Same || a.BNEps != 1e-3 || a.BNMomentum != 0.01 || a.StochasticDepth != 0.2 || a.Classes != 1000 {
			t.Errorf("%s: %+v is not TensorFlow's convention", p.Name, a)
		}
	}
}

func TestUnknownNamesListTheKnown(t *testing.T) {
	if _, err := Variant("b9"); err == nil || !strings.Contains(err.Error(), "b8, l2, lite0") {
		t.Errorf("variant b9: %v", err)
	}
	if _, err := LookupBaseline("resnet"); err == nil || !strings.Contains(err.Error(), "efficientnet-lite0") {
		t.Errorf("baseline resnet: %v", err)
	}
}

func TestBlocksOfB0(t *testing.T) {
	a, err := Variant("b0")
	if err != nil {
		t.Fatal(err)
	}
	blocks := a.Blocks()
	if len(blocks) != 16 {
		t.Fatalf("%d blocks, want 16", len(blocks))
	}
	for i, want := range map[int]Block{
		0:  {Stage: 0, Index: 0, Global: 0, Kind: MBConv, Kernel: 3, Stride: 1, In: 32, Out: 16, Inner: 32, Squeeze: 8, Survival: 1},
		1:  {Stage: 1, Index: 0, Global: 1, Kind: MBConv, Kernel: 3, Stride: 2, In: 16, Out: 24, Inner: 96, Expand: true, Squeeze: 4, Survival: 1 - 0.2/16},
		2:  {Stage: 1, Index: 1, Global: 2, Kind: MBConv, Kernel: 3, Stride: 1, In: 24, Out: 24, Inner: 144, Expand: true, Squeeze: 6, Residual: true, Survival: 1 - 0.4/16},
		8:  {Stage: 4, Index: 0, Global: 8, Kind: MBConv, Kernel: 5, Stride: 1, In: 80, Out: 112, Inner: 480, Expand: true, Squeeze: 20, Survival: 0.9},
		15: {Stage: 6, Index: 0, Global: 15, Kind: MBConv, Kernel: 3, Stride: 1, In: 192, Out: 320, Inner: 1152, Expand: true, Squeeze: 48, Survival: 1 - 3./16},
	} {
		got := blocks[i]
		if math.Abs(got.Survival-want.Survival) > 1e-15 {
			t.Errorf("block %d: survival %v, want %v", i, got.Survival, want.Survival)
		}
		got.Survival, want.Row, want.Activation, want.SE = want.Survival, want.Stage, Swish, SE{Activation: Swish, Gate: Sigmoid}
		if got != want {
			t.Errorf("block %d:\n got %+v\nwant %+v", i, got, want)
		}
	}
}

// A deepened first stage keeps an expansion of 1, and its later blocks add.
func TestBlocksOfB1FirstStage(t *testing.T) {
	a, err := Variant("b1")
	if err != nil {
		t.Fatal(err)
	}
	second := a.Blocks()[1]
	if second.Expand || !second.Residual || second.Squeeze != 4 || second.In != 16 {
		t.Errorf("blocks.0.1 is %+v", second)
	}
}

func TestSqueeze(t *testing.T) {
	for _, c := range []struct {
		ratio     float64
		in, inner int
		rule      SE
		want      int
	}{
		{0, 32, 64, SE{}, 0}, {0.25, 2, 8, SE{}, 1}, {0.25, 30, 60, SE{}, 7}, {1, 8, 8, SE{}, 8},
		{0.25, 16, 16, SE{OfInner: true}, 8}, {0.25, 40, 120, SE{OfInner: true}, 32}, {0.25, 48, 288, SE{OfInner: true}, 72},
	} {
		b := Block{In: c.in, Inner: c.inner}
		if b.squeezeExcite(c.ratio, c.rule); b.Squeeze != c.want {
			t.Errorf("%v of %d and %d channels, %+v: %d, want %d", c.ratio, c.in, c.inner, c.rule, b.Squeeze, c.want)
		}
	}
}

func TestRoundChannels(t *testing.T) {
	for _, c := range []struct {
		channels int
		width    float64
		want     int
	}{
		{32, 1, 32}, {32, 1.1, 32}, {40, 1.1, 48}, {16, 1.4, 24},
		{16, 0.1, 8},  // never under 8
		{16, 0.7, 16}, // 11.2 rounds to 8, over a tenth less
		{20, 0.6, 16}, // a half rounds up
	} {
		if got := roundChannels(c.channels, c.width); got != c.want {
			t.Errorf("roundChannels(%d, %v) = %d, want %d", c.channels, c.width, got, c.want)
		}
	}
}

// The paper's walk down the table: input resolution by row, 224 to 7.
func TestCountRows(t *testing.T) {
	a, err := Variant("b0")
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		block                         string
		resolution, channels, repeats int
	}{
		{"Conv3x3", 224, 32, 1}, {"MBConv1, k3x3", 112, 16, 1}, {"MBConv6, k3x3", 112, 24, 2},
		{"MBConv6, k5x5", 56, 40, 2}, {"MBConv6, k3x3", 28, 80, 3}, {"MBConv6, k5x5", 14, 112, 3},
		{"MBConv6, k5x5", 14, 192, 4}, {"MBConv6, k3x3", 7, 320, 1}, {"Conv1x1 & Pooling & FC", 7, 1280, 1},
	}
	cost := Count(a)
	if len(cost.Rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(cost.Rows), len(want))
	}
	var params, macs int64
	for i, r := range cost.Rows {
		w := want[i]
		if r.Stage != i+1 || r.Block != w.block || r.Resolution != w.resolution || r.Channels != w.channels || r.Repeats != w.repeats {
			t.Errorf("row %d is %+v, want %+v", i+1, r, w)
		}
		params += r.Params
		macs += r.MACs
	}
	if params != cost.Params || macs != cost.MACs {
		t.Errorf("rows sum to %d params and %d multiply-adds, the totals are %d and %d", params, macs, cost.Params, cost.MACs)
	}
}

// Odd sides: the last map of every variant, whichever the padding.
func TestLastMap(t *testing.T) {
	want := map[string]int{"b0": 7, "b1": 8, "b2": 9, "b3": 10, "b4": 12, "b5": 15, "b6": 17, "b7": 19, "b8": 21, "l2": 25}
	for name, side := range want {
		a, err := Variant(name)
		if err != nil {
			t.Fatal(err)
		}
		rows := Count(a).Rows
		if got := rows[len(rows)-1].Resolution; got != side {
			t.Errorf("%s: last map %d, want %d", name, got, side)
		}
	}
}

func TestVariantOf(t *testing.T) {
	for _, v := range Variants() {
		a, err := v.Arch()
		if err != nil {
			t.Fatal(err)
		}
		a.Name, a.Classes, a.Resolution, a.Padding, a.BNEps = "mine", 7, 64, Symmetric, 1e-5
		if name, ok := VariantOf(a); name != v.Name || !ok {
			t.Errorf("%s is named %q", v.Name, name)
		}
		a.Stem++
		if name, ok := VariantOf(a); ok {
			t.Errorf("another network is named %s", name)
		}
	}
}
