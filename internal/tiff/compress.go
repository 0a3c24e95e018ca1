package tiff

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/image/tiff/lzw"

	"effnet/internal/jpeg"
)

// scratch is what decompressors keep from one strip or tile to the next.
type scratch struct {
	src    bytes.Reader // the data
	zlib   io.ReadCloser
	zstd   *zstd.Decoder
	jpeg   *jpeg.Decoder
	pixels []byte // of a JPEG strip or tile
}

// maxWindow is how far back Zstandard data may refer, in bytes.
const maxWindow = 32 << 20

// expand returns the decompressed samples of a strip or tile, before the predictor is
// undone; only the first rows are needed. A JPEG block has blockW pixels by full rows.
func (r *reader) expand(data []byte, rows, full int) (io.Reader, error) {
	src := &r.src
	src.Reset(data)
	switch r.compression {
	case packBits:
		return &packBitsReader{src: src}, nil
	case lzwCodes:
		if len(data) >= 2 && data[0] == 0 && data[1]&1 == 1 { // tif_lzw.c's test
			return nil, UnsupportedError("LZW compression from before TIFF 6.0")
		}
		return lzw.NewReader(src, lzw.MSB, 8), nil
	case deflate, deflateOld:
		if r.zlib == nil {
			z, err := zlib.NewReader(src)
			r.zlib = z
			return z, err
		}
		return r.zlib, r.zlib.(zlib.Resetter).Reset(src, nil)
	case zstandard:
		if r.zstd == nil {
			z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			r.zstd = z
			return z, err
		}
		return r.zstd, r.zstd.Reset(src)
	case faxRows, fax3, fax4, faxWords:
		src.Reset(nil) // as it is read whole
		pixels, err := decodeFax(data, r.blockW, rows, r.compression, r.uint(tagT4Options, 0))
		return bytes.NewReader(pixels), err
	case newJPEG, oldJPEG:
		src.Reset(nil) // likewise
		pixels, err := r.fromJPEG(data, full)
		return bytes.NewReader(pixels), err
	default:
		return src, nil
	}
}

// packBitsReader expands PackBits (TIFF 6.0, section 9).
type packBitsReader struct {
	src     *bytes.Reader
	literal int // bytes of src still to be copied
	run     int // copies of value still to be written
	value   byte
}

func (p *packBitsReader) Read(out []byte) (n int, err error) {
	for n < len(out) {
		switch {
		case p.run > 0:
			m := min(p.run, len(out)-n)
			for i := range m {
				out[n+i] = p.value
			}
			n, p.run = n+m, p.run-m
		case p.src.Len() == 0:
			return n, io.EOF
		case p.literal > 0:
			m, _ := p.src.Read(out[n:min(n+p.literal, len(out))]) // which has some
			n, p.literal = n+m, p.literal-m
		default:
			b, _ := p.src.ReadByte() // likewise
			switch code := int8(b); {
			case code >= 0:
				p.literal = int(code) + 1
			case code != -128 && p.src.Len() > 0:
				p.run = 1 - int(code)
				p.value, _ = p.src.ReadByte()
			}
		}
	}
	return n, nil
}

// fromJPEG returns the samples of a JPEG strip or tile of the height full, [rows,
// blockW, samples]. Y'CbCr that is not in planes is converted to RGB, as libtiff asks of
// libjpeg (tif_jpeg.c); all other samples stay as they are stored.
func (r *reader) fromJPEG(data []byte, full int) ([]byte, error) {
	if tables := r.fields[tagJPEGTables].data; len(tables) > 0 {
		data = append(bytes.Clone(tables), data...)
	}
	if r.jpeg == nil {
		r.jpeg = jpeg.New()
	}
	h, err := r.jpeg.Open(data)
	if err != nil {
		return nil, err
	}
	if h.Width != r.blockW || h.Height > full && r.tiled || h.Components != r.perBlock() {
		return nil, fmt.Errorf("tiff: JPEG data of %dx%d pixels with %d samples, where %dx%d with %d belong",
			h.Width, h.Height, h.Components, r.blockW, full, r.perBlock())
	}
	if h.Width*h.Height > max(2*r.w*r.h, minBlockArea) {
		return nil, fmt.Errorf("tiff: JPEG data of %dx%d pixels in an image of %dx%d", h.Width, h.Height, r.w, r.h)
	}
	if err := r.spend(len(data) + h.Width*h.Height*h.Components); err != nil {
		return nil, err
	}
	r.pixels = grow(r.pixels, h.Width*h.Height*h.Components)
	if r.photometric == yCbCr && !r.planar && r.compression == newJPEG {
		return r.pixels, r.jpeg.DecodeYCbCr(r.pixels)
	}
	return r.pixels, r.jpeg.DecodeComponents(r.pixels)
}
