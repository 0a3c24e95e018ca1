package data

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/png" // registers the format, as do those below
	"strings"

	"effnet/internal/augment"
	_ "effnet/internal/bmp"
	"effnet/internal/jpeg"
	"effnet/internal/tiff"
)

// What a file may ask for before it is refused. A worker needs about 5 bytes a
// pixel for most photographs and at most about 16, for a progressive CMYK JPEG,
// whose coefficients are kept, or 24, for one in a TIFF file.
const (
	MaxFileBytes = 256 << 20   // of one file
	MaxPixels    = 100_000_000 // of one image
	MaxSide      = 1 << 16     // pixels
)

const (
	replaceHint = "remove the file or replace it with a good copy"
	convertHint = "convert the file to a baseline JPEG or a PNG, or remove it"
)

// A decoder turns image files into packed RGB, in two steps, so that pixels that are
// not needed need not be decoded. It keeps its scratch memory from one image to
// the next, so a goroutine has its own.
type decoder struct {
	background *[3]uint8 // transparent pixels are laid over it; if nil, they keep the stored colour
	upright    bool      // turn images by their orientation tag

	file        buffer
	bare        record // what load has read, if that is pixels
	encoded     []byte // the file that open was given; nil for pixels
	path        string // of it, for errors
	jpeg        *jpeg.Decoder
	isJPEG      bool // the file that open was given
	isCMYK      bool // likewise
	w, h        int  // what its header says
	orientation int
	turned      augment.Image // the image before it is turned
	frame       augment.Image // of WebP, smaller than its canvas
	indices     []uint8       // of a GIF frame

	cb, cr []uint8 // one row of chroma at full width
	sum    []int32 // one row of chroma at half width
}

// open returns the size of the image in a file, which must not change before
// pixels has decoded it. The size is checked against what is allowed; nothing is
// allocated for it. Orientation tags are ignored unless upright is set, as they
// are by the pipelines the published weights come from.
func (d *decoder) open(file []byte, path string) (w, h int, err error) {
	defer d.rescue(&err)
	d.encoded, d.path = file, path
	if err := d.header(file); err != nil {
		return 0, 0, err
	}
	d.orientation = 1
	if d.upright || tiff.Is(file) { // like Pillow, which always turns TIFF
		d.orientation = orientation(file)
	}
	if d.w < 1 || d.h < 1 || d.w > MaxSide || d.h > MaxSide || d.w*d.h > MaxPixels {
		return 0, 0, &Error{Path: path, Hint: replaceHint, Reason: fmt.Sprintf(
			"its header claims %dx%d pixels, outside 1x1 to %d megapixels or %d per side", d.w, d.h, MaxPixels/1_000_000, MaxSide)}
	}
	if swapsSides(d.orientation) {
		return d.h, d.w, nil
	}
	return d.w, d.h, nil
}

// header reads the size of the image in a file.
func (d *decoder) header(file []byte) error {
	d.isJPEG, d.isCMYK = jpeg.Is(file), false
	if isGIF(file) {
		frame, err := readGIF(file)
		if err != nil {
			return d.failed("gif", err)
		}
		d.w, d.h = frame.w, frame.h
		return nil
	}
	if isWebP(file) {
		frame, err := readWebP(file)
		if err != nil {
			return d.failed("webp", err)
		}
		d.w, d.h = frame.w, frame.h
		return nil
	}
	if !d.isJPEG {
		cfg, format, err := configOther(file)
		if err != nil {
			return d.failed(format, err)
		}
		d.w, d.h = cfg.Width, cfg.Height
		return nil
	}
	if d.jpeg == nil {
		d.jpeg = jpeg.New()
	}
	header, err := d.jpeg.Open(file)
	if err != nil {
		return d.failed("jpeg", err)
	}
	d.w, d.h, d.isCMYK = header.Width, header.Height, header.Components == 4
	return nil
}

