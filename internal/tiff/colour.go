package tiff

import (
	"image"
	"image/color"
	"math"
)

// sampler returns a function that reads sample i of a row as 8 bits: of 12 and 16 bits
// the highest 8. Signed, 32-bit and floating-point samples are clipped to 0 to 255
// (Pillow's Convert.c, i2rgb and f2l). Samples of fewer bits are scaled, unless they
// are indices of a palette.
func (r *reader) sampler() func(row []byte, i int) uint8 {
	order := r.order
	switch {
	case r.bits == 8 && r.photometric == whiteIsZero:
		return func(row []byte, i int) uint8 { return ^row[i] }
	case r.bits == 8:
		return func(row []byte, i int) uint8 { return row[i] }
	case r.bits == 12:
		return func(row []byte, i int) uint8 {
			if i%2 == 0 {
				return row[i/2*3]
			}
			return row[i/2*3+1]<<4 | row[i/2*3+2]>>4
		}
	case r.bits == 16 && r.format == signed:
		return func(row []byte, i int) uint8 { return clip(int32(int16(order.Uint16(row[2*i:])))) }
	case r.bits == 16:
		return func(row []byte, i int) uint8 { return uint8(order.Uint16(row[2*i:]) >> 8) }
	case r.format == floating:
		return func(row []byte, i int) uint8 { return clipFloat(math.Float32frombits(order.Uint32(row[4*i:]))) }
	case r.bits == 32:
		return func(row []byte, i int) uint8 { return clip(int32(order.Uint32(row[4*i:]))) }
	}
	bits := r.bits
	most := uint8(1)<<bits - 1
	scale, flip := 255/most, uint8(0)
	if r.photometric == palette {
		scale = 1
	}
	if r.photometric == whiteIsZero {
		flip = 255
	}
	return func(row []byte, i int) uint8 {
		at := i * bits
		return (row[at/8]>>(8-bits-at%8)&most)*scale ^ flip
	}
}

func clip(v int32) uint8 { return uint8(min(max(v, 0), 255)) }

func clipFloat(v float32) uint8 {
	switch {
	case v >= 255:
		return 255
	case v > 0:
		return uint8(v)
	}
	return 0 // also for NaN
}

// colourModel is the colour model that Config returns.
func (l *layout) colourModel() color.Model {
	switch {
	case l.opacity != opaque:
		return color.NRGBAModel
	case l.photometric == cmyk:
		return color.CMYKModel
	case l.colours > 1:
		return color.RGBAModel
	case l.photometric == palette:
		return color.Palette{}
	}
	return color.GrayModel
}

// finish makes an image of the samples.
func (r *reader) finish() image.Image {
	bounds, stride := image.Rect(0, 0, r.w, r.h), r.w*r.n
	switch {
	case r.photometric == cmyk:
		return &image.CMYK{Pix: r.pix, Stride: stride, Rect: bounds}
	case r.n == 1 && r.photometric == palette:
		table := r.palette()
		colours := make(color.Palette, len(table))
		for i, c := range table {
			colours[i] = color.NRGBA{c[0], c[1], c[2], 255}
		}
		return &image.Paletted{Pix: r.pix, Stride: stride, Rect: bounds, Palette: colours}
	case r.n == 1:
		return &image.Gray{Pix: r.pix, Stride: stride, Rect: bounds}
	}
	switch r.photometric {
	case whiteIsZero, blackIsZero:
		r.eachPixel(func(p []uint8) { p[1], p[2] = p[0], p[0] })
	case palette:
		table := r.palette()
		r.eachPixel(func(p []uint8) { copy(p, table[p[0]][:]) })
	case yCbCr:
		r.fromYCbCr()
	case lab:
		r.eachPixel(fromLab)
	}
	if r.opacity == associated {
		r.eachPixel(divideByOpacity)
	}
	return &image.NRGBA{Pix: r.pix, Stride: stride, Rect: bounds}
}

// eachPixel calls set with every pixel of four channels.
func (r *reader) eachPixel(set func(p []uint8)) {
	for i := 0; i < len(r.pix); i += 4 {
		set(r.pix[i : i+4 : i+4])
	}
}

// divideByOpacity undoes the product of colours with their opacity (Pillow's
// Unpack.c, unpackRGBa).
func divideByOpacity(p []uint8) {
	a := int(p[3])
	for c, v := range p[:3] {
		if a == 0 {
			p[c] = 0
			continue
		}
		p[c] = uint8(min(int(v)*255/a, 255))
	}
}

// palette returns the colours of the ColorMap, the high byte of each value; black for
// those that it lacks.
func (r *reader) palette() (table [256][3]uint8) {
	f := r.fields[tagColourMap]
	n := f.count / 3
	for c := range 3 {
		for i := range min(n, len(table)) {
			v, _ := r.at(f, c*n+i)
			table[i][c] = uint8(v >> 8)
		}
	}
	return table
}
