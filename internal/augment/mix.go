package augment

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
)

// Mix blends the images of a batch with those of its reverse, by mixup (Zhang
// et al. 2018, mixup: Beyond Empirical Risk Minimization) or CutMix (Yun et al.
// 2019, CutMix), one draw for the whole batch (timm.data.mixup, mode batch).
// The zero value mixes nothing.
type Mix struct {
	Mixup      float64 // alpha of mixup's Beta(alpha, alpha); 0 is no mixup
	CutMix     float64 // alpha of CutMix's; 0 is no CutMix
	Prob       float64 // probability that a batch is mixed
	SwitchProb float64 // probability of CutMix where both have an alpha
}

// Validate returns an error naming the first field out of range.
func (m Mix) Validate() error {
	// The smallest alpha that is not 0 keeps beta's arithmetic finite.
	const least, most = 1e-3, 1e3
	alpha := func(a float64) bool { return a == 0 || least <= a && a <= most }
	switch {
	case !alpha(m.Mixup):
		return fmt.Errorf("augment: mixup with alpha %v: want 0 (none) or %v to %v", m.Mixup, least, most)
	case !alpha(m.CutMix):
		return fmt.Errorf("augment: CutMix with alpha %v: want 0 (none) or %v to %v", m.CutMix, least, most)
	case !(0 <= m.Prob && m.Prob <= 1):
		return fmt.Errorf("augment: mixing with probability %v: want 0 to 1", m.Prob)
	case !(0 <= m.SwitchProb && m.SwitchProb <= 1):
		return fmt.Errorf("augment: CutMix instead of mixup with probability %v: want 0 to 1", m.SwitchProb)
	}
	return nil
}

// Mixed is how a batch is mixed: image i becomes Own of itself and Other of its
// partner, image n-1-i, and within Box its partner. Of an odd number of images the
// middle one is its own partner.
type Mixed struct {
	Own, Other float32
	Box        image.Rectangle
}

// Draw decides how a batch of images of w x h pixels is mixed. It returns lambda too,
// the share of its own that image i keeps, and so its label; 1-lambda is that of the
// label of image n-1-i. Lambda is 1 where nothing is mixed. All randomness comes from
// rng, of which nothing is drawn with both alphas or Prob 0.
//
// Mixup's lambda is the larger of a variate and what it lacks to 1, as in
// tensorflow/tpu, models/official/efficientnet; CutMix's is the share of the
// area outside its box.
func (m Mix) Draw(w, h int, rng *rand.Rand) (mixed Mixed, lambda float64) {
	if m.Mixup == 0 && m.CutMix == 0 || m.Prob == 0 || rng.Float64() >= m.Prob {
		return Mixed{Own: 1}, 1
	}
	cut := m.CutMix != 0
	if cut && m.Mixup != 0 {
		cut = rng.Float64() < m.SwitchProb
	}
	if !cut {
		lambda = beta(rng, m.Mixup)
		lambda = max(lambda, 1-lambda)
		return Mixed{Own: float32(lambda), Other: float32(1 - lambda)}, lambda
	}
	lambda = beta(rng, m.CutMix)
	box := cutBox(w, h, rng.IntN(w), rng.IntN(h), lambda)
	return Mixed{Own: 1, Box: box}, 1 - float64(box.Dx()*box.Dy())/(float64(w)*float64(h))
}

// Apply mixes n images, at least 1, [n, h, w, 3], in place.
func (m Mixed) Apply(images []float32, n, w int) {
	if m.Other != 0 {
		mixup(images, n, m.Own, m.Other)
	}
	if !m.Box.Empty() {
		cutmix(images, n, w, m.Box)
	}
}

// mixup sets each image to own of itself and other of its partner, in float32.
func mixup(images []float32, n int, own, other float32) {
	size := len(images) / n
	for i := range (n + 1) / 2 {
		a, b := images[i*size:][:size], images[(n-1-i)*size:][:size]
		for j, x := range a {
			y := b[j]
			a[j] = float32(own*x) + float32(other*y)
			b[j] = float32(own*y) + float32(other*x)
		}
	}
}

// cutmix exchanges the box between each image, w pixels wide, and its partner.
func cutmix(images []float32, n, w int, box image.Rectangle) {
	size := len(images) / n
	for i := range n / 2 {
		a, b := images[i*size:][:size], images[(n-1-i)*size:][:size]
		for y := box.Min.Y; y < box.Max.Y; y++ {
			from, to := 3*(y*w+box.Min.X), 3*(y*w+box.Max.X)
			p, q := a[from:to], b[from:to]
			for j := range p {
				p[j], q[j] = q[j], p[j]
			}
		}
	}
}

// cutBox returns the box centred at x, y that has 1-lambda of the area of a w x h
// image, as far as it is inside; it has the image's aspect ratio before it is cut
// (Yun et al. 2019, equation 2; timm.data.mixup.rand_bbox).
func cutBox(w, h, x, y int, lambda float64) image.Rectangle {
	side := math.Sqrt(1 - lambda)
	cw, ch := int(float64(w)*side), int(float64(h)*side)
	return image.Rect(x-cw/2, y-ch/2, x+(cw+1)/2, y+(ch+1)/2).Intersect(image.Rect(0, 0, w, h))
}
