package augment

import (
	"fmt"
	"math"
)

// A Normalizer maps pixels to network input, (value - mean) / std by channel.
type Normalizer struct{ table [3][256]float32 }

// NewNormalizer returns the Normalizer for a mean and standard deviation in
// RGB order on the scale 0..255.
func NewNormalizer(mean, std [3]float64) (*Normalizer, error) {
	n := new(Normalizer)
	for c := range 3 {
		if !(std[c] > 0) || math.IsInf(std[c], 1) || math.IsNaN(mean[c]) || math.IsInf(mean[c], 0) {
			return nil, fmt.Errorf("augment: normalise with mean %v, std %v: want finite numbers and a positive std", mean, std)
		}
		for v := range n.table[c] {
			n.table[c][v] = float32((float64(v) - mean[c]) / std[c])
		}
	}
	return n, nil
}

// Apply writes m to dst, [H, W, 3] (one image of an NHWC batch), with
// len(dst) = 3*m.W*m.H.
func (n *Normalizer) Apply(dst []float32, m *Image) {
	r, g, b := &n.table[0], &n.table[1], &n.table[2]
	src := m.Pix
	for len(src) >= 3 && len(dst) >= 3 {
		dst[0], dst[1], dst[2] = r[src[0]], g[src[1]], b[src[2]]
		src, dst = src[3:], dst[3:]
	}
}
