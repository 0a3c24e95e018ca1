package augment

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
)

// A Crop names the rule that picks the centre of an image for evaluation. The
// rules differ by a pixel or two; weights are measured under the one their
// authors used.
type Crop string

// The evaluation crops.
const (
	// CropTF takes the centre square with side resolution/(resolution+padding)
	// of the shorter side, padding being a seventh of the resolution, and resizes
	// it (tensorflow/tpu, models/official/efficientnet/preprocessing.py).
	CropTF Crop = "tf"
	// CropTimm resizes the shorter side to floor(resolution/pct), then takes the
	// centre (timm.data.transforms_imagenet_eval).
	CropTimm Crop = "timm"
	// CropTorchvision is CropTimm with resolution/pct rounded: torchvision
	// publishes the resized side, of which pct is the quotient
	// (torchvision.transforms._presets.ImageClassification).
	CropTorchvision Crop = "torchvision"
)

// CenterCrop returns the view of a w x h image (both at least 1) that
// evaluation at size x size pixels sees. Pct is the share, in [0.1, 1], of
// the resized image's shorter side that is kept; CropTF has its own and ignores it.
func CenterCrop(c Crop, pct float64, w, h, size int) View {
	short := min(w, h)
	if c == CropTF {
		padding := int(math.Round(float64(size) * (1/0.875 - 1)))
		side := max(size*short/(size+padding), 1)
		x, y := (w-side+1)/2, (h-side+1)/2
		return View{Crop: image.Rect(x, y, x+side, y+side), W: size, H: size}
	}
	scaled := int(float64(size) / pct)
	if c == CropTorchvision {
		scaled = int(math.Round(float64(size) / pct))
	}
	v := View{Crop: image.Rect(0, 0, w, h), W: scaled, H: scaled}
	if w > h {
		v.W = int(float64(scaled*w) / float64(h))
	} else {
		v.H = int(float64(scaled*h) / float64(w))
	}
	v.X = int(math.RoundToEven(float64(v.W-size) / 2))
	v.Y = int(math.RoundToEven(float64(v.H-size) / 2))
	return v
}

// RandomResizedCrop returns the view of a random rectangle of a w x h image
// (both at least 1), resized to size x size: its share of the area is uniform in
// scale, its aspect ratio (width/height) log-uniform in ratio. If ten tries do
// not fit, it is the largest centred rectangle with an aspect ratio in range
// (Szegedy et al. 2014, section 6; torchvision.transforms.RandomResizedCrop).
func RandomResizedCrop(rng *rand.Rand, scale, ratio [2]float64, w, h, size int) View {
	area := float64(w) * float64(h)
	for range 10 {
		a := area * uniform(rng, scale[0], scale[1])
		r := math.Exp(uniform(rng, math.Log(ratio[0]), math.Log(ratio[1])))
		cw := int(math.RoundToEven(math.Sqrt(a * r)))
		ch := int(math.RoundToEven(math.Sqrt(a / r)))
		if 0 < cw && cw <= w && 0 < ch && ch <= h {
			y, x := rng.IntN(h-ch+1), rng.IntN(w-cw+1)
			return View{Crop: image.Rect(x, y, x+cw, y+ch), W: size, H: size}
		}
	}
	cw, ch := w, h
	if r := float64(w) / float64(h); r < ratio[0] {
		ch = max(int(math.RoundToEven(float64(w)/ratio[0])), 1)
	} else if r > ratio[1] {
		cw = max(int(math.RoundToEven(float64(h)*ratio[1])), 1)
	}
	x, y := (w-cw)/2, (h-ch)/2
	return View{Crop: image.Rect(x, y, x+cw, y+ch), W: size, H: size}
}

func uniform(rng *rand.Rand, lo, hi float64) float64 { return lo + float64((hi-lo)*rng.Float64()) }

