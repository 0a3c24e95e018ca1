package scale

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// table1 is the paper's table 1, without squeeze-and-excitation.
var table1 = []Stage{
	{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 16, Repeats: 1},
	{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 24, Repeats: 2},
	{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 6, Channels: 40, Repeats: 2},
	{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 80, Repeats: 3},
	{Block: MBConv, Kernel: 5, Stride: 1, Expansion: 6, Channels: 112, Repeats: 3},
	{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 6, Channels: 192, Repeats: 4},
	{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 320, Repeats: 1},
}

var (
	efficientNetB0 = Baseline{
		Name: "efficientnet-b0", Resolution: 224,
		Stem: 32, Stages: withSE(table1, 0.25), Head: 1280, Activation: Swish,
	}
	efficientNetLite0 = Baseline{
		Name: "efficientnet-lite0", Resolution: 224,
		Stem: 32, Stages: table1, Head: 1280, Activation: ReLU6, FixedEnds: true,
	}
)

func withSE(stages []Stage, ratio float64) []Stage {
	stages = slices.Clone(stages)
	for i := range stages {
		stages[i].SERatio = ratio
	}
	return stages
}

// baselines are those that have a name.
var baselines = []Baseline{
	efficientNetB0, efficientNetLite0, efficientNetV2S, efficientNetV2M, efficientNetV2L,
	mobileNetV1, mobileNetV2, resNet50, mnasNetA1, mnasNetB1, edgeTPU, tinyNet, efficientNetV2B0,
	mobileNetV3Large, mobileNetV3Small,
}

// BaselineNames lists the baselines that have a name.
func BaselineNames() []string {
	names := make([]string, len(baselines))
	for i, b := range baselines {
		names[i] = b.Name
	}
	return names
}

// LookupBaseline finds a baseline by its name.
func LookupBaseline(name string) (Baseline, error) {
	return lookup("baseline", baselines, func(b Baseline) string { return b.Name }, name)
}

// Published is one row of the released models' table. The coefficients were
// rounded by hand: no compound coefficient gives them exactly.
type Published struct {
	Name         string
	Baseline     Baseline
	Width, Depth float64
	Resolution   int     // side of the square input, pixels
	Dropout      float64 // before the classifier
}

// published is efficientnet_params of efficientnet_builder.py and
// efficientnet_lite_params of lite/efficientnet_lite_builder.py.
var published = []Published{
	{"b0", efficientNetB0, 1.0, 1.0, 224, 0.2},
	{"b1", efficientNetB0, 1.0, 1.1, 240, 0.2},
	{"b2", efficientNetB0, 1.1, 1.2, 260, 0.3},
	{"b3", efficientNetB0, 1.2, 1.4, 300, 0.3},
	{"b4", efficientNetB0, 1.4, 1.8, 380, 0.4},
	{"b5", efficientNetB0, 1.6, 2.2, 456, 0.4},
	{"b6", efficientNetB0, 1.8, 2.6, 528, 0.5},
	{"b7", efficientNetB0, 2.0, 3.1, 600, 0.5},
	{"b8", efficientNetB0, 2.2, 3.6, 672, 0.5},
	{"l2", efficientNetB0, 4.3, 5.3, 800, 0.5},
	{"lite0", efficientNetLite0, 1.0, 1.0, 224, 0.2},
	{"lite1", efficientNetLite0, 1.0, 1.1, 240, 0.2},
	{"lite2", efficientNetLite0, 1.1, 1.2, 260, 0.3},
	{"lite3", efficientNetLite0, 1.2, 1.4, 280, 0.3},
	{"lite4", efficientNetLite0, 1.4, 1.8, 300, 0.3},
	// Dropout as in effnetv2_configs.py.
	{"v2-s", efficientNetV2S, 1, 1, 384, 0.2},
	{"v2-m", efficientNetV2M, 1, 1, 480, 0.3},
	{"v2-l", efficientNetV2L, 1, 1, 480, 0.4},
	// The rows of timm.models.efficientnet; dropout as in the papers' code.
	{"v2-b0", efficientNetV2B0, 1, 1, 224, 0.2},
	{"v2-b1", efficientNetV2B0, 1, 1.1, 240, 0.2},
	{"v2-b2", efficientNetV2B0, 1.1, 1.2, 260, 0.3},
	{"v2-b3", efficientNetV2B0, 1.2, 1.4, 300, 0.3},
	{"mnasnet-a1", mnasNetA1, 1, 1, 224, 0.2},
	{"mnasnet-b1", mnasNetB1, 1, 1, 224, 0.2},
	{"es", edgeTPU, 1, 1, 224, 0.2},
	{"em", edgeTPU, 1, 1.1, 240, 0.2},
	{"el", edgeTPU, 1.2, 1.4, 300, 0.3},
	{"tinynet-a", tinyNet, 1, 1.2, 192, 0.2},
	{"tinynet-b", tinyNet, 0.75, 1.1, 188, 0.2},
	{"tinynet-c", tinyNet, 0.54, 0.85, 184, 0.2},
	{"tinynet-d", tinyNet, 0.54, 0.695, 152, 0.2},
	{"tinynet-e", tinyNet, 0.51, 0.6, 106, 0.2},
	{"mobilenetv3-large", mobileNetV3Large, 1, 1, 224, 0.2},
	{"mobilenetv3-small", mobileNetV3Small, 1, 1, 224, 0.2},
}

// Variants lists the published variants, smallest first in each family.
func Variants() []Published { return slices.Clone(published) }

// VariantNames lists them by name.
func VariantNames() []string {
	names := make([]string, len(published))
	for i, p := range published {
		names[i] = p.Name
	}
	return names
}

// LookupVariant finds a published variant's coefficients by its name.
func LookupVariant(name string) (Published, error) {
	return lookup("variant", published, func(p Published) string { return p.Name }, name)
}

// Variant is the network of a published variant: b0 to b8, l2, lite0 to lite4, v2-s to v2-l.
func Variant(name string) (Arch, error) {
	p, err := LookupVariant(name)
	if err != nil {
		return Arch{}, err
	}
	return p.Arch()
}

// Arch is the variant's network for ImageNet's 1000 classes.
func (p Published) Arch() (Arch, error) {
	a, err := p.Baseline.Scale(p.Width, p.Depth, p.Resolution)
	if err != nil {
		return Arch{}, err
	}
	a.Name, a.Dropout = p.Name, p.Dropout
	return a, nil
}

func lookup[T any](kind string, table []T, nameOf func(T) string, name string) (T, error) {
	names := make([]string, len(table))
	for i, row := range table {
		names[i] = nameOf(row)
		if names[i] == name {
			return row, nil
		}
	}
	var zero T
	return zero, fmt.Errorf("scale: %s: %q is unknown (have %s)", kind, name, strings.Join(names, ", "))
}

// VariantOf names the published variant that a network's layers are those of. What is not
// in its layers may differ: the resolution, the classes, padding and what only training
// reads.
func VariantOf(a Arch) (name string, ok bool) {
	layers := func(a Arch) Arch {
		a.Name, a.Resolution, a.Classes, a.Padding, a.BNEps, a.BNMomentum = "", 0, 0, "", 0, 0
		a.Dropout, a.StochasticDepth, a.Width, a.Depth = 0, 0, 0, 0
		return a
	}
	for _, p := range published {
		if b, err := p.Arch(); err == nil && reflect.DeepEqual(layers(a), layers(b)) {
			return p.Name, true
		}
	}
	return "", false
}
