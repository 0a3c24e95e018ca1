package weights

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/checkpoint"
	"effnet/internal/scale"
	"effnet/internal/weights/names"
)

// Means and standard deviations, of pixels in 0 to 255.
var (
	imageNetMean  = [3]float64{123.675, 116.28, 103.53}
	imageNetStd   = [3]float64{58.395, 57.12, 57.375}
	inceptionMean = [3]float64{127.5, 127.5, 127.5} // timm's IMAGENET_INCEPTION_MEAN
)

// conditions are what tensors do not show: how a network pads and normalises and
// what its images look like.
type conditions struct {
	padding scale.Padding
	eps     float64
	prep    checkpoint.Preprocess
	because string // of padding and eps
	sure    bool
	prepBy  string // why prep
	prepOK  bool   // sure of prep
	meanBy  string // why its mean and std, where that is for another reason
	meanOK  bool
}

// describe makes the metadata of a network found in a file, and says why.
func describe(m *Imported, f *file, s *source, found *match, o Overrides) error {
	arch := found.arch
	k := conditionsOf(f, s.Convention, arch)
	if err := k.keras(f, o); err != nil {
		return err
	}
	if k.meanBy == "" {
		k.meanBy, k.meanOK = k.prepBy, k.prepOK
	}
	arch.Padding, arch.BNEps = k.padding, k.eps
	arch.Resolution = k.prep.Resolution
	m.Meta.Arch, m.Meta.Preprocess = arch, k.prep
	because, sure := m.classes(f, arch.Classes)
	p := k.prep
	m.Findings = []Finding{
		{"format", f.format, "by its content", true},
		{"names", s.Program, s.because(), true},
		{"variant", arch.Name, "by the names and shapes of its tensors", true},
		{"classes", strconv.Itoa(arch.Classes), because, sure},
		{"padding", string(k.padding), k.because, k.sure},
		{"bn-eps", fmt.Sprint(k.eps), k.because, k.sure},
		{"img-size", strconv.Itoa(p.Resolution), k.prepBy, k.prepOK},
		{"crop", p.Crop, k.prepBy, k.prepOK},
		{"crop-pct", fmt.Sprintf("%.4g", p.CropPct), k.prepBy, k.prepOK},
		{"interpolation", p.Interpolation, k.prepBy, k.prepOK},
		{"mean", fmt.Sprint(p.Mean), k.meanBy, k.meanOK},
		{"std", fmt.Sprint(p.Std), k.meanBy, k.meanOK},
	}
	if h := found.head; h.because != "" {
		m.Findings = append(m.Findings, Finding{"classifier", strings.TrimLeft(h.weight, "\x00"), h.because, true})
	}
	if other := cmp.Or(s.other, f.other); other != "" {
		averages := s.averages || f.averages
		m.Findings = append(m.Findings, Finding{averagesSetting, strconv.FormatBool(averages),
			fmt.Sprintf("the file also has %s, which --%s=%v uses", other, averagesSetting, !averages), true})
	}
	return nil
}

// averagesSetting is the flag that chooses between weights and their running averages.
const averagesSetting = "use-ema"

// classes names the classes of a network of n outputs: by the Hub's config.json where it
// names as many.
func (m *Imported) classes(f *file, n int) (because string, sure bool) {
	if h, err := readHub(hubPath(f.path)); err == nil && !m.Headless {
		if m.Meta.Classes, m.Meta.Labels = h.classes(); len(m.Meta.Classes) == n {
			return "named by config.json next to it", true
		}
	}
	m.Meta.Classes, m.Meta.Labels, because = classes(n)
	if m.Headless {
		return "the file has no classifier", true
	}
	return because, n == len(imageNet)
}