// pixels decodes the file that open was given into dst, which gets the image's
// size; pixels outside the region may be left unspecified.
func (d *decoder) pixels(dst *augment.Image, region image.Rectangle) (err error) {
	defer d.rescue(&err)
	if d.orientation == 1 {
		return d.unturned(dst, region)
	}
	if err := d.unturned(&d.turned, image.Rect(0, 0, d.w, d.h)); err != nil {
		return err
	}
	turn(dst, &d.turned, d.orientation)
	return nil
}

// unturned is pixels, for the image as it is stored in the file.
func (d *decoder) unturned(dst *augment.Image, region image.Rectangle) error {
	dst.Reset(d.w, d.h)
	if d.isJPEG {
		if err := d.jpeg.Decode(dst.Pix, region); err != nil {
			return d.failed("jpeg", err)
		}
		return nil
	}
	if isGIF(d.encoded) {
		if err := d.fromGIF(dst); err != nil {
			return d.failed("gif", err)
		}
		return nil
	}
	if isWebP(d.encoded) {
		if err := d.fromWebP(dst); err != nil {
			return d.failed("webp", err)
		}
		return nil
	}
	m, format, err := decodeOther(d.encoded)
	if err != nil {
		return d.failed(format, err)
	}
	if m.Bounds() != image.Rect(0, 0, d.w, d.h) {
		return d.failed(format, errors.New("its image does not have the size that the file announces"))
	}
	d.toRGB(dst, m.(image.RGBA64Image), nil) // as every decoder's images are, and none Y'CbCr
	return nil
}

// rescue makes a panic of a format's decoder an error. Memory faults are guard's.
func (d *decoder) rescue(err *error) {
	if p := recover(); p != nil {
		if isFault(p) {
			panic(p)
		}
		*err = &Error{Path: d.path, Reason: fmt.Sprintf("cannot decode: %v", p), Hint: replaceHint}
	}
}

func (d *decoder) failed(format string, err error) error {
	hint := replaceHint
	if _, ok := errors.AsType[jpeg.UnsupportedError](err); ok {
		hint = convertHint
	}
	if _, ok := errors.AsType[tiff.UnsupportedError](err); ok || errors.Is(err, image.ErrFormat) && foreign(d.encoded) != "" {
		hint = convertHint
	}
	return &Error{Path: d.path, Reason: reason(d.encoded, format, err), Hint: hint, Err: err}
}

// reason words an error of parse for a person.
func reason(file []byte, format string, err error) string {
	if errors.Is(err, image.ErrFormat) {
		if name := foreign(file); name != "" {
			return name + " images are not supported"
		}
		return "not a JPEG, PNG, GIF, WebP, BMP or TIFF image"
	}
	if e, ok := errors.AsType[jpeg.UnsupportedError](err); ok {
		return string(e) + " is not supported"
	}
	label, text := strings.ToUpper(format), err.Error()
	if e, ok := errors.AsType[tiff.UnsupportedError](err); ok {
		return "a TIFF file with a feature that is not supported: " + string(e)
	}
	if errors.Is(err, jpeg.ErrTruncated) {
		return "truncated " + label
	}
	// How the decoders word that the file ended; they do not all wrap io.EOF.
	for _, end := range []string{"EOF", "short Huffman data", "not enough pixel data", "not enough image data"} {
		if strings.HasSuffix(text, end) {
			return "truncated " + label
		}
	}
	return "unusable " + label + ": " + strings.TrimPrefix(text, format+": ")
}

