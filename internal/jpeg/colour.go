package jpeg

import (
	"image"

	"effnet/internal/pixel"
)

// rgbRow is scratch for one row.
type rgbRow struct {
	sums   [2][]uint16 // chroma blended vertically, with a neighbour on each side
	chroma [2][]uint8  // at full width
}

// colour converts the samples of the region, which lie in planes that begin at
// the MCU m.Min, to RGB in dst, whose rows are the image's.
func (d *Decoder) colour(dst []uint8, region, m image.Rectangle) {
	w := d.header.Width
	x0 := region.Min.X &^ 1 // chroma samples are of pairs of pixels
	n := region.Max.X - x0
	origin := image.Pt(m.Min.X*d.mcu.X, m.Min.Y*d.mcu.Y)
	luma := &d.components[0]
	for y := region.Min.Y; y < region.Max.Y; y++ {
		at := (y-origin.Y)*luma.stride + x0 - origin.X
		q, ys := dst[3*(y*w+x0):][:3*n], luma.plane[at:][:n]
		if len(d.components) == 1 {
			for i, v := range ys {
				q[3*i], q[3*i+1], q[3*i+2] = v, v, v
			}
			continue
		}
		cb := d.chromaRow(0, y, x0, n, origin)
		cr := d.chromaRow(1, y, x0, n, origin)
		d.set.YCbCr(q, ys, cb, cr)
	}
}

// chromaRow returns n samples of Cb (0) or Cr (1) for row y of the image from x0
// on. Chroma at half resolution is interpolated, three parts of the nearer
// sample to one of the next nearer in each direction, with the roundings of
// libjpeg's "fancy upsampling" (jdsample.c), except in images too narrow for it.
func (d *Decoder) chromaRow(which, y, x0, n int, origin image.Point) []uint8 {
	c, luma := &d.components[1+which], &d.components[0]
	row := func(y int) []uint8 { return c.plane[(y-origin.Y/luma.v)*c.stride:][:c.stride] }
	first := x0/luma.h - origin.X/luma.h // in the plane
	if luma.h == 1 {
		return row(y)[first:][:n]
	}
	out := &d.row.chroma[which]
	*out = grow(*out, n+1+pixel.Tail)
	near := row(y / luma.v)
	half := (d.header.Width + 1) / 2
	if half <= 2 {
		for x := range n {
			(*out)[x] = near[first+x/2]
		}
		return (*out)[:n]
	}
	far, even, odd := near, uint16(4), uint16(8)
	if luma.v == 2 {
		next := min(max(y/2-1+y%2*2, 0), (d.header.Height+1)/2-1)
		far, even, odd = row(next), 8, 7
	}
	// One sample more at each end; the image's last ones stand for those beyond.
	count := (n + 1) / 2
	sums := &d.row.sums[which]
	*sums = grow(*sums, count+2+pixel.Tail)
	s := (*sums)[:count+2]
	lo, hi := max(first-1, -origin.X/2), min(first+count+1, half-origin.X/2)
	d.set.Blend(s[lo-first+1:hi-first+1], near[lo:hi], far[lo:hi])
	if lo == first {
		s[0] = s[1]
	}
	if hi == first+count {
		s[count+1] = s[count]
	}
	d.set.Widen((*out)[:2*count], s, even, odd)
	return (*out)[:n]
}
