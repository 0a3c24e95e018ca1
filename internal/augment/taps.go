package augment

import "math"

// precisionBits is the fixed point of the weights: 32 bits less 8 for the
// result and 2 for a sum of weights that overshoots on the way (Pillow's
// PRECISION_BITS).
const precisionBits = 32 - 8 - 2

// An axis is one dimension of a resize. Source pixels origin to origin+size may
// be read; of those, in0 to in1 (relative to origin) are scaled to out pixels,
// of which n from first are wanted.
type axis struct {
	origin, size  int
	in0, in1      float32
	out, first, n int
}

// taps holds the weights of an axis: output i is the sum over j < count[i] of
// weight[i*stride+j] * source[start[i]+j].
type taps struct {
	start, count []int
	weight       []int32 // [n, stride], fixed point
	stride       int
	exact        []float64 // one output's weights, before rounding
}

func (t *taps) weights(i int) []int32 { return t.weight[i*t.stride:][:t.count[i]] }

// plan computes the weights of a (Pillow's precompute_coeffs and
// normalize_coeffs_8bpc).
func (t *taps) plan(a axis, k kernel) {
	scale := float64(a.in1-a.in0) / float64(a.out)
	stretch := max(scale, 1)
	shrink := 1 / stretch
	support := k.support * stretch
	t.stride = int(math.Ceil(support))*2 + 1
	t.start, t.count = grow(t.start, a.n), grow(t.count, a.n)
	t.weight = grow(t.weight, a.n*t.stride)
	t.exact = grow(t.exact, t.stride)

	for i := range a.n {
		center := float64(a.in0) + float64((float64(a.first+i)+0.5)*scale)
		lo := max(int(center-support+0.5), 0)
		hi := max(min(int(center+support+0.5), a.size), lo)
		sum := 0.0
		for j := range hi - lo {
			t.exact[j] = k.weight((float64(j+lo) - center + 0.5) * shrink)
			sum += t.exact[j]
		}
		t.start[i], t.count[i] = a.origin+lo, hi-lo
		for j := range t.weights(i) {
			t.weight[i*t.stride+j] = fixed(t.exact[j] / sum)
		}
	}
}

func fixed(w float64) int32 {
	return int32(math.Copysign(0.5, w) + float64(w*(1<<precisionBits)))
}

// alongRow resamples one row: dst is [n, 3], src is [width, 3].
func (t *taps) alongRow(dst, src []uint8) {
	for i, start := range t.start {
		w := t.weights(i)
		p := src[3*start:][:3*len(w)]
		r, g, b := int32(1<<(precisionBits-1)), int32(1<<(precisionBits-1)), int32(1<<(precisionBits-1))
		for _, k := range w {
			r += int32(p[0]) * k
			g += int32(p[1]) * k
			b += int32(p[2]) * k
			p = p[3:]
		}
		q := dst[3*i:][:3]
		q[0], q[1], q[2] = clip(r), clip(g), clip(b)
	}
}

// acrossRows sets dst to the weighted sum of the len(w) rows of src, each as
// long as dst. acc is scratch of that length.
func acrossRows(dst, src []uint8, w []int32, acc []int32) {
	for x := range acc {
		acc[x] = 1 << (precisionBits - 1)
	}
	for j, k := range w {
		row := src[j*len(dst):][:len(acc)]
		for x, v := range row {
			acc[x] += int32(v) * k
		}
	}
	for x, v := range acc {
		dst[x] = clip(v)
	}
}

// clip drops the fixed point's fraction and saturates to 0..255.
func clip(v int32) uint8 { return uint8(min(max(v>>precisionBits, 0), 255)) }
