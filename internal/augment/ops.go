package augment

import "math/rand/v2"

// An Op names an operation of AutoAugment and RandAugment.
type Op uint8

// The operations. Another one changes what no policy draws: see lists.
const (
	AutoContrast Op = iota
	Equalize
	Invert
	Rotate
	Posterize
	Solarize
	SolarizeAdd
	Color
	Contrast
	Brightness
	Sharpness
	ShearX
	ShearY
	TranslateX
	TranslateY
	Cutout
)

// String returns the name the papers use.
func (o Op) String() string { return operations[o].name }

// An operation is what an Op does, and what a magnitude means to it: its
// argument is base + magnitude/10 * span, without the fraction where whole is
// set and with either sign where signed is. The constants are those of
// tensorflow/tpu, models/official/efficientnet/autoaugment.py, but for distances:
// a translation is a share of the image's side, at most 150 of 331 pixels as in
// the paper (Cubuk et al. 2019, table 6) and, up to a percent, RandAugment's 100 of
// 224, where the code's AutoAugment moves any image by 250 pixels; and so is
// Cutout, RandAugment's 40 of 224.
type operation struct {
	name          string
	apply         func(m *Image, v float64, a aids)
	base, span    float64
	whole, signed bool
}

// aids is what some operations need besides their image.
type aids struct {
	rng     *rand.Rand
	scratch *[]uint8
}

var operations = []operation{
	AutoContrast: {name: "AutoContrast", apply: func(m *Image, _ float64, _ aids) { autoContrast(m) }},
	Equalize:     {name: "Equalize", apply: func(m *Image, _ float64, _ aids) { equalize(m) }},
	Invert:       {name: "Invert", apply: func(m *Image, _ float64, _ aids) { invert(m) }},
	Rotate: {name: "Rotate", span: 30, signed: true,
		apply: func(m *Image, v float64, a aids) { rotate(m, v, a.scratch) }},
	Posterize: {name: "Posterize", span: 4, whole: true,
		apply: func(m *Image, v float64, _ aids) { posterize(m, int(v)) }},
	Solarize: {name: "Solarize", span: 256, whole: true,
		apply: func(m *Image, v float64, _ aids) { solarize(m, int(v)) }},
	SolarizeAdd: {name: "SolarizeAdd", span: 110, whole: true,
		apply: func(m *Image, v float64, _ aids) { solarizeAdd(m, int(v)) }},
	Color: {name: "Color", base: 0.1, span: 1.8,
		apply: func(m *Image, v float64, _ aids) { color(m, v) }},
	Contrast: {name: "Contrast", base: 0.1, span: 1.8,
		apply: func(m *Image, v float64, _ aids) { contrast(m, v) }},
	Brightness: {name: "Brightness", base: 0.1, span: 1.8,
		apply: func(m *Image, v float64, _ aids) { brightness(m, v) }},
	Sharpness: {name: "Sharpness", base: 0.1, span: 1.8,
		apply: func(m *Image, v float64, a aids) { sharpness(m, v, a.scratch) }},
	ShearX: {name: "ShearX", span: 0.3, signed: true,
		apply: func(m *Image, v float64, _ aids) { shearX(m, v) }},
	ShearY: {name: "ShearY", span: 0.3, signed: true,
		apply: func(m *Image, v float64, a aids) { shearY(m, v, a.scratch) }},
	TranslateX: {name: "TranslateX", span: 150. / 331, signed: true,
		apply: func(m *Image, v float64, _ aids) { translateX(m, v*float64(m.W)) }},
	TranslateY: {name: "TranslateY", span: 150. / 331, signed: true,
		apply: func(m *Image, v float64, _ aids) { translateY(m, v*float64(m.H)) }},
	Cutout: {name: "Cutout", span: 40. / 224,
		apply: func(m *Image, v float64, a aids) {
			cutout(m, a.rng.IntN(m.W), a.rng.IntN(m.H), int(v*float64(min(m.W, m.H))))
		}},
}