func conditionsOf(f *file, c names.Convention, arch scale.Arch) conditions {
	lite, second := arch.Activation == scale.ReLU6, strings.HasPrefix(arch.Name, "v2") && !strings.HasPrefix(arch.Name, "v2-b")
	k := conditions{padding: scale.Same, eps: 1e-3, because: "as " + c.Program + " has it", sure: true, prepBy: "as " + c.Program + " evaluates it", prepOK: true}
	k.prep = checkpoint.Preprocess{Resolution: arch.Resolution, Crop: "tf", CropPct: 0.875, Interpolation: "bicubic", Transparency: checkpoint.Stored, Mean: imageNetMean, Std: imageNetStd}
	switch c.Program {
	case "torchvision":
		k.torchvision(arch)
	case "timm":
		k.timm(f, arch)
	case "Keras":
		if second { // Rescaling(1/128, offset=-1) of efficientnet_v2.py
			k.prep.Mean, k.prep.Std = [3]float64{128, 128, 128}, [3]float64{128, 128, 128}
		}
		k.prepBy, k.prepOK = "as tensorflow/tpu evaluates it; Keras leaves the crop to the caller", false
	case "lukemelas/EfficientNet-PyTorch":
		k.prepBy, k.prepOK = "as tensorflow/tpu evaluates it; the advprop weights want mean and std 127.5", false
		if lite {
			k.prepBy = "as tensorflow/tpu evaluates it"
		}
		k.advProp(f)
	}
	if lite && c.Program != "timm" { // lite/efficientnet_lite_builder.py
		k.prep.Mean, k.prep.Std, k.prep.Interpolation = [3]float64{127, 127, 127}, [3]float64{128, 128, 128}, "bilinear"
	}
	return k
}

// visionPresets are the sizes to which torchvision resizes for the crop of
// Resolution, and its interpolation where it isn't bicubic
// (torchvision.models.efficientnet, the weights' transforms).
var visionPresets = map[string]struct {
	resize, crop  int
	interpolation string
}{
	"b0": {256, 224, ""}, "b1": {256, 240, ""}, "b2": {288, 288, ""}, "b3": {320, 300, ""}, "b4": {384, 380, ""}, "b5": {456, 456, ""},
	"b6": {528, 528, ""}, "b7": {600, 600, ""}, "v2-s": {384, 384, "bilinear"}, "v2-m": {480, 480, "bilinear"}, "v2-l": {480, 480, ""},
	"mnasnet-b1": {256, 224, "bilinear"}, "mobilenetv3-large": {256, 224, "bilinear"}, "mobilenetv3-small": {256, 224, "bilinear"},
}

func (k *conditions) torchvision(arch scale.Arch) {
	k.padding, k.eps = scale.Symmetric, 1e-5
	if slices.Contains([]string{"b5", "b6", "b7", "v2-s", "v2-m", "v2-l", "mobilenetv3-large", "mobilenetv3-small"}, arch.Name) {
		k.eps = 1e-3
	}
	preset, ok := visionPresets[arch.Name]
	if !ok {
		k.because, k.sure, k.prepBy, k.prepOK = "torchvision has no such network", false, "torchvision has no such network", false
		return
	}
	k.prep.Resolution, k.prep.Crop, k.prep.CropPct = preset.crop, "torchvision", float64(preset.crop)/float64(preset.resize)
	if preset.interpolation != "" {
		k.prep.Interpolation = preset.interpolation
	}
	switch arch.Name {
	case "b1":
		k.prepBy, k.prepOK = "as torchvision evaluates IMAGENET1K_V1; V2 has interpolation bilinear and crop-pct 0.9412", false
	case "mobilenetv3-large":
		k.prepBy, k.prepOK = "as torchvision evaluates IMAGENET1K_V1; V2 has crop-pct 0.9655", false
	case "v2-l":
		k.prep.Mean, k.prep.Std = inceptionMean, inceptionMean
	}
}

// cropPct is timm's crop_pct of the tf_ networks (timm.models.efficientnet,
// default_cfgs).
var cropPct = map[string]float64{
	"b0": .875, "b1": .882, "b2": .890, "b3": .904, "b4": .922, "b5": .934, "b6": .942, "b7": .949, "b8": .954, "l2": .96,
	"lite0": .875, "lite1": .882, "lite2": .890, "lite3": .904, "lite4": .920, "v2-s": 1, "v2-m": 1, "v2-l": 1,
	"v2-b0": .875, "v2-b1": .882, "v2-b2": .890, "v2-b3": .904, "mnasnet-a1": .875, "mnasnet-b1": .875, "es": .875, "em": .882, "el": .904,
	"tinynet-a": .875, "tinynet-b": .875, "tinynet-c": .875, "tinynet-d": .875, "tinynet-e": .875,
	"mobilenetv3-large": .875, "mobilenetv3-small": .875,
}

// liteSizes are timm's sizes of the lite networks where they differ.
var liteSizes = map[string]int{"lite3": 300, "lite4": 380}

