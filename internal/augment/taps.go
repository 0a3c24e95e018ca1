package augment

import (
	"math"

	"effnet/internal/pixel"
)

// An axis is one dimension of a resize. Source pixels origin to origin+size may
// be read; of those, in0 to in1 (relative to origin) are scaled to out pixels,
// of which n from first are wanted.
type axis struct {
	origin, size  int
	in0, in1      float32
	out, first, n int
}

// plain reports whether outputs are source pixels unchanged.
func (a axis) plain() bool { return a.in0 == 0 && int(a.in1) == a.out && a.in1 == float32(a.out) }

// taps holds the weights of an axis.
type taps struct {
	pixel.Taps
	plain bool      // every output is one source pixel
	exact []float64 // one output's weights, before rounding
}

func (t *taps) weights(i int) []int32 { return t.Weight[i*t.Stride:][:t.Count[i]] }

// span is the source pixels that are read, from lo to hi.
func (t *taps) span() (lo, hi int) {
	last := len(t.Start) - 1
	return t.Start[0], t.Start[last] + t.Count[last]
}

// weigh computes the weights of a (Pillow's precompute_coeffs and
// normalize_coeffs_8bpc).
func (t *taps) weigh(a axis, k kernel) {
	t.Start, t.Count = grow(t.Start, a.n), grow(t.Count, a.n)
	if t.plain = a.plain(); t.plain {
		for i := range a.n {
			t.Start[i], t.Count[i] = a.origin+a.first+i, 1
		}
		return
	}
	scale := float64(a.in1-a.in0) / float64(a.out)
	stretch := max(scale, 1)
	shrink := 1 / stretch
	support := k.support * stretch
	t.Stride = int(math.Ceil(support))*2 + 1
	t.Weight = grow(t.Weight, a.n*t.Stride)
	t.exact = grow(t.exact, t.Stride)

	for i := range a.n {
		center := float64(a.in0) + float64((float64(a.first+i)+0.5)*scale)
		lo := max(int(center-support+0.5), 0)
		hi := max(min(int(center+support+0.5), a.size), lo)
		sum := 0.0
		for j := range hi - lo {
			t.exact[j] = k.weight((float64(j+lo) - center + 0.5) * shrink)
			sum += t.exact[j]
		}
		t.Start[i], t.Count[i] = a.origin+lo, hi-lo
		for j := range t.weights(i) {
			t.Weight[i*t.Stride+j] = fixed(t.exact[j] / sum)
		}
	}
}

func fixed(w float64) int32 {
	return int32(math.Copysign(0.5, w) + float64(w*(1<<pixel.Precision)))
}