// toRGB copies m onto dst, transparent pixels over the background if there is one.
// Y'CbCr, which only WebP's decoder and a Preparer's callers have, is converted by
// fromYCbCr. The types the decoders return have a path of their own; the rest take the
// general one.
func (d *decoder) toRGB(dst *augment.Image, m image.RGBA64Image, fromYCbCr func(*augment.Image, *image.YCbCr)) {
	switch m := m.(type) {
	case *image.YCbCr:
		fromYCbCr(dst, m)
	case *image.NYCbCrA:
		fromYCbCr(dst, &m.YCbCr)
		eachRow(dst, m.A, m.AStride, 1, func(q, p []uint8) { d.blend(q, p[0]) })
	case *image.Gray:
		eachRow(dst, m.Pix, m.Stride, 1, func(q, p []uint8) { q[0], q[1], q[2] = p[0], p[0], p[0] })
	case *image.Paletted:
		table := d.palette(m.Palette)
		eachRow(dst, m.Pix, m.Stride, 1, func(q, p []uint8) { copy(q, table[p[0]][:]) })
	case *image.RGBA:
		eachRow(dst, m.Pix, m.Stride, 4, func(q, p []uint8) { d.premultiplied(q, p) })
	case *image.NRGBA:
		eachRow(dst, m.Pix, m.Stride, 4, func(q, p []uint8) {
			copy(q, p[:3])
			d.blend(q, p[3])
		})
	case *image.NRGBA64:
		if d.background != nil {
			d.fromAny(dst, m)
			return
		}
		eachRow(dst, m.Pix, m.Stride, 8, func(q, p []uint8) { q[0], q[1], q[2] = p[0], p[2], p[4] })
	case *image.CMYK: // as Pillow's Convert.c, cmyk2rgb
		eachRow(dst, m.Pix, m.Stride, 4, func(q, p []uint8) {
			light := 255 - p[3]
			for c := range 3 {
				q[c] = light - divide255(uint32(p[c])*uint32(light))
			}
		})
	default:
		d.fromAny(dst, m)
	}
}

// eachRow calls set with every pixel q of dst and its pixel p of src, which has n bytes.
func eachRow(dst *augment.Image, src []uint8, stride, n int, set func(q, p []uint8)) {
	for y := range dst.H {
		q, p := dst.Pix[3*dst.W*y:][:3*dst.W], src[y*stride:]
		for x := range dst.W {
			set(q[3*x:3*x+3], p[n*x:n*x+n])
		}
	}
}

// blend lays the pixel q, of opacity alpha, over the background if there is one.
func (d *decoder) blend(q []uint8, alpha uint8) {
	if alpha == 255 || d.background == nil {
		return
	}
	a := uint32(alpha)
	for c, back := range d.background {
		q[c] = divide255(uint32(q[c])*a + uint32(back)*(255-a))
	}
}

// premultiplied sets q to a pixel p whose colour is multiplied by its opacity.
func (d *decoder) premultiplied(q, p []uint8) {
	if d.background == nil {
		c := color.NRGBAModel.Convert(color.RGBA{p[0], p[1], p[2], p[3]}).(color.NRGBA)
		q[0], q[1], q[2] = c.R, c.G, c.B
		return
	}
	for c, back := range d.background {
		q[c] = p[c] + divide255(uint32(back)*uint32(255-p[3]))
	}
}

// palette returns the palette's colours, over the background if there is one.
func (d *decoder) palette(p color.Palette) (table [256][3]uint8) {
	for i := range min(len(p), len(table)) {
		c := color.NRGBAModel.Convert(p[i]).(color.NRGBA)
		table[i] = [3]uint8{c.R, c.G, c.B}
		d.blend(table[i][:], c.A)
	}
	return table
}

// fromAny copies any image of dst's size.
func (d *decoder) fromAny(dst *augment.Image, m image.RGBA64Image) {
	for i := range dst.W * dst.H {
		c := m.RGBA64At(i%dst.W, i/dst.W) // premultiplied
		q := dst.Pix[3*i:][:3]
		if d.background == nil {
			c := color.NRGBA64Model.Convert(c).(color.NRGBA64)
			q[0], q[1], q[2] = uint8(c.R>>8), uint8(c.G>>8), uint8(c.B>>8)
			continue
		}
		for i, v := range [3]uint16{c.R, c.G, c.B} {
			back := uint32(d.background[i]) * 0x101 * uint32(0xffff-c.A) / 0xffff
			q[i] = uint8((uint32(v) + back) >> 8)
		}
	}
}

// divide255 returns v/255, rounded, for v up to 255*255.
func divide255(v uint32) uint8 { return uint8((v + 127) / 255) }
