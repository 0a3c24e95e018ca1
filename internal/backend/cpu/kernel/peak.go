package kernel

// peakSums is how many sums Peak keeps in registers: enough to hide the latency of
// the units.
const peakSums = 12

// PeakValues is how many values Set.Peak's array holds: two factors and the sums,
// vectors of 16 at most.
const PeakValues = 2 + 16*peakSums

// Peak is peakGeneric.
func (s *Set) Peak(c []float32, k int) (flops int) {
	if s.c == nil {
		return peakGeneric(c, k)
	}
	_ = c[PeakValues-1]
	for left := k; left > 0; left -= callValues / peakSums {
		s.c.peak(p(c), min(left, callValues/peakSums))
	}
	return 2 * s.lanes * peakSums * k
}

// PeakPairs is Peak of products of pairs of bfloat16. A set without an instruction for them
// makes them at Peak's speed.
func (s *Set) PeakPairs(c []float32, k int) (flops int) {
	if s.c == nil || s.c.peakPairs == nil {
		return s.Peak(c, k)
	}
	_ = c[PeakValues-1]
	for left := k; left > 0; left -= callValues / peakSums {
		s.c.peakPairs(p(c), min(left, callValues/peakSums))
	}
	return 2 * 2 * s.lanes * peakSums * k
}

// peakGeneric multiplies and adds on values in registers alone, k times over
// independent sums, and returns the floating-point operations it did: what a
// core can do at most with the set's instructions. c holds the factors, then the
// sums, which must differ or the compiler makes them one.
func peakGeneric(c []float32, k int) (flops int) {
	const unrolled = 2
	x, y := c[0], c[1]
	c0, c1, c2, c3 := c[2], c[3], c[4], c[5]
	c4, c5, c6, c7 := c[6], c[7], c[8], c[9]
	c8, c9, c10, c11 := c[10], c[11], c[12], c[13]
	for range k {
		c0, c1, c2, c3 = c0*x+y, c1*x+y, c2*x+y, c3*x+y
		c4, c5, c6, c7 = c4*x+y, c5*x+y, c6*x+y, c7*x+y
		c8, c9, c10, c11 = c8*x+y, c9*x+y, c10*x+y, c11*x+y
		c0, c1, c2, c3 = c0*x+y, c1*x+y, c2*x+y, c3*x+y
		c4, c5, c6, c7 = c4*x+y, c5*x+y, c6*x+y, c7*x+y
		c8, c9, c10, c11 = c8*x+y, c9*x+y, c10*x+y, c11*x+y
	}
	copy(c[2:], []float32{c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11})
	return 2 * peakSums * unrolled * k
}
