// Package tiff reads the first image of a TIFF file (TIFF 6.0; BigTIFF too) to the
// pixels that Pillow reads. Pillow reads uncompressed files itself
// (TiffImagePlugin.py, Unpack.c) and the others with libtiff.
//
// It takes strips and tiles, colours together and in separate planes, bilevel to
// 16-bit grey, 32-bit integers and floating-point numbers, palettes, RGB, CMYK,
// Y'CbCr and CIE L*a*b*; and the compressions PackBits, LZW, Deflate, Zstandard,
// CCITT's and JPEG. Its errors name what it does not support. Of that, Pillow reads
// LZMA, which few files use and which would need another module; ThunderScan; and
// old-style JPEG in pieces.
//
// It differs from Pillow where Pillow loses the picture: of unsigned grey samples of
// 12 and 16 bits it keeps the highest 8, where Pillow makes all above 255 white;
// and it reads subsampled Y'CbCr without compression, which Pillow reads as if it
// were not subsampled.
// As in Pillow, 16-bit and floating-point samples are never turned from white to black.
// A file whose image data is damaged or ends early is an error.
package tiff

import (
	"errors"
	"image"
	"io"
)

// An UnsupportedError names what a file has that is not supported.
type UnsupportedError string

func (e UnsupportedError) Error() string { return "tiff: " + string(e) + " is not supported" }

// Limits on what a header may ask for. The size of the image is for the caller to
// check before decoding.
const (
	maxBlockSide = 1 << 16 // pixels across a strip or tile
	maxPlanes    = 1 << 10
	minBlockArea = 1 << 22 // pixels that a JPEG tile may have, however small the image
	minWork      = 1 << 24 // bytes that strips and tiles may hold, however small the file and the image
	workPerByte  = 16      // how many more, for each byte of the file and of the pixels
)

// Is reports whether a file begins as TIFF does (TiffImagePlugin.py, PREFIXES, which
// has two whose version is in the wrong byte order).
func Is(file []byte) bool {
	if len(file) < 4 {
		return false
	}
	switch string(file[:4]) {
	case "II*\x00", "MM\x00*", "II\x00*", "MM*\x00", "II+\x00", "MM\x00+":
		return true
	}
	return false
}

// Config returns the size of the image in pixels, as it is stored, without regard to
// its orientation. Its colour model is NRGBA's only where pixels have opacity.
func Config(file []byte) (image.Config, error) {
	d, err := readDirectory(file)
	if err != nil {
		return image.Config{}, err
	}
	l, err := newLayout(d)
	if err != nil {
		return image.Config{}, err
	}
	return image.Config{ColorModel: l.colourModel(), Width: l.w, Height: l.h}, nil
}

// Orientation returns the tag, 1 to 8; 1, upright, where there is none.
func Orientation(file []byte) int {
	d, err := readDirectory(file)
	if err != nil {
		return 1
	}
	if v := d.uint(tagOrientation, 1); v >= 1 && v <= 8 {
		return int(v)
	}
	return 1
}

// Decode returns the image, as it is stored, without regard to its orientation: an
// *image.Gray, *image.Paletted, *image.CMYK or *image.NRGBA. It allocates memory for
// the pixels, for a row of a strip or tile and for the decompressor.
func Decode(file []byte) (image.Image, error) {
	d, err := readDirectory(file)
	if err != nil {
		return nil, err
	}
	l, err := newLayout(d)
	if err != nil {
		return nil, err
	}
	r := reader{layout: l, file: file}
	if l.reversed {
		r.file = reversedBits(file)
	}
	r.newImage()
	if err := r.blocks(); err != nil {
		return nil, err
	}
	return r.finish(), nil
}

var (
	errNoOffsets = errors.New("tiff: it does not say where its pixels are")
	errTruncated = io.ErrUnexpectedEOF
)
