package augment

// The operations of this file are those of Pillow's ImageEnhance: a blend of an
// image without some quality (factor 0) and the image itself (factor 1), and
// beyond.

// blend returns from + factor*(to-from), cut to 0..255 and to a whole number, in
// float32: Image.blend (src/libImaging/Blend.c).
func blend(from, to int32, factor float32) uint8 {
	v := float32(from) + float32(factor*float32(to-from))
	switch {
	case v >= 255:
		return 255
	case v > 0:
		return uint8(v)
	}
	return 0
}

// brightness blends with black.
func brightness(m *Image, factor float64) { blendConstant(m, 0, float32(factor)) }

// contrast blends with the mean luminance.
func contrast(m *Image, factor float64) {
	sum := 0
	for p := m.Pix; len(p) >= 3; p = p[3:] {
		sum += int(luminance(p[0], p[1], p[2]))
	}
	n := max(m.W*m.H, 1)
	blendConstant(m, int32(float64(sum)/float64(n)+0.5), float32(factor))
}

func blendConstant(m *Image, from int32, factor float32) {
	t := makeLookup(func(v int) int { return int(blend(from, int32(v), factor)) })
	t.apply(m)
}

// color blends with the image in shades of grey.
func color(m *Image, factor float64) {
	f := float32(factor)
	for p := m.Pix; len(p) >= 3; p = p[3:] {
		l := luminance(p[0], p[1], p[2])
		p[0] = blend(l, int32(p[0]), f)
		p[1] = blend(l, int32(p[1]), f)
		p[2] = blend(l, int32(p[2]), f)
	}
}

// luminance is ITU-R 601-2's in 16-bit fixed point, rounded (Pillow's convert to L).
func luminance(r, g, b uint8) int32 {
	return (int32(r)*19595 + int32(g)*38470 + int32(b)*7471 + 0x8000) >> 16
}

// sharpness blends with the image smoothed by Pillow's SMOOTH: the mean of 3x3
// pixels with the middle one counted 5 times. The outermost pixels have no such
// mean and stay as they are.
func sharpness(m *Image, factor float64, scratch *[]uint8) {
	src := copied(m, scratch)
	n, f := 3*m.W, float32(factor)
	for y := 1; y < m.H-1 && m.W > 2; y++ {
		above, row, below := src[n*(y-1):][:n], src[n*y:][:n], src[n*(y+1):][:n]
		dst := m.Pix[n*y:][:n]
		for c := range 3 {
			left := column(above, row, below, c)
			middle := column(above, row, below, c+3)
			for i := c + 3; i+3 < n; i += 3 {
				right := column(above, row, below, i+3)
				v := int32(row[i])
				// The nearest whole number; 13 is odd, so there are no ties.
				dst[i] = blend((left+middle+right+4*v+6)/13, v, f)
				left, middle = middle, right
			}
		}
	}
}

func column(above, row, below []uint8, i int) int32 {
	return int32(above[i]) + int32(row[i]) + int32(below[i])
}
