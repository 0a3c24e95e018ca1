package jpeg

import (
	"image"

	"effnet/internal/pixel"
)

// A space says what the components of a pixel are.
type space int

const (
	grey space = iota
	yCbCr
	rgb
	cmyk
	ycck
)

// colourSpace guesses the file's by libjpeg's rule (jdapimin.c, default_decompress_parms).
func (d *Decoder) colourSpace() space {
	c := d.components
	switch {
	case len(c) == 1:
		return grey
	case len(c) == 4 && d.adobe && d.adobeFlag != 0:
		return ycck
	case len(c) == 4:
		return cmyk
	case d.jfif:
		return yCbCr
	case d.adobe && d.adobeFlag == 0:
		return rgb
	case !d.adobe && c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B':
		return rgb
	}
	return yCbCr
}

// rowScratch is scratch for one row of a component.
type rowScratch struct {
	sums []uint16 // blended vertically, with a neighbour on each side
	wide []uint8  // at full width
}

// colour converts the samples of the region, which lie in planes that begin at
// the MCU m.Min, to RGB in dst, whose rows are the image's.
func (d *Decoder) colour(dst []uint8, region, m image.Rectangle) {
	w := d.header.Width
	x0 := region.Min.X &^ 1 // samples may be of pairs of pixels
	n := region.Max.X - x0
	for y := region.Min.Y; y < region.Max.Y; y++ {
		var rows [4][]uint8
		for i := range d.components {
			rows[i] = d.row(i, y, x0, n, m.Min)
		}
		d.convert(dst[3*(y*w+x0):][:3*n], &rows)
	}
}

// convert makes a row of RGB of the components. CMYK files are assumed to hold 255
// less each ink, as Pillow assumes, and converted by its rule (Convert.c, cmyk2rgb).
// YCCK has the inks themselves as Y'CbCr: the RGB that it converts to is the inks.
func (d *Decoder) convert(q []uint8, rows *[4][]uint8) {
	switch d.space {
	case grey:
		for i, v := range rows[0] {
			q[3*i], q[3*i+1], q[3*i+2] = v, v, v
		}
	case yCbCr, ycck:
		d.set.YCbCr(q, rows[0], rows[1], rows[2])
	default:
		for c, row := range rows[:3] {
			for i, v := range row {
				q[3*i+c] = v
			}
		}
	}
	if len(d.components) < 4 {
		return
	}
	for i, light := range rows[3] {
		for c := range 3 {
			ink := q[3*i+c]
			if d.space == cmyk {
				ink = 255 - ink
			}
			q[3*i+c] = light - divide255(uint32(ink)*uint32(light))
		}
	}
}

// divide255 returns v/255, rounded, for v up to 255*255.
func divide255(v uint32) uint8 { return uint8((v + 127) / 255) }

// row returns n samples of component i for row y of the image from x0 on, of a
// plane that begins at the MCU first. At half resolution, across or down or both,
// they are interpolated, three parts of the nearer sample to one of the next
// nearer in each direction, with the roundings of libjpeg's "fancy upsampling"
// (jdsample.c), except in images too narrow for it; at others they are repeated.
func (d *Decoder) row(i, y, x0, n int, first image.Point) []uint8 {
	c, scratch := &d.components[i], &d.rows[i]
	origin := image.Pt(8*first.X*c.h, 8*first.Y*c.v) // in samples
	line := func(y int) []uint8 { return c.plane[(y-origin.Y)*c.stride:][:c.stride] }
	at := y / c.repeat.Y
	near, far := line(at), []uint8(nil)
	if c.repeat.Y == 2 && c.repeat.X <= 2 {
		far = line(min(max(at-1+y%2*2, 0), c.samples.Y-1))
	}
	x := x0/c.repeat.X - origin.X
	switch {
	case c.repeat.X == 1 && c.repeat.Y == 1:
		return near[x:][:n]
	case c.repeat.X == 1 && c.repeat.Y == 2:
		return scratch.halfDown(near[x:][:n], far[x:], y%2)
	case c.repeat.X == 2 && c.repeat.Y <= 2 && c.samples.X > 2:
		rounding := [2]uint16{4, 8}
		if c.repeat.Y == 2 {
			rounding = [2]uint16{8, 7}
		} else {
			far = near
		}
		return d.interpolate(scratch, near, far, x, n, c.samples.X-origin.X, -origin.X, rounding)
	}
	scratch.wide = grow(scratch.wide, n+pixel.Tail)
	for i := range n {
		scratch.wide[i] = near[(x0+i)/c.repeat.X-origin.X]
	}
	return scratch.wide[:n]
}

// halfDown interpolates a row at half resolution down only; odd is the row's
// number modulo 2.
func (s *rowScratch) halfDown(near, far []uint8, odd int) []uint8 {
	s.wide = grow(s.wide, len(near)+pixel.Tail)
	out, far := s.wide[:len(near)], far[:len(near)]
	for i, v := range near {
		out[i] = uint8((3*int(v) + int(far[i]) + 1 + odd) >> 2)
	}
	return out
}

// interpolate doubles n/2 samples from x on, of rows that have samples from begin to
// end; the first and the last stand for those beyond.
func (d *Decoder) interpolate(s *rowScratch, near, far []uint8, x, n, end, begin int, rounding [2]uint16) []uint8 {
	s.wide = grow(s.wide, n+1+pixel.Tail)
	count := (n + 1) / 2
	s.sums = grow(s.sums, count+2+pixel.Tail) // one sample more at each end
	sums := s.sums[:count+2]
	lo, hi := max(x-1, begin), min(x+count+1, end)
	d.set.Blend(sums[lo-x+1:hi-x+1], near[lo:hi], far[lo:hi])
	if lo == x {
		sums[0] = sums[1]
	}
	if hi == x+count {
		sums[count+1] = sums[count]
	}
	d.set.Widen(s.wide[:2*count], sums, rounding[0], rounding[1])
	return s.wide[:n]
}