// A Transform makes a photograph a square the size of the network's input: View
// and Finish are called once each, in this order, with the same generator, from
// which all randomness comes.
type Transform interface {
	// View is what a size x size input shows of a w x h photograph, both at least
	// one pixel.
	View(w, h, size int, rng *rand.Rand) View
	// Finish changes the drawn view in place. scratch is memory kept from one
	// image to the next, whose content is of no use.
	Finish(m *Image, rng *rand.Rand, scratch *[]uint8)
	// Validate returns an error naming the first parameter out of range.
	Validate() error
}

// Train is the training transform: RandomResizedCrop, a flip, then the Policy's
// operations.
type Train struct {
	Scale [2]float64 // smallest and largest share of the area kept, in (0, 1]
	Ratio [2]float64 // smallest and largest width/height of what is kept
	HFlip float64    // probability of a horizontal flip

	Policy Policy // nil for none
}

// View implements Transform.
func (t Train) View(w, h, size int, rng *rand.Rand) View {
	return RandomResizedCrop(rng, t.Scale, t.Ratio, w, h, size)
}

// Finish implements Transform.
func (t Train) Finish(m *Image, rng *rand.Rand, scratch *[]uint8) {
	if rng.Float64() < t.HFlip {
		FlipHorizontal(m)
	}
	if t.Policy != nil {
		t.Policy.Apply(m, rng, scratch)
	}
}

// Validate implements Transform.
func (t Train) Validate() error {
	switch {
	case !(0 < t.Scale[0] && t.Scale[0] <= t.Scale[1] && t.Scale[1] <= 1):
		return fmt.Errorf("augment: crop scale %v: want 0 < smallest <= largest <= 1", t.Scale)
	case !(0 < t.Ratio[0] && t.Ratio[0] <= t.Ratio[1] && !math.IsInf(t.Ratio[1], 1)):
		return fmt.Errorf("augment: crop ratio %v: want 0 < smallest <= largest", t.Ratio)
	case !(0 <= t.HFlip && t.HFlip <= 1):
		return fmt.Errorf("augment: flip probability %v: want 0 to 1", t.HFlip)
	case t.Policy != nil:
		return t.Policy.Validate()
	}
	return nil
}

// Eval is the evaluation transform: CenterCrop, or as large a crop from a corner.
// It draws nothing from the generator, which may be nil.
type Eval struct {
	Crop    Crop
	CropPct float64 // see CenterCrop; ignored by CropTF
	Corner  Corner
	Flip    bool // mirrored
}

// Corner is where a crop lies.
type Corner uint8

// The places of a crop.
const (
	Center Corner = iota
	TopLeft
	TopRight
	BottomLeft
	BottomRight
)

// View implements Transform.
func (e Eval) View(w, h, size int, _ *rand.Rand) View {
	v := CenterCrop(e.Crop, e.CropPct, w, h, size)
	if e.Corner == Center {
		return v
	}
	right, bottom := e.Corner == TopRight || e.Corner == BottomRight, e.Corner >= BottomLeft
	place := func(end bool, room int) int {
		if end {
			return room
		}
		return 0
	}
	if e.Crop == CropTF {
		side := v.Crop.Dx()
		v.Crop = image.Rect(0, 0, side, side).Add(image.Pt(place(right, w-side), place(bottom, h-side)))
		return v
	}
	v.X, v.Y = place(right, v.W-size), place(bottom, v.H-size)
	return v
}

// Finish implements Transform.
func (e Eval) Finish(m *Image, _ *rand.Rand, _ *[]uint8) {
	if e.Flip {
		FlipHorizontal(m)
	}
}

// Validate implements Transform.
func (e Eval) Validate() error {
	switch e.Crop {
	case CropTF:
		return nil
	case CropTimm, CropTorchvision:
		if !(0.1 <= e.CropPct && e.CropPct <= 1) {
			return fmt.Errorf("augment: crop pct %v: want 0.1 to 1", e.CropPct)
		}
		return nil
	}
	return fmt.Errorf("augment: unknown crop %q (want %s, %s or %s)", e.Crop, CropTF, CropTimm, CropTorchvision)
}
