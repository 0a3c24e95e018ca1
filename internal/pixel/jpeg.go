package pixel

// Fixed-point constants of the inverse DCT: cosines with 13 bits of fraction
// (Loeffler, Ligtenberg, Moschytz 1989; libjpeg's jidctint.c).
const (
	fix0_298 = 2446
	fix0_390 = 3196
	fix0_541 = 4433
	fix0_765 = 6270
	fix0_899 = 7373
	fix1_175 = 9633
	fix1_501 = 12299
	fix1_847 = 15137
	fix1_961 = 16069
	fix2_053 = 16819
	fix2_562 = 20995
	fix3_072 = 25172

	dctBits  = 13
	passBits = 2 // of fraction that the columns' pass leaves

	columnShift = dctBits - passBits
	rowShift    = dctBits + passBits + 3
)

// IDCT is idctGeneric.
func (s *Set) IDCT(dst []uint8, stride int, blocks []int16) {
	n := len(blocks) / 64
	if s.c == nil || n == 0 {
		idctGeneric(dst, stride, blocks)
		return
	}
	_ = dst[7*stride+8*n-1]
	s.c.idct(p(dst), p(blocks), stride, n)
}

// idctGeneric is the inverse DCT of len(blocks)/64 blocks, in libjpeg's accurate
// integer arithmetic. A block is 64 dequantised coefficients, row-major; the
// blocks lie next to each other in the image, 8 pixels each, and dst's rows are
// stride apart.
func idctGeneric(dst []uint8, stride int, blocks []int16) {
	for i := 0; i+64 <= len(blocks); i += 64 {
		var m [64]int32
		for c := range 8 {
			b := blocks[i+c:][:57]
			column := idct8([8]int32{int32(b[0]), int32(b[8]), int32(b[16]), int32(b[24]),
				int32(b[32]), int32(b[40]), int32(b[48]), int32(b[56])}, 1<<(columnShift-1))
			for r, v := range column {
				m[8*r+c] = v >> columnShift
			}
		}
		for r := range 8 {
			row := idct8([8]int32(m[8*r:8*r+8]), 1<<(rowShift-1))
			q := dst[i/8+r*stride:][:8]
			for c, v := range row {
				q[c] = clip(v>>rowShift + 128)
			}
		}
	}
}

// idct8 is the one-dimensional transform, times 8 and with dctBits more of
// fraction; round is added to each output.
func idct8(v [8]int32, round int32) [8]int32 {
	z := (v[2] + v[6]) * fix0_541
	even2, even3 := z-v[6]*fix1_847, z+v[2]*fix0_765
	even0, even1 := (v[0]+v[4])<<dctBits+round, (v[0]-v[4])<<dctBits+round
	a0, a3 := even0+even3, even0-even3
	a1, a2 := even1+even2, even1-even2

	z5 := (v[7] + v[3] + v[5] + v[1]) * fix1_175
	z1, z2 := (v[7]+v[1])*-fix0_899, (v[5]+v[3])*-fix2_562
	z3, z4 := z5-(v[7]+v[3])*fix1_961, z5-(v[5]+v[1])*fix0_390
	b0 := v[7]*fix0_298 + z1 + z3
	b1 := v[5]*fix2_053 + z2 + z4
	b2 := v[3]*fix3_072 + z2 + z3
	b3 := v[1]*fix1_501 + z1 + z4
	return [8]int32{a0 + b3, a1 + b2, a2 + b1, a3 + b0, a3 - b0, a2 - b1, a1 - b2, a0 - b3}
}

// Blend is blendGeneric.
func (s *Set) Blend(dst []uint16, near, far []uint8) {
	near, far = near[:len(dst)], far[:len(dst)]
	done := 0
	if s.c != nil {
		s.c.blend(p(dst), p(near), p(far), len(dst))
		done = len(dst) / 16 * 16
	}
	blendGeneric(dst[done:], near[done:], far[done:])
}

// blendGeneric is dst[i] = 3*near[i] + far[i], the vertical half of libjpeg's
// interpolation of chroma at half resolution (jdsample.c, h2v2_fancy_upsample).
func blendGeneric(dst []uint16, near, far []uint8) {
	near, far = near[:len(dst)], far[:len(dst)]
	for i := range dst {
		dst[i] = 3*uint16(near[i]) + uint16(far[i])
	}
}

// Widen is widenGeneric.
func (s *Set) Widen(dst []uint8, sums []uint16, even, odd uint16) {
	n := len(dst) / 2
	sums = sums[:n+2]
	done := 0
	if s.c != nil {
		s.c.widen(p(dst), p(sums), n, int(even), int(odd))
		done = n / 16 * 16
	}
	widenGeneric(dst[2*done:], sums[done:], even, odd)
}

// widenGeneric is the horizontal half: dst[2i] = (3*sums[i+1] + sums[i] + even)/16
// and dst[2i+1] = (3*sums[i+1] + sums[i+2] + odd)/16, for len(dst) even and
// len(sums) = len(dst)/2 + 2. Sums are four times chroma.
func widenGeneric(dst []uint8, sums []uint16, even, odd uint16) {
	for i := range len(dst) / 2 {
		three := 3 * sums[i+1]
		dst[2*i] = uint8((three + sums[i] + even) >> 4)
		dst[2*i+1] = uint8((three + sums[i+2] + odd) >> 4)
	}
}

// JPEG's Y'CbCr to RGB in 16 bits of fraction (jdcolor.c, build_ycc_rgb_table).
const (
	crToRed   = 91881
	cbToGreen = -22554
	crToGreen = -46802
	cbToBlue  = 116130
)

// YCbCr is yCbCrGeneric.
func (s *Set) YCbCr(dst, y, cb, cr []uint8) {
	cb, cr, dst = cb[:len(y)], cr[:len(y)], dst[:3*len(y)]
	done := 0
	if s.c != nil {
		s.c.yCbCr(p(dst), p(y), p(cb), p(cr), len(y))
		done = len(y) / s.wide * s.wide
	}
	yCbCrGeneric(dst[3*done:], y[done:], cb[done:], cr[done:])
}

// yCbCrGeneric converts len(y) pixels to dst, [len(y), 3].
func yCbCrGeneric(dst, y, cb, cr []uint8) {
	const half = 1 << 15
	cb, cr = cb[:len(y)], cr[:len(y)]
	for i, v := range y {
		y, cb, cr := int32(v)<<16+half, int32(cb[i])-128, int32(cr[i])-128
		q := dst[3*i:][:3]
		q[0] = clip((y + crToRed*cr) >> 16)
		q[1] = clip((y + cbToGreen*cb + crToGreen*cr) >> 16)
		q[2] = clip((y + cbToBlue*cb) >> 16)
	}
}

func clip(v int32) uint8 { return uint8(min(max(v, 0), 255)) }
