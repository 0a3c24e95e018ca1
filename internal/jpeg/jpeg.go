// Package jpeg decodes JPEG files fast: the kind nearly all photographs are, to
// the pixels libjpeg-turbo gives, to the bit, and of those only the part that is
// asked for.
//
// It takes sequential (baseline, extended) and progressive Huffman files of 8
// bits, grey or Y'CbCr, chroma at full, half (4:2:2) or quarter (4:2:0)
// resolution, and says ErrUnsupported of the rest: CMYK and RGB files, other
// samplings, progressive files whose last scans are missing, which libjpeg smooths.
// Of a damaged file it says some error; image/jpeg, which takes all these, is the
// judge of those.
//
// A file in one scan, nearly always a baseline one, is decoded row by row of the
// region (decode.go); of one in several scans all coefficients are kept until the
// last (coefficients.go, progressive.go). What follows is the same for both.
package jpeg

import (
	"encoding/binary"
	"errors"
	"image"

	"effnet/internal/pixel"
)

// ErrUnsupported is a file that this decoder does not take, damaged or not.
var ErrUnsupported = errors.New("jpeg: not of the kind this decoder takes")

// errDamaged is a file that ends early or contradicts itself.
var errDamaged = errors.New("jpeg: damaged")

// A Header is what a file says of itself before its pixels.
type Header struct {
	Width, Height int
}

// A Decoder decodes one file after another and keeps its memory, so a goroutine
// has its own.
type Decoder struct {
	set         *pixel.Set
	file        []byte
	header      Header
	progressive bool
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
	row         rgbRow
	skip        [64]int16 // where blocks go that nobody looks at
}

// component is one of Y', Cb, Cr.
type component struct {
	id      byte
	h, v    int // blocks across and down in an MCU
	quant   int
	table   [64]int16 // quant's at the component's first scan
	missing [64]uint8 // bits of each coefficient that are in no scan yet, or allBits
	dc, ac  int
	pred    int32 // of the next DC coefficient

	blocks []int16 // of one row of MCUs: [v, blocks across in the region, 64]
	flat   []bool  // blocks with a DC coefficient only
	plane  []uint8 // [height, stride], samples of the region
	stride int

	// Of files in several scans.
	size         image.Point // blocks across and down that show
	across       int         // blocks across in all MCUs
	coefficients []int16     // of the image: [blocks down in all MCUs, across, 64]
	set          []uint64    // bit k: coefficient k, in zigzag order, is not zero
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
	d.hasQuant = [4]bool{}
	for i := range d.huffman {
		for j := range d.huffman[i] {
			d.huffman[i][j].defined = false
		}
	}
	d.components, d.interval, d.data = d.components[:0], 0, nil
	if len(data) < 2 || data[0] != 0xff || data[1] != markSOI {
		return Header{}, ErrUnsupported
	}
	if err := d.nextScan(data[2:]); err != nil {
		return Header{}, err
	}
	d.several = d.progressive || d.scan.n < len(d.components)
	return d.header, nil
}

// nextScan reads the segments that data begins with up to the header of a scan.
func (d *Decoder) nextScan(data []byte) error {
	for {
		mark, segment, rest, err := nextSegment(data)
		if err != nil {
			return err
		}
		data = rest
		if mark == markSOS {
			d.data = rest
			return d.scanHeader(segment)
		}
		if err := d.segment(mark, segment); err != nil {
			return err
		}
	}
}

// The markers that matter (ITU-T T.81, table B.1).
const (
	markSOF0 = 0xc0 // baseline
	markSOF1 = 0xc1 // extended sequential
	markSOF2 = 0xc2 // progressive
	markDHT  = 0xc4
	markRST0 = 0xd0
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
	markDQT  = 0xdb
	markDRI  = 0xdd
	markAPP0 = 0xe0
	markAPP1 = 0xe1
	markAPPE = 0xee
	markAPPF = 0xef
	markCOM  = 0xfe
)

// nextSegment splits off the segment that data begins with, without its length.
func nextSegment(data []byte) (mark byte, segment, rest []byte, err error) {
	if len(data) < 4 || data[0] != 0xff {
		return 0, nil, nil, errDamaged
	}
	for len(data) > 4 && data[1] == 0xff { // padding
		data = data[1:]
	}
	n := int(binary.BigEndian.Uint16(data[2:]))
	if n < 2 || len(data) < 2+n {
		return 0, nil, nil, errDamaged
	}
	return data[1], data[4 : 2+n], data[2+n:], nil
}

// segment takes one segment other than SOS.
func (d *Decoder) segment(mark byte, s []byte) error {
	switch {
	case mark >= markSOF0 && mark <= markSOF2:
		d.progressive = mark == markSOF2
		return d.frame(s)
	case mark == markDHT:
		return d.tables(s)
	case mark == markDQT:
		return d.quantization(s)
	case mark == markDRI && len(s) == 2:
		d.interval = int(binary.BigEndian.Uint16(s))
		return nil
	case mark == markAPPE && len(s) >= 12 && string(s[:5]) == "Adobe":
		if s[11] != 1 { // neither Y'CbCr nor grey, or image/jpeg's to decide
			return ErrUnsupported
		}
		return nil
	case mark >= markAPP0 && mark <= markAPPF || mark == markCOM:
		return nil
	}
	return ErrUnsupported
}

// quantization takes a DQT segment.
func (d *Decoder) quantization(s []byte) error {
	for len(s) > 0 {
		id := s[0]
		if id > 3 || len(s) < 65 { // 16-bit tables have bit 4 set
			return ErrUnsupported
		}
		for i, v := range s[1:65] {
			d.quant[id][i] = int16(v)
		}
		d.hasQuant[id] = true
		s = s[65:]
	}
	return nil
}

// frame takes a SOF segment.
func (d *Decoder) frame(s []byte) error {
	if len(d.components) > 0 || len(s) < 6 || s[0] != 8 || len(s) != 6+3*int(s[5]) {
		return ErrUnsupported
	}
	d.header.Height = int(binary.BigEndian.Uint16(s[1:]))
	d.header.Width = int(binary.BigEndian.Uint16(s[3:]))
	n := int(s[5])
	if d.header.Width == 0 || d.header.Height == 0 || n != 1 && n != 3 {
		return ErrUnsupported
	}
	if cap(d.components) < 3 {
		d.components = make([]component, 0, 3)
	}
	d.components = d.components[:n]
	for i := range d.components {
		c, s := &d.components[i], s[6+3*i:]
		c.id, c.h, c.v, c.quant = s[0], int(s[1]>>4), int(s[1]&15), int(s[2])
		if c.quant > 3 || n == 1 && (c.h < 1 || c.v < 1) || i > 0 && (c.h != 1 || c.v != 1) {
			return ErrUnsupported
		}
		for k := range c.missing {
			c.missing[k] = allBits
		}
	}
	luma := &d.components[0]
	if n == 1 {
		luma.h, luma.v = 1, 1 // the only component of a scan is not interleaved
	}
	switch [2]int{luma.h, luma.v} {
	case [2]int{1, 1}, [2]int{2, 1}, [2]int{2, 2}:
	default:
		return ErrUnsupported
	}
	if n == 3 && d.components[0].id == 'R' && d.components[1].id == 'G' && d.components[2].id == 'B' {
		return ErrUnsupported
	}
	d.mcu = image.Pt(8*luma.h, 8*luma.v)
	d.mcus = image.Pt((d.header.Width+d.mcu.X-1)/d.mcu.X, (d.header.Height+d.mcu.Y-1)/d.mcu.Y)
	return nil
}
