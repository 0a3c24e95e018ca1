package augment

import (
	"fmt"
	"math"

	"effnet/internal/pixel"
)

// A Normalizer maps pixels to network input, (value - mean) / std by channel.
type Normalizer struct {
	set  *pixel.Set
	norm pixel.Norm
}

// NewNormalizer returns the Normalizer for a mean and standard deviation in
// RGB order on the scale 0..255.
func NewNormalizer(mean, std [3]float64) (*Normalizer, error) {
	n := &Normalizer{set: pixel.Best()}
	for c := range 3 {
		if !(std[c] > 0) || math.IsInf(std[c], 1) || math.IsNaN(mean[c]) || math.IsInf(mean[c], 0) {
			return nil, fmt.Errorf("augment: normalise with mean %v, std %v: want finite numbers and a positive std", mean, std)
		}
		n.norm.Mean[c], n.norm.Scale[c] = float32(mean[c]), float32(1/std[c])
	}
	return n, nil
}

// Apply writes m to dst, [H, W, 3] (one image of an NHWC batch), with
// len(dst) = 3*m.W*m.H.
func (n *Normalizer) Apply(dst []float32, m *Image) { n.set.Normalize(dst, m.Pix, &n.norm) }
