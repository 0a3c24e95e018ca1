package tiff

import (
	"fmt"
	"math"
)

// Values of the field PhotometricInterpretation.
const (
	whiteIsZero = 0
	blackIsZero = 1
	rgb         = 2
	palette     = 3
	cmyk        = 5
	yCbCr       = 6
	lab         = 8
)

// Values of the field Compression.
const (
	raw        = 1
	faxRows    = 2 // CCITT's modified Huffman code, a row at a time
	fax3       = 3
	fax4       = 4
	lzwCodes   = 5
	oldJPEG    = 6
	newJPEG    = 7
	deflate    = 8
	faxWords   = 32771 // as faxRows, rows of whole words
	packBits   = 32773
	deflateOld = 32946
	zstandard  = 50000
)

// unread names the compressions that are not supported.
var unread = map[uint64]string{
	9: "JBIG", 10: "JBIG", 32766: "NeXT", 32809: "ThunderScan", 32908: "PixarFilm", 32909: "PixarLog",
	33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG", 34676: "SGI Log", 34677: "SGI Log",
	34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}

// Values of the field SampleFormat.
const (
	unsigned = 1
	signed   = 2
	floating = 3
)

// What the first extra sample of a pixel is (the field ExtraSamples).
type opacity int

const (
	opaque     opacity = iota // there is none, or it is something else
	associated                // the colours are multiplied by it
	apart
)

// A layout says how the pixels of an image are stored.
type layout struct {
	*directory
	w, h        int
	compression uint64
	photometric uint64
	bits        int // a sample
	format      uint64
	samples     int // a pixel, as stored
	colours     int // of those, the first ones
	opacity     opacity
	planar      bool // samples lie in planes, one after the other
	predictor   uint64
	reversed    bool   // the bits of each byte
	subsampling [2]int // pixels that a sample of chroma is for, across and down

	tiled        bool
	blockW       int // pixels across and down in a strip or tile
	blockH       int
	across, down int // their number
	offsets      field
	sizes        field
}

// newLayout reads the fields that describe the pixels, and checks that the image is
// of a supported kind. Nothing is allocated.
func newLayout(d *directory) (*layout, error) {
	l := &layout{directory: d}
	w, h := d.uint(tagWidth, 0), d.uint(tagHeight, 0)
	if w < 1 || h < 1 || w > math.MaxInt32 || h > math.MaxInt32 {
		return nil, fmt.Errorf("tiff: its header claims %dx%d pixels", w, h)
	}
	l.w, l.h = int(w), int(h)
	l.compression = d.uint(tagCompression, raw)
	if err := l.checkCompression(); err != nil {
		return nil, err
	}
	l.photometric = d.uint(tagPhotometric, whiteIsZero)
	if l.compression == oldJPEG {
		l.photometric = yCbCr
	}
	l.planar = d.uint(tagPlanar, 1) == 2
	l.reversed = d.uint(tagFillOrder, 1) == 2 && l.compression != newJPEG && l.compression != oldJPEG
	if err := l.readSamples(); err != nil {
		return nil, err
	}
	if err := l.checkSamples(); err != nil {
		return nil, err
	}
	if err := l.readSubsampling(); err != nil {
		return nil, err
	}
	if err := l.checkCoefficients(); err != nil {
		return nil, err
	}
	if err := l.readPredictor(); err != nil {
		return nil, err
	}
	return l, l.readBlocks()
}

func (l *layout) checkCompression() error {
	switch l.compression {
	case raw, faxRows, fax3, fax4, lzwCodes, oldJPEG, newJPEG, deflate, faxWords, packBits, deflateOld, zstandard:
		return nil
	}
	if name := unread[l.compression]; name != "" {
		return UnsupportedError(name + " compression")
	}
	return UnsupportedError(fmt.Sprintf("compression %d", l.compression))
}

// readSamples reads what a pixel consists of (TiffImagePlugin.py, _setup).
func (l *layout) readSamples() error {
	switch l.photometric {
	case whiteIsZero, blackIsZero, palette:
		l.colours = 1
	case rgb, yCbCr, lab:
		l.colours = 3
	case cmyk:
		l.colours = 4
	default:
		return UnsupportedError(fmt.Sprintf("photometric interpretation %d", l.photometric))
	}
	none := uint64(1)
	if l.compression == oldJPEG {
		none = 3
	}
	n := l.uint(tagSamples, none)
	if l.photometric == yCbCr && n == 1 { // without colour
		l.photometric, l.colours = blackIsZero, 1
	}
	most := [...]uint64{whiteIsZero: 2, blackIsZero: 2, rgb: 6, palette: 2, cmyk: 6, yCbCr: 3, lab: 3}[l.photometric]
	if l.planar && l.has(tagExtraSamples) && l.extra() == 0 { // planes that are skipped
		most = maxPlanes
	}
	if n < uint64(l.colours) || n > most {
		return UnsupportedError(fmt.Sprintf("an image of %d samples a pixel, photometric interpretation %d", n, l.photometric))
	}
	l.samples = int(n)
	l.readOpacity()
	bits, err := l.same(tagBits, l.samples, 1)
	if err != nil {
		return err
	}
	if bits > 64 {
		return UnsupportedError(fmt.Sprintf("an image of %d-bit samples", bits))
	}
	l.bits = int(bits)
	l.format, err = l.same(tagFormat, l.samples, unsigned)
	return err
}

