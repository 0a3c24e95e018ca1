package pixel

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
	weight []int32     // AVX-512: [groups, taps, 16]; AVX2: [pixels, taps, 4]
	groups []laneGroup // AVX-512; none if a group's pixels are too far apart
}

// laneGroup is 16 values of an output row. Tap j of lane l reads the source byte
// base + 3*j + order[4*l].
type laneGroup struct {
	base  int
	order [64]uint8
}

// layRowGeneric prepares t for alongRow, which wants it done again after every
// change of t.
func layRowGeneric(*Taps) {}

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
