package augment

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// EraseMode names what random erasing puts in place of what was there.
type EraseMode string

// The erase modes, of normalised values.
const (
	EraseConst EraseMode = "const" // 0, the mean colour
	ErasePixel EraseMode = "pixel" // a standard normal for each value
)

// Erase is random erasing (Zhong et al. 2020, Random Erasing Data Augmentation,
// algorithm 1; timm.data.random_erasing): with probability Prob, between one
// and Count rectangles of an image are erased, all numbers as likely. With k of
// them, a rectangle's share of the image is uniform from MinArea/k to MaxArea/k
// and its aspect ratio (height/width) log-uniform from MinAspect to
// 1/MinAspect. Of ten draws the first that is narrower and lower than the image
// is erased, at a uniform place. The zero value erases nothing.
type Erase struct {
	Prob             float64
	Mode             EraseMode
	Count            int     // 1 in the paper
	MinArea, MaxArea float64 // 0.02 and 0.4 in the paper, 0.02 and 1/3 in timm
	MinAspect        float64 // 0.3 in the paper, in (0, 1]
}

// Validate returns an error naming the first field out of range. With Prob 0 the
// other fields do not matter.
func (e Erase) Validate() error {
	switch {
	case !(0 <= e.Prob && e.Prob <= 1):
		return fmt.Errorf("augment: erasing with probability %v: want 0 to 1", e.Prob)
	case e.Prob == 0:
		return nil
	case e.Mode != EraseConst && e.Mode != ErasePixel:
		return fmt.Errorf("augment: unknown erase mode %q (want %s or %s)", e.Mode, EraseConst, ErasePixel)
	case e.Count < 1 || e.Count > 100:
		return fmt.Errorf("augment: erasing up to %d rectangles: want 1 to 100", e.Count)
	case !(0 < e.MinArea && e.MinArea <= e.MaxArea && e.MaxArea <= 1):
		return fmt.Errorf("augment: erasing %v to %v of the area: want 0 < smallest <= largest <= 1", e.MinArea, e.MaxArea)
	case !(0.01 <= e.MinAspect && e.MinAspect <= 1):
		return fmt.Errorf("augment: erasing with aspect ratios from %v: want 0.01 to 1", e.MinAspect)
	}
	return nil
}

// Apply erases in one normalised image, dst, [h, w, 3], both at least 1. All
// randomness comes from rng, of which nothing is drawn with Prob 0.
func (e Erase) Apply(dst []float32, w, h int, rng *rand.Rand) {
	if e.Prob == 0 || rng.Float64() >= e.Prob {
		return
	}
	k := 1
	if e.Count > 1 {
		k += rng.IntN(e.Count)
	}
	for range k {
		e.eraseOne(dst, w, h, float64(w)*float64(h)/float64(k), rng)
	}
}

// eraseOne erases one rectangle, whose share is of area.
func (e Erase) eraseOne(dst []float32, w, h int, area float64, rng *rand.Rand) {
	widest := -math.Log(e.MinAspect)
	for range 10 {
		a := area * uniform(rng, e.MinArea, e.MaxArea)
		r := math.Exp(uniform(rng, -widest, widest))
		eh := int(math.RoundToEven(math.Sqrt(a * r)))
		ew := int(math.RoundToEven(math.Sqrt(a / r)))
		if ew >= w || eh >= h {
			continue
		}
		y, x := rng.IntN(h-eh+1), rng.IntN(w-ew+1)
		for row := y; row < y+eh; row++ {
			e.Mode.fill(dst[3*(row*w+x):][:3*ew], rng)
		}
		return
	}
}

func (mode EraseMode) fill(p []float32, rng *rand.Rand) {
	if mode == EraseConst {
		clear(p)
		return
	}
	for i := range p {
		p[i] = float32(rng.NormFloat64())
	}
}
