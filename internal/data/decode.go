package data

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // registers the format, as do those below
	_ "image/jpeg"
	_ "image/png"
	"io"
	"io/fs"
	"strings"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"

	"effnet/internal/augment"
)

// What a file may ask for before it is refused. A worker needs about 5 bytes a
// pixel for most photographs and at most about 25, for a progressive CMYK JPEG,
// whose coefficients are kept as 32-bit integers.
const (
	MaxFileBytes = 256 << 20   // of one file
	MaxPixels    = 100_000_000 // of one image
	MaxSide      = 1 << 16     // pixels
)

const replaceHint = "remove the file or replace it with a good copy"

// A decoder turns files into packed RGB. It keeps its scratch memory from one
// image to the next, so a goroutine has its own.
type decoder struct {
	background [3]uint8 // shows through transparent pixels

	file   buffer
	cb, cr []uint8 // one row of chroma at full width
	sum    []int32 // one row of chroma at half width
}

// decode decodes an image file into dst; path is for errors, which are *Error.
// Orientation tags are ignored, as they are by the pipelines the published
// weights come from. The size the file's header claims is checked before memory
// is allocated for it, and a panic of a format's decoder becomes an error.
func (d *decoder) decode(dst *augment.Image, file []byte, path string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Path: path, Reason: fmt.Sprintf("cannot decode: %v", p), Hint: replaceHint}
		}
	}()
	m, format, err := parse(dst, bytes.NewReader(file))
	if err != nil {
		return &Error{Path: path, Reason: reason(format, err), Hint: replaceHint, Err: err}
	}
	d.toRGB(dst, m, format == "webp")
	return nil
}

// parse decodes one image of any format and gives dst its size.
func parse(dst *augment.Image, r io.ReadSeeker) (m image.RGBA64Image, format string, err error) {
	cfg, format, err := image.DecodeConfig(r)
	if err != nil {
		return nil, format, err
	}
	if w, h := cfg.Width, cfg.Height; w < 1 || h < 1 || w > MaxSide || h > MaxSide || w*h > MaxPixels {
		return nil, format, fmt.Errorf("its header claims %dx%d pixels, outside 1x1 to %d megapixels or %d a side",
			w, h, MaxPixels/1_000_000, MaxSide)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, format, err
	}
	decoded, format, err := image.Decode(r)
	if err != nil {
		return nil, format, err
	}
	dst.Reset(cfg.Width, cfg.Height)
	return decoded.(image.RGBA64Image), format, nil // as every decoder's images are
}

// reason words an error of parse for a person.
func reason(format string, err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return "cannot be read: " + pe.Err.Error()
	}
	if errors.Is(err, image.ErrFormat) {
		return "not a JPEG, PNG, GIF, WebP or BMP image"
	}
	label, text := strings.ToUpper(format), err.Error()
	// How the decoders say that the file ended; they do not all wrap io.EOF.
	for _, end := range []string{"EOF", "short Huffman data", "not enough pixel data", "not enough image data"} {
		if strings.HasSuffix(text, end) {
			return "truncated " + label
		}
	}
	return "unusable " + label + ": " + strings.TrimPrefix(text, format+": ")
}

// toRGB copies m onto dst, transparent pixels over the background. Video says
// that Y'CbCr is in video range, as WebP's is, not JPEG's full range. The types
// the decoders return have a path of their own; the rest, 16 bits a channel or
// a GIF frame smaller than its screen, take the general one.
func (d *decoder) toRGB(dst *augment.Image, m image.RGBA64Image, video bool) {
	if m.Bounds() != image.Rect(0, 0, dst.W, dst.H) {
		d.fromAny(dst, m)
		return
	}
	switch m := m.(type) {
	case *image.YCbCr:
		d.fromYCbCr(dst, m, video)
	case *image.NYCbCrA:
		d.fromYCbCr(dst, &m.YCbCr, video)
		for i := range dst.W * dst.H {
			d.blend(dst.Pix[3*i:], m.A[i/dst.W*m.AStride+i%dst.W])
		}
	case *image.Gray:
		eachRow(dst, m.Pix, m.Stride, 1, func(q, p []uint8) { q[0], q[1], q[2] = p[0], p[0], p[0] })
	case *image.Paletted:
		table := d.palette(m.Palette)
		eachRow(dst, m.Pix, m.Stride, 1, func(q, p []uint8) { copy(q, table[p[0]][:]) })
	case *image.RGBA:
		eachRow(dst, m.Pix, m.Stride, 4, func(q, p []uint8) {
			for c, back := range d.background {
				q[c] = p[c] + divide255(uint32(back)*uint32(255-p[3]))
			}
		})
	case *image.NRGBA:
		eachRow(dst, m.Pix, m.Stride, 4, func(q, p []uint8) {
			copy(q, p[:3])
			d.blend(q, p[3])
		})
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

// eachRow calls set with every pixel q of dst and p of src, n bytes each there.
func eachRow(dst *augment.Image, src []uint8, stride, n int, set func(q, p []uint8)) {
	for y := range dst.H {
		q, p := dst.Pix[3*dst.W*y:][:3*dst.W], src[y*stride:]
		for x := range dst.W {
			set(q[3*x:3*x+3], p[n*x:n*x+n])
		}
	}
}

// blend lays the pixel q, of opacity alpha, over the background.
func (d *decoder) blend(q []uint8, alpha uint8) {
	if alpha == 255 {
		return
	}
	a := uint32(alpha)
	for c, back := range d.background {
		q[c] = divide255(uint32(q[c])*a + uint32(back)*(255-a))
	}
}

// palette returns the palette's colours over the background.
func (d *decoder) palette(p color.Palette) (table [256][3]uint8) {
	for i := range min(len(p), len(table)) {
		c := color.NRGBAModel.Convert(p[i]).(color.NRGBA)
		table[i] = [3]uint8{c.R, c.G, c.B}
		d.blend(table[i][:], c.A)
	}
	return table
}

// fromAny copies any image, which may cover only a part of dst.
func (d *decoder) fromAny(dst *augment.Image, m image.RGBA64Image) {
	for i := range dst.Pix {
		dst.Pix[i] = d.background[i%3]
	}
	b := m.Bounds().Intersect(image.Rect(0, 0, dst.W, dst.H))
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := m.RGBA64At(x, y) // premultiplied
			q := dst.Pix[3*(y*dst.W+x):][:3]
			for i, v := range [3]uint16{c.R, c.G, c.B} {
				back := uint32(d.background[i]) * 0x101 * uint32(0xffff-c.A) / 0xffff
				q[i] = uint8((uint32(v) + back) >> 8)
			}
		}
	}
}

// divide255 returns v/255, rounded, for v up to 255*255.
func divide255(v uint32) uint8 { return uint8((v + 127) / 255) }