// extra returns the largest value of ExtraSamples, 0 if they are all unspecified.
func (l *layout) extra() (most uint64) {
	f := l.fields[tagExtraSamples]
	for i := range min(f.count, maxPlanes) {
		if v, ok := l.at(f, i); ok {
			most = max(most, v)
		}
	}
	return most
}

// readOpacity sets whether the first extra sample of a pixel is opacity. The fourth
// sample of RGB is, too, if the file does not describe it.
func (l *layout) readOpacity() {
	of := l.uint(tagExtraSamples, 0)
	if l.photometric == rgb && l.samples == 4 && !l.has(tagExtraSamples) {
		of = 2
		if l.planar && l.compression != raw { // as Pillow takes libtiff's guess
			of = 1
		}
	}
	switch {
	case l.samples == l.colours || l.photometric == cmyk || of == 0:
	case of == 1:
		l.opacity = associated
	default:
		l.opacity = apart
	}
}

// checkSamples refuses samples of a size or format that is not supported
// (TiffImagePlugin.py, OPEN_INFO).
func (l *layout) checkSamples() error {
	type kind struct {
		format uint64
		bits   int
	}
	grey := l.photometric == whiteIsZero || l.photometric == blackIsZero
	alone := l.samples == 1
	switch k := (kind{l.format, l.bits}); k {
	case kind{unsigned, 8}:
		return nil
	case kind{unsigned, 16}:
		if l.photometric == rgb || l.photometric == cmyk || grey && alone {
			return nil
		}
	case kind{unsigned, 1}, kind{unsigned, 2}, kind{unsigned, 4}:
		if (grey || l.photometric == palette) && alone {
			return nil
		}
	case kind{signed, 8}:
		if grey {
			return nil
		}
	case kind{unsigned, 12}, kind{signed, 16}, kind{unsigned, 32}, kind{signed, 32}, kind{floating, 32}:
		if grey && alone {
			return nil
		}
	}
	name := map[uint64]string{signed: "signed ", floating: "floating-point "}[l.format]
	return UnsupportedError(fmt.Sprintf("an image of %d %d-bit %ssamples a pixel, photometric interpretation %d", l.samples, l.bits, name, l.photometric))
}

// readSubsampling reads how Y'CbCr is subsampled (TIFF 6.0, section 21). JPEG data
// has its own subsampling.
func (l *layout) readSubsampling() error {
	l.subsampling = [2]int{1, 1}
	if l.photometric != yCbCr || l.compression == newJPEG || l.compression == oldJPEG {
		return nil
	}
	across, down := uint64(2), uint64(2)
	if f := l.fields[tagSubsampling]; f.count >= 2 {
		across, _ = l.at(f, 0)
		down, _ = l.at(f, 1)
	}
	if l.compression == raw && !l.has(tagSubsampling) { // as Pillow
		across, down = 1, 1
	}
	switch known := across<<4 | down; known {
	case 0x11:
		return nil
	case 0x44, 0x42, 0x41, 0x22, 0x21, 0x12:
		if !l.planar {
			l.subsampling = [2]int{int(across), int(down)}
			return nil
		}
	}
	return UnsupportedError(fmt.Sprintf("Y'CbCr subsampled %dx%d", across, down))
}

// readPredictor reads how the samples were predicted before they were compressed
// (TIFF 6.0, section 14; libtiff's tif_predict.c).
func (l *layout) readPredictor() error {
	l.predictor = 1
	switch l.compression {
	case lzwCodes, deflate, deflateOld, zstandard:
		l.predictor = l.uint(tagPredictor, 1)
	}
	switch l.predictor {
	case 1:
		return nil
	case 2:
		if l.bits == 8 || l.bits == 16 || l.bits == 32 {
			return nil
		}
	case 3:
		if l.format == floating {
			return nil
		}
	}
	return UnsupportedError(fmt.Sprintf("predictor %d of %d-bit samples", l.predictor, l.bits))
}

// readBlocks reads where the strips or tiles are.
func (l *layout) readBlocks() error {
	l.blockW, l.blockH = l.w, l.h
	l.offsets, l.sizes = l.fields[tagStripOffsets], l.fields[tagStripBytes]
	if l.tiled = l.has(tagTileOffsets) && !l.has(tagStripOffsets) || l.has(tagTileWidth) && l.has(tagTileOffsets); l.tiled {
		l.offsets, l.sizes = l.fields[tagTileOffsets], l.fields[tagTileBytes]
		w, h := l.uint(tagTileWidth, 0), l.uint(tagTileHeight, 0)
		if w < 1 || h < 1 || w > maxBlockSide || h > math.MaxInt32 {
			return fmt.Errorf("tiff: its tiles are %dx%d pixels", w, h)
		}
		l.blockW, l.blockH = int(w), int(h)
	} else if h := l.uint(tagRowsPerStrip, 0); h > 0 && h < uint64(l.h) {
		l.blockH = int(h)
	}
	l.across, l.down = divideUp(l.w, l.blockW), divideUp(l.h, l.blockH)
	if l.offsets.count == 0 && l.compression != oldJPEG {
		return errNoOffsets
	}
	return nil
}

func divideUp(a, b int) int { return (a + b - 1) / b }
