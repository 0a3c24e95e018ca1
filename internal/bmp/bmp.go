// Package bmp reads BMP files to the pixels that Pillow reads: every header from
// OS/2's first to Windows' fifth, 1 to 32 bits a pixel, bit fields and run
// lengths. Opacity is not read: in most files that have room for it, it is 0.
package bmp

import (
	"image"
	"image/color"
	"io"
	"math/bits"
)

func init() { image.RegisterFormat("bmp", "BM", Decode, DecodeConfig) }

// DecodeConfig returns the size of the image.
func DecodeConfig(r io.Reader) (image.Config, error) {
	// The longest header, its palette or its masks.
	file, err := io.ReadAll(io.LimitReader(r, fileHeader+124+4*256))
	if err != nil {
		return image.Config{}, err
	}
	h, err := readHeader(file)
	return image.Config{ColorModel: color.RGBAModel, Width: h.w, Height: h.h}, err
}

// Decode returns the image, an *image.RGBA without transparent pixels.
func Decode(r io.Reader) (image.Image, error) {
	file, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	h, err := readHeader(file)
	if err != nil {
		return nil, err
	}
	if h.pixels > len(file) {
		return nil, io.ErrUnexpectedEOF
	}
	stride, row := (h.w*h.bits+31)/32*4, (h.w*h.bits+7)/8
	pix := file[h.pixels:]
	switch h.compression {
	case rle8, rle4:
		if pix, err = h.runs(pix); err != nil {
			return nil, err
		}
		h.bits, stride = 8, h.w
	default:
		if len(pix) < stride*(h.h-1)+row {
			return nil, io.ErrUnexpectedEOF
		}
	}
	m := image.NewRGBA(image.Rect(0, 0, h.w, h.h))
	for y := range h.h {
		to := h.h - 1 - y
		if h.topDown {
			to = y
		}
		h.row(m.Pix[to*m.Stride:][:m.Stride], pix[y*stride:])
	}
	return m, nil
}

// row writes a row of pixels, RGBA, from what is stored.
func (h *header) row(dst, src []uint8) {
	if h.bits <= 8 {
		for x := range h.w {
			at := x * h.bits
			i := src[at/8] >> (8 - h.bits - at%8) & (1<<h.bits - 1)
			c := h.palette[i]
			dst[4*x], dst[4*x+1], dst[4*x+2], dst[4*x+3] = c[0], c[1], c[2], 255
		}
		return
	}
	n := h.bits / 8
	for x := range h.w {
		var v uint32
		for i, b := range src[x*n : x*n+n] {
			v |= uint32(b) << (8 * i)
		}
		for c, mask := range h.masks {
			dst[4*x+c] = field(v, mask)
		}
		dst[4*x+3] = 255
	}
}

// field returns the bits of v that a mask selects as a value of 8 bits.
func field(v, mask uint32) uint8 {
	if mask == 0 {
		return 0
	}
	shift := bits.TrailingZeros32(mask)
	most := uint64(mask >> shift)
	return uint8(min(uint64((v&mask)>>shift)*255/most, 255))
}

// runs expands run lengths to an index a byte, rows without padding.
func (h *header) runs(src []uint8) ([]uint8, error) {
	n, x := h.w*h.h, 0
	dst := make([]uint8, 0, n)
	add := func(i uint8) {
		if len(dst) < n {
			dst = append(dst, i)
		}
	}
	start := len(src)
	for len(dst) < n && len(src) >= 2 {
		count, value := int(src[0]), src[1]
		src = src[2:]
		switch {
		case count > 0: // a run, which ends with its row
			count = max(0, min(count, h.w-x))
			for i := range count {
				add(h.index(value, i))
			}
			x += count
		case value == 0: // the end of a row
			for len(dst)%h.w != 0 {
				add(0)
			}
			x = 0
		case value == 1: // the end
			return nil, io.ErrUnexpectedEOF
		case value == 2: // a move
			if len(src) < 2 {
				return nil, io.ErrUnexpectedEOF
			}
			for range int(src[0]) + int(src[1])*h.w {
				add(0)
			}
			src, x = src[2:], len(dst)%h.w
		default: // single pixels, to an even number of bytes
			count = min(int(value), n-len(dst))
			size := count
			if h.compression == rle4 {
				size = (count + 1) / 2
			}
			if len(src) < size {
				return nil, io.ErrUnexpectedEOF
			}
			for i := range count {
				at := i
				if h.compression == rle4 {
					at = i / 2
				}
				add(h.index(src[at], i))
			}
			x += int(value)
			src = src[size:]
			if (h.pixels+start-len(src))%2 != 0 && len(src) > 0 {
				src = src[1:]
			}
		}
	}
	if len(dst) < n {
		return nil, io.ErrUnexpectedEOF
	}
	return dst, nil
}

// index returns the palette's index that is pixel i of a byte, or the byte.
func (h *header) index(b uint8, i int) uint8 {
	switch {
	case h.compression == rle8:
		return b
	case i%2 == 0:
		return b >> 4
	}
	return b & 15
}
