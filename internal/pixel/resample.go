package pixel

import "unsafe"

// Precision is the fraction of a resampling weight in bits: 32 less 8 for the
// result and 2 for a sum of weights that overshoots on the way (Pillow's
// PRECISION_BITS).
const Precision = 32 - 8 - 2

const roundPrecision = 1 << (Precision - 1)

// Taps is how each output pixel of a row comes from source pixels: output i is
// the sum over j < Count[i] of Weight[i*Stride+j] * source[Start[i]+j], with
// weights in fixed point of Precision bits.
type Taps struct {
	Start, Count []int
	Weight       []int32 // [len(Start), Stride]
	Stride       int

	lanes // what LayRow made of them for AlongRow
}

// lanes is Taps laid out for vectors.
type lanes struct {
	taps   int         // of every output, some with zero weight
	reach  int         // bytes of the source row that are read
	weight []int32     // with groups [groups, taps, 16], without [pixels, taps, 4]
	groups []laneGroup // of alongLanes; none if a group's pixels are too far apart
}

// laneGroup is 16 values of an output row. Tap j of lane l reads the source byte
// base + 3*j + order[4*l].
type laneGroup struct {
	base  int
	order [64]uint8
}

const laneCount = 16 // of a laneGroup

// LayRow prepares t for AlongRow, which wants it done again after every change of t.
func (s *Set) LayRow(t *Taps) {
	t.groups, t.taps, t.reach = t.groups[:0], 0, 0
	switch {
	case s.c == nil:
	case s.c.alongLanes != nil && t.layLanes():
	default:
		t.layPixels()
	}
}

// layLanes lays t out in groups, unless the pixels of one are too far apart.
func (t *Taps) layLanes() bool {
	t.taps = 0
	for _, n := range t.Count {
		t.taps = max(t.taps, n)
	}
	values := 3 * len(t.Start)
	t.weight = grow(t.weight, (values+laneCount-1)/laneCount*laneCount*t.taps)
	clear(t.weight)
	for first := 0; first < values; first += laneCount {
		g := laneGroup{base: 3 * t.Start[first/3]}
		w := t.weight[first*t.taps:]
		for l := range min(laneCount, values-first) {
			i := (first + l) / 3
			at := 3*t.Start[i] + (first+l)%3 - g.base
			if at < 0 || at >= len(g.order) {
				t.groups = t.groups[:0]
				return false
			}
			g.order[4*l] = uint8(at)
			for j, k := range t.Weight[i*t.Stride:][:t.Count[i]] {
				w[j*laneCount+l] = k
			}
		}
		t.groups = append(t.groups, g)
		t.reach = max(t.reach, g.base+3*(t.taps-1)+len(g.order))
	}
	return true
}

// layPixels lays t out for pairs of taps: the weights of each pixel are
// [taps/2, 8], for red, green, blue and nothing of one and of the other.
func (t *Taps) layPixels() {
	t.taps, t.reach = 0, 0
	for i, n := range t.Count {
		t.taps = max(t.taps, (n+1)/2*2)
		t.reach = max(t.reach, t.Start[i])
	}
	t.reach = 3*(t.reach+t.taps-2) + 16
	t.weight = grow(t.weight, len(t.Start)*t.taps*4)
	clear(t.weight)
	for i, n := range t.Count {
		for j, k := range t.Weight[i*t.Stride:][:n] {
			w := t.weight[(i*t.taps+j)*4:][:3]
			w[0], w[1], w[2] = k, k, k
		}
	}
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// AlongRow is alongRowGeneric, of a t that LayRow prepared.
func (s *Set) AlongRow(dst, src []uint8, t *Taps) {
	n := len(t.Start)
	if s.c == nil || t.taps == 0 || t.reach > cap(src) || n == 0 {
		alongRowGeneric(dst, src, t)
		return
	}
	_ = dst[3*n-1]
	if len(t.groups) > 0 {
		s.c.alongLanes(p(dst), p(src), p(t.groups), p(t.weight), t.taps, 3*n)
		return
	}
	s.c.alongPixels(p(dst), p(src), p(t.Start), p(t.weight), t.taps, n)
}

// alongRowGeneric resamples one row: dst is [len(t.Start), 3], src [width, 3].
func alongRowGeneric(dst, src []uint8, t *Taps) {
	for i, start := range t.Start {
		w := t.Weight[i*t.Stride:][:t.Count[i]]
		p := src[3*start:][:3*len(w)]
		r, g, b := int32(roundPrecision), int32(roundPrecision), int32(roundPrecision)
		for _, k := range w {
			r += int32(p[0]) * k
			g += int32(p[1]) * k
			b += int32(p[2]) * k
			p = p[3:]
		}
		q := dst[3*i:][:3]
		q[0], q[1], q[2] = clip(r>>Precision), clip(g>>Precision), clip(b>>Precision)
	}
}

// AcrossRows is acrossRowsGeneric.
func (s *Set) AcrossRows(dst, src []uint8, stride int, weights []int32) {
	done := 0
	if rows := len(weights); s.c != nil && rows > 0 {
		_ = src[:(rows-1)*stride+len(dst)]
		s.c.acrossRows(p(dst), p(src), p(weights), stride, rows, len(dst))
		done = len(dst) / s.wide * s.wide
	}
	acrossRowsGeneric(dst[done:], src[done:], stride, weights)
}

// acrossRowsGeneric sets dst to the weighted sum of len(weights) rows, which are
// as long as dst and begin stride apart in src.
func acrossRowsGeneric(dst, src []uint8, stride int, weights []int32) {
	const block = 64
	for ; len(dst) > 0; dst, src = dst[min(block, len(dst)):], src[min(block, len(dst)):] {
		var acc [block]int32
		n := min(block, len(dst))
		for i := range n {
			acc[i] = roundPrecision
		}
		for j, k := range weights {
			for i, v := range src[j*stride:][:n] {
				acc[i] += int32(v) * k
			}
		}
		for i, v := range acc[:n] {
			dst[i] = clip(v >> Precision)
		}
	}
}

// Norm is a normalisation by channel: (value - Mean) * Scale.
type Norm struct{ Mean, Scale [3]float32 }

// normalizeValues is how many values a call of assembly normalises, where the runtime
// cannot stop a goroutine: some microseconds, and whole vectors of pixels.
const normalizeValues = 3 * 16 << 10

// Normalize is normalizeGeneric.
func (s *Set) Normalize(dst []float32, src []uint8, n *Norm) {
	dst = dst[:len(src)]
	done := 0
	if s.c != nil {
		whole := len(src) / (3 * s.wide) * (3 * s.wide)
		for ; done < whole; done = min(done+normalizeValues, whole) {
			s.c.normalize(p(dst[done:]), p(src[done:]), unsafe.Pointer(n), min(normalizeValues, whole-done))
		}
	}
	normalizeGeneric(dst[done:], src[done:], n)
}

// normalizeGeneric writes the pixels of src, [n, 3], to dst, rounding after the
// difference and after the product.
func normalizeGeneric(dst []float32, src []uint8, n *Norm) {
	dst = dst[:len(src)]
	for i := 0; i+3 <= len(src); i += 3 {
		for c := range 3 {
			d := float32(src[i+c]) - n.Mean[c]
			dst[i+c] = d * n.Scale[c]
		}
	}
}
