package augment

import "math"

// The geometric operations work in place, take the nearest pixel, and fill what
// comes from outside the image with grey. They show what Pillow's
// Image.transform and Image.rotate show with NEAREST and fillcolor (128, 128,
// 128): each output pixel's centre is mapped into the source, in 16.16 fixed
// point where the map is not a translation (src/libImaging/Geometry.c), which
// has room for coordinates below 32768 there and for any here.

// grey is what the reference code fills with (tensorflow/tpu,
// models/official/efficientnet/autoaugment.py).
const grey = 128

// shearX moves row y to the left by factor*y pixels: AFFINE (1, factor, 0, 0, 1, 0).
func shearX(m *Image, factor float64) {
	first, step := fixed16(0.5+float64(factor*0.5)), fixed16(factor)
	for y := range m.H {
		shift(m.Pix[3*m.W*y:][:3*m.W], 3*((first+y*step)>>16))
	}
}

// shearY moves column x up by factor*x pixels: AFFINE (1, 0, 0, factor, 1, 0).
func shearY(m *Image, factor float64, scratch *[]uint8) {
	affine(m, [6]float64{1, 0, 0, factor, 1, 0}, scratch)
}

// translateX moves m to the left: AFFINE (1, 0, pixels, 0, 1, 0).
func translateX(m *Image, pixels float64) {
	k := 3 * nearest(pixels)
	for y := range m.H {
		shift(m.Pix[3*m.W*y:][:3*m.W], k)
	}
}

// translateY moves m up: AFFINE (1, 0, 0, 0, 1, pixels).
func translateY(m *Image, pixels float64) { shift(m.Pix, 3*m.W*nearest(pixels)) }

// rotate turns m counterclockwise about its centre: Image.rotate(degrees).
func rotate(m *Image, degrees float64, scratch *[]uint8) {
	degrees = math.Mod(degrees, 360)
	if degrees < 0 {
		degrees += 360
	}
	sin, cos := math.Sincos(-degrees * (math.Pi / 180))
	x, y := float64(m.W)/2, float64(m.H)/2
	affine(m, [6]float64{
		cos, sin, float64(cos*-x) + float64(sin*-y) + x,
		-sin, cos, float64(-sin*-x) + float64(cos*-y) + y,
	}, scratch)
}

// affine sets the pixel at x, y to the one at a0*x + a1*y + a2, a3*x + a4*y + a5,
// coordinates of centres.
func affine(m *Image, a [6]float64, scratch *[]uint8) {
	src := copied(m, scratch)
	x0 := fixed16(a[2] + float64(a[0]*0.5) + float64(a[1]*0.5))
	y0 := fixed16(a[5] + float64(a[3]*0.5) + float64(a[4]*0.5))
	a0, a1, a3, a4 := fixed16(a[0]), fixed16(a[1]), fixed16(a[3]), fixed16(a[4])
	w, h := m.W, m.H
	dst := m.Pix
	for range h {
		x, y := x0, y0
		for range w {
			r, g, b := uint8(grey), uint8(grey), uint8(grey)
			if sx, sy := x>>16, y>>16; uint(sx) < uint(w) && uint(sy) < uint(h) {
				p := src[3*(sy*w+sx):][:3]
				r, g, b = p[0], p[1], p[2]
			}
			q := dst[:3]
			q[0], q[1], q[2] = r, g, b
			dst = dst[3:]
			x += a0
			y += a3
		}
		x0 += a1
		y0 += a4
	}
}

// cutout fills with grey the square of 2*pad pixels a side whose lower right
// quarter begins at x, y, as far as it is inside m.
func cutout(m *Image, x, y, pad int) {
	left, right := max(x-pad, 0), min(x+pad, m.W)
	for row := max(y-pad, 0); row < min(y+pad, m.H); row++ {
		if left < right {
			fill(m.Pix[3*(row*m.W+left) : 3*(row*m.W+right)])
		}
	}
}

// shift moves p by k values to the front, or to the back where k is negative,
// and fills what gets free.
func shift(p []uint8, k int) {
	n := len(p)
	if k >= 0 {
		k = min(k, n)
		copy(p, p[k:])
		fill(p[n-k:])
		return
	}
	k = min(max(k, -n), 0)
	copy(p[-k:], p)
	fill(p[:-k])
}

func fill(p []uint8) {
	for i := range p {
		p[i] = grey
	}
}

// copied returns a copy of m's pixels in *scratch, which grows as needed.
func copied(m *Image, scratch *[]uint8) []uint8 {
	*scratch = grow(*scratch, len(m.Pix))
	copy(*scratch, m.Pix)
	return *scratch
}

// farthest bounds lengths, in pixels, so that their fixed point does not overflow.
const farthest = 1 << 30

// fixed16 rounds v to 16.16 fixed point.
func fixed16(v float64) int {
	return int(math.Floor(float64(min(max(v, -farthest), farthest)*65536) + 0.5))
}

// nearest rounds a distance to whole pixels.
func nearest(v float64) int { return int(math.Floor(min(max(v, -farthest), farthest) + 0.5)) }
