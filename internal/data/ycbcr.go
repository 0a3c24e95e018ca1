package data

import (
	"image"

	"effnet/internal/augment"
)

// fromJPEGs converts Y'CbCr that Go's decoder has read from a JPEG file, as libjpeg
// does, whose pixels the published weights were trained on: chroma at half resolution
// is interpolated ("fancy upsampling"), not repeated as color.YCbCr's At would. Only
// decoded images given to a Preparer need it; JPEG files are internal/jpeg's.
func (d *decoder) fromJPEGs(dst *augment.Image, m *image.YCbCr) {
	d.cb, d.cr = grow(d.cb, dst.W), grow(d.cr, dst.W)
	for y := range dst.H {
		cb := d.chromaRow(d.cb, m.Cb, m, y, dst)
		cr := d.chromaRow(d.cr, m.Cr, m, y, dst)
		fullRange(dst.Pix[3*dst.W*y:][:3*dst.W], m.Y[y*m.YStride:], cb, cr)
	}
}

// chromaRow returns row y of a chroma plane at full width, in buf or, at full
// resolution, the plane itself.
func (d *decoder) chromaRow(buf, plane []uint8, m *image.YCbCr, y int, dst *augment.Image) []uint8 {
	near := plane[m.COffset(0, y):]
	w := (dst.W + 1) / 2
	d.sum = grow(d.sum, w)
	switch ratio := m.SubsampleRatio; {
	case ratio == image.YCbCrSubsampleRatio444:
		return near
	case ratio == image.YCbCrSubsampleRatio440:
		return widenDown(buf[:dst.W], near, plane[m.COffset(0, nextRow(y, dst.H)):], y%2)
	case w <= 2: // too narrow for libjpeg to interpolate across
	case ratio == image.YCbCrSubsampleRatio422:
		for x := range d.sum {
			d.sum[x] = 4 * int32(near[x])
		}
		return widen(buf, d.sum, 4, 8)
	case ratio == image.YCbCrSubsampleRatio420:
		// Three parts of the nearer row to one of the next nearer.
		far := plane[m.COffset(0, nextRow(y, dst.H)):]
		for x := range d.sum {
			d.sum[x] = 3*int32(near[x]) + int32(far[x])
		}
		return widen(buf, d.sum, 8, 7)
	}
	for x := range dst.W {
		buf[x] = plane[m.COffset(x, y)]
	}
	return buf
}

// nextRow returns a row of the image whose chroma is the next nearest to row y's.
func nextRow(y, h int) int { return min(max(y-1+y%2*2, 0), h-1) }

// widenDown interpolates a row of chroma at full width between the nearest rows
// (jdsample.c, h1v2_fancy_upsample).
func widenDown(dst, near, far []uint8, odd int) []uint8 {
	for x := range dst {
		dst[x] = uint8((3*int(near[x]) + int(far[x]) + 1 + odd) >> 2)
	}
	return dst
}

// widen doubles a row, three parts of the nearer sample to one of the next
// nearer. Samples are four times chroma; the rounding of even and odd outputs
// is libjpeg's (jdsample.c, h2v1_fancy_upsample and h2v2_fancy_upsample).
func widen(dst []uint8, sum []int32, even, odd int32) []uint8 {
	last := sum[0]
	for x, this := range sum {
		next := this
		if x+1 < len(sum) {
			next = sum[x+1]
		}
		dst[2*x] = uint8((3*this + last + even) >> 4)
		if 2*x+1 < len(dst) {
			dst[2*x+1] = uint8((3*this + next + odd) >> 4)
		}
		last = this
	}
	return dst
}

// fullRange converts a row of JPEG's Y'CbCr (jdcolor.c, build_ycc_rgb_table).
func fullRange(dst, y, cb, cr []uint8) {
	const half = 1 << 15
	n := len(dst) / 3
	y, cb, cr = y[:n], cb[:n], cr[:n]
	for i, v := range y {
		y, cb, cr := int32(v)<<16+half, int32(cb[i])-128, int32(cr[i])-128
		q := dst[3*i:][:3]
		q[0] = clip((y + 91881*cr) >> 16)
		q[1] = clip((y - 22554*cb - 46802*cr) >> 16)
		q[2] = clip((y + 116130*cb) >> 16)
	}
}

func clip(v int32) uint8 { return uint8(min(max(v, 0), 255)) }

// grow returns s with length n and unspecified content, reusing its memory
// when it is large enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
