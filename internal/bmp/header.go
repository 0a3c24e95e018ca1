package bmp

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Values of a header's compression field.
const (
	raw            = 0
	rle8           = 1
	rle4           = 2
	bitFields      = 3
	alphaBitFields = 6
)

const (
	fileHeader = 14      // bytes before the header of the bitmap
	maxSide    = 1 << 16 // pixels
)

// A header says how the pixels of a file are stored.
type header struct {
	w, h        int
	topDown     bool
	bits        int // a pixel
	compression int
	masks       [3]uint32 // red, green and blue, of 16, 24 and 32 bits
	palette     [256][3]uint8
	pixels      int // the byte where they begin
}

// readHeader reads all that is before the pixels.
func readHeader(file []byte) (h header, err error) {
	if len(file) < fileHeader+4 || string(file[:2]) != "BM" {
		return h, io.ErrUnexpectedEOF
	}
	size := int64(binary.LittleEndian.Uint32(file[fileHeader:]))
	switch size {
	case 12, 40, 52, 56, 64, 108, 124:
	default:
		return h, fmt.Errorf("bmp: a header of %d bytes is not known", size)
	}
	if int64(len(file)) < fileHeader+size {
		return h, io.ErrUnexpectedEOF
	}
	info, colors := file[fileHeader:fileHeader+size], 0
	if size == 12 { // OS/2's first
		h.w, h.h = int(binary.LittleEndian.Uint16(info[4:])), int(binary.LittleEndian.Uint16(info[6:]))
		h.bits = int(binary.LittleEndian.Uint16(info[10:]))
	} else {
		height := int(int32(binary.LittleEndian.Uint32(info[8:])))
		h.topDown = height < 0
		h.w, h.h = int(binary.LittleEndian.Uint32(info[4:])), max(height, -height)
		h.bits = int(binary.LittleEndian.Uint16(info[14:]))
		h.compression = int(binary.LittleEndian.Uint32(info[16:]))
		colors = int(binary.LittleEndian.Uint32(info[32:]))
	}
	if h.w < 1 || h.h < 1 || h.w > maxSide || h.h > maxSide {
		return h, fmt.Errorf("bmp: its header claims %dx%d pixels", h.w, h.h)
	}
	if err := h.check(); err != nil {
		return h, err
	}
	at := fileHeader + int(size)
	if at, err = h.readMasks(file, info, at); err != nil {
		return h, err
	}
	h.readPalette(file, at, int(size), colors)
	return h, nil
}

// check says whether the pixels are stored in a known way.
func (h *header) check() error {
	known := false
	switch h.compression {
	case raw:
		known = h.bits == 1 || h.bits == 2 || h.bits == 4 || h.bits == 8 || h.bits == 16 || h.bits == 24 || h.bits == 32
	case rle8:
		known = h.bits == 8
	case rle4:
		known = h.bits == 4
	case bitFields, alphaBitFields:
		known = h.bits == 16 || h.bits == 24 || h.bits == 32
	}
	if !known {
		return fmt.Errorf("bmp: compression %d of %d bits a pixel is not supported", h.compression, h.bits)
	}
	return nil
}

// readMasks sets the masks, which follow a header of 40 bytes and are a part of a
// longer one, and returns where the palette begins.
func (h *header) readMasks(file, info []byte, at int) (int, error) {
	h.masks = [3]uint32{0xff0000, 0xff00, 0xff}
	if h.bits == 16 {
		h.masks = [3]uint32{0x7c00, 0x3e0, 0x1f}
	}
	if h.compression != bitFields && h.compression != alphaBitFields {
		return at, nil
	}
	from := info[min(40, len(info)):]
	if len(info) == 40 {
		n := 12
		if h.compression == alphaBitFields {
			n = 16
		}
		if len(file) < at+n {
			return at, io.ErrUnexpectedEOF
		}
		from, at = file[at:], at+n
	}
	var masks [3]uint32
	for c := range masks {
		masks[c] = binary.LittleEndian.Uint32(from[4*c:])
	}
	if masks != [3]uint32{} {
		h.masks = masks
	}
	return at, nil
}

// readPalette sets the palette, as far as there is one, and where the pixels begin.
// Colours that the palette lacks are grey.
func (h *header) readPalette(file []byte, at, size, colors int) {
	for i := range h.palette {
		h.palette[i] = [3]uint8{uint8(i), uint8(i), uint8(i)}
	}
	offset, entry := int(binary.LittleEndian.Uint32(file[10:])), 4
	if size == 12 {
		entry = 3
	}
	if h.bits <= 8 {
		if colors <= 0 {
			colors = 1 << h.bits
		}
		colors = min(colors, 1<<16)
		for i := range min(colors, len(h.palette)) {
			if p := at + i*entry; p+3 <= len(file) {
				h.palette[i] = [3]uint8{file[p+2], file[p+1], file[p]}
			}
		}
		at += colors * entry
		if offset == fileHeader+size { // which leaves no room for the palette
			offset = at
		}
	}
	if offset == 0 {
		offset = at
	}
	h.pixels = offset
}
