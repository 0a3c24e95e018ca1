// Package float16 converts IEEE 754 halves, as files of weights hold them.
package float16

import "math"

// Float32 returns the value of a half, given by its bits. A half's subnormals are
// normal float32; a NaN keeps its sign and payload.
func Float32(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exp {
	case 0:
		v := float32(frac) * 0x1p-24
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}