// own are the networks of which timm has weights of its own
// (timm.models.efficientnet, default_cfgs without tf_).
var own = map[string]bool{"b0": true, "b1": true, "b2": true, "b3": true, "b4": true, "b5": true, "es": true, "em": true, "el": true}

// native are the networks of which timm has weights of its own only.
func native(arch scale.Arch) bool {
	return strings.HasPrefix(arch.Name, "mnasnet") || strings.HasPrefix(arch.Name, "tinynet")
}

// timm's networks come in two kinds with the same tensors: those converted from
// TensorFlow, called tf_, and its own. A config.json of the Hugging Face Hub
// next to the file tells; the path may.
func (k *conditions) timm(f *file, arch scale.Arch) {
	k.prep.Crop, k.prep.CropPct, k.prepBy = "timm", cropPct[arch.Name], ""
	if size := liteSizes[arch.Name]; size != 0 {
		k.prep.Resolution = size
	}
	if strings.HasPrefix(arch.Name, "lite") || strings.HasPrefix(arch.Name, "v2") && !strings.HasPrefix(arch.Name, "v2-b") {
		k.prep.Mean, k.prep.Std = inceptionMean, inceptionMean
	}
	if arch.Name == "lite3" || arch.Name == "lite4" {
		k.prep.Interpolation = "bilinear"
	}
	name, where := strings.ToLower(filepath.Base(f.path)), "its name"
	if full, err := filepath.Abs(f.path); err == nil && !strings.Contains(name, "efficientnet") && !strings.Contains(name, "mobilenet") {
		name, where = strings.ToLower(full), "its folder's name"
	}
	hub, err := readHub(hubPath(f.path))
	if err == nil && hub.Architecture != "" {
		name, where = hub.Architecture, "config.json next to it"
	}
	k.sure = where != "its folder's name"
	switch {
	case strings.HasPrefix(arch.Name, "mobilenetv3"):
		k.mobileNetV3(strings.Contains(name, "tf_mobilenetv3"), where)
	case native(arch):
		k.padding, k.eps = scale.Symmetric, 1e-5
		k.because, k.sure = "as timm has it", true
	case strings.Contains(name, "tf_efficientnet"):
		k.because = "a tf_ network, says " + where
	case strings.Contains(name, "efficientnet") && (where == "config.json next to it" || own[arch.Name]):
		k.padding, k.eps = scale.Symmetric, 1e-5
		k.because = "not a tf_ network, says " + where
		k.sure = where == "config.json next to it"
	default:
		k.because, k.sure = "as timm's tf_ networks; its others have symmetric and 1e-5", false
	}
	k.prepBy, k.prepOK = cmp.Or(k.prepBy, "as timm's tf_ networks; some of timm's weights differ"), false
	k.advProp(f)
	if err == nil && hub.apply(&k.prep) {
		k.prepBy, k.prepOK, k.meanBy = "by config.json next to it", true, ""
	}
}

var advProp = regexp.MustCompile(`(^|[-_.])(ap|adv|advprop)([-_.]|$)`)

// advProp is for the networks trained with AdvProp, which see pixels of -1 to 1:
// tf_efficientnet_b0_ap of timm, adv-efficientnet-b0 of lukemelas.
func (k *conditions) advProp(f *file) {
	if word := advProp.FindStringSubmatch(strings.ToLower(filepath.Base(f.path))); word != nil {
		k.prep.Mean, k.prep.Std = inceptionMean, inceptionMean
		k.meanBy, k.meanOK = fmt.Sprintf("an AdvProp network, says %q in its name", word[2]), true
	}
}

// mobileNetV3 is for timm's MobileNetV3, which is of its own unless converted is set.
func (k *conditions) mobileNetV3(converted bool, where string) {
	if converted {
		k.because = "a tf_ network, says " + where
		k.prep.Mean, k.prep.Std, k.prep.Interpolation = inceptionMean, inceptionMean, "bilinear"
		return
	}
	k.padding, k.eps = scale.Symmetric, 1e-5
	k.because, k.sure = "not a tf_ network, says "+where, where == "config.json next to it"
	k.prepBy = "as timm's own networks; some of timm's weights differ"
}

// round takes a product's rounding off: 255*0.485 is 123.675.
func round(v float64) float64 { return math.Round(v*1e6) / 1e6 }
