// Package jpeg decodes JPEG files fast, to the pixels that Pillow gets from
// libjpeg-turbo, to the bit, and only the part of the image that is asked for.
//
// It takes every sequential (baseline, extended) and progressive Huffman file of 8
// bits that libjpeg-turbo takes without finding its image data damaged: grey,
// Y'CbCr, RGB, CMYK and YCCK, with sampling factors of 1 to 4, also where scans
// are missing, and camera frames without Huffman tables. Its errors name what it
// does not support: arithmetic coding, lossless and 12-bit files. A file without
// its end, and one whose data is damaged, is an error.
//
// A file in one scan, nearly always a baseline one, is decoded row by row of the
// region (decode.go); of one in several scans all coefficients are kept until the
// last (coefficients.go, progressive.go), and missing ones are estimated
// (smooth.go). What follows is the same for both.
package jpeg

import (
	"image"

	"effnet/internal/pixel"
)

// A Header is what a file says of itself before its pixels.
type Header struct {
	Width, Height int
	Components    int // 1, grey; 3, colour; 4, CMYK or YCCK
}

// A Decoder decodes one file after another and keeps its memory, so a goroutine
// has its own.
type Decoder struct {
	set         *pixel.Set
	file        []byte
	header      Header
	progressive bool
	jfif, adobe bool         // there was such a marker
	adobeFlag   byte         // Adobe's
	space       space        // of the components
	several     bool         // scans, not one of all components
	quant       [4][64]int16 // in the order of the file (zigzag)
	hasQuant    [4]bool
	huffman     [2][4]table // [DC, AC]
	components  []component
	interval    int         // MCUs between restarts; 0 for none
	mcu         image.Point // size in pixels
	mcus        image.Point // their number, across and down
	scan        scan        // the one whose header was read last
	data        []byte      // the file from that scan's data on
	bits        bits
	rows        [4]rowScratch
	skip        [64]int16 // where blocks go that are not needed
}

// component is one of those that make up a pixel, such as Y', Cb, Cr.
type component struct {
	id      byte
	h, v    int         // blocks across and down in an MCU
	repeat  image.Point // pixels that a sample is for, across and down
	samples image.Point // across and down that show
	size    image.Point // blocks across and down that show
	quant   int
	table   [64]int16 // quant's at the component's first scan; zeros before
	latched bool      // there was such a scan
	missing [64]uint8 // bits of each coefficient that are in no scan yet, or allBits
	dc, ac  int
	pred    int32 // of the next DC coefficient

	blocks []int16 // of one row of MCUs: [v, blocks across in the region, 64]
	flat   []bool  // blocks with a DC coefficient only
	plane  []uint8 // [height, stride], samples of the region
	stride int

	// Of files in several scans.
	across       int      // blocks across in all MCUs
	coefficients []int16  // of the image: [blocks down in all MCUs, across, 64]
	set          []uint64 // bit k: coefficient k, in zigzag order, is not zero
}

// allBits is the missing of a coefficient of which nothing is known.
const allBits = 255

// New returns a Decoder.
func New() *Decoder { return &Decoder{set: pixel.Best()} }

// Open reads the headers of a file, which the next Decode refers to; data must
// not change until then. No memory is allocated for its pixels.
func (d *Decoder) Open(data []byte) (Header, error) {
	d.file = data
	d.header, d.progressive = Header{}, false
	d.jfif, d.adobe = false, false
	d.hasQuant = [4]bool{}
	for i := range d.huffman {
		for j := range d.huffman[i] {
			d.huffman[i][j].defined = false
		}
	}
	d.components, d.interval, d.data = d.components[:0], 0, nil
	if !Is(data) {
		return Header{}, errNotJPEG
	}
	d.scan.n = 0
	if err := d.nextScan(data[2:]); err != nil {
		return Header{}, err
	}
	if d.scan.n == 0 {
		return Header{}, headerError("it has no image")
	}
	d.several = d.progressive || d.scan.n < len(d.components)
	d.space = d.colourSpace()
	return d.header, nil
}

// nextScan reads the segments that data begins with, up to the header of a scan
// or the end of the image, which leaves no data.
func (d *Decoder) nextScan(data []byte) error {
	for {
		mark, segment, rest, err := nextSegment(data)
		if err != nil {
			return err
		}
		data = rest
		switch mark {
		case markSOS:
			d.data = rest
			return d.scanHeader(segment)
		case markEOI:
			if len(d.components) == 0 && Is(rest) { // those were tables only
				d.jfif, d.adobe, d.interval = false, false, 0
				data = rest[2:]
				continue
			}
			d.data = nil
			return nil
		}
		if err := d.segment(mark, segment); err != nil {
			return err
		}
	}
}
