package data

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
)

// A Preparer makes single images what a network sees, 8-bit pixels [Size,Size,3], as
// a Loader with Options.Pixels does, to the bit. It keeps its scratch memory from one
// image to the next, so a goroutine has its own. An unusable image is an *Error.
type Preparer struct{ *renderer }

// NewPreparer returns a Preparer of the pipeline, which erases nothing. A transform
// that is random draws the same for every image.
func (p Pipeline) NewPreparer() (*Preparer, error) {
	if p.Erase.Prob > 0 {
		return nil, errors.New("data: erased images are not 8-bit pixels")
	}
	r, err := p.newRenderer()
	return &Preparer{r}, err
}

// Set prepares image i of a set.
func (p *Preparer) Set(dst []uint8, set *Set, i int) error {
	if err := p.draw(set, i, stream{}); err != nil {
		return err
	}
	return p.give(dst)
}

// File prepares the image file at path.
func (p *Preparer) File(dst []uint8, path string) error { return p.Set(dst, single(path), 0) }

// Reader prepares the image file that r reads, which errors call name.
func (p *Preparer) Reader(dst []uint8, name string, r io.Reader) error {
	file, err := ReadImage(name, r)
	if err != nil {
		return err
	}
	return p.Bytes(dst, name, file)
}

// Bytes prepares an image file in memory, which errors call name.
func (p *Preparer) Bytes(dst []uint8, name string, file []byte) error {
	if err := checkSize(name, int64(len(file))); err != nil {
		return err
	}
	return p.record(dst, name, record{data: file})
}

// Image prepares a decoded image, which errors call name. Its pixels are those of its
// file, but for JPEG, which Go's decoder rounds in its own way, lossy WebP, which looks
// like JPEG then, and transparent pixels of GIF, whose colour Go's decoder drops; it is
// not turned.
func (p *Preparer) Image(dst []uint8, name string, m image.Image) error {
	size := m.Bounds().Size()
	if w, h := size.X, size.Y; w < 1 || h < 1 || w > MaxSide || h > MaxSide || w*h > MaxPixels {
		return &Error{Path: name, Reason: fmt.Sprintf("has %dx%d pixels, outside 1x1 to %d megapixels or %d per side", w, h, MaxPixels/1_000_000, MaxSide)}
	}
	p.whole.Reset(size.X, size.Y)
	p.decoder.toRGB(&p.whole, atOrigin(m), p.decoder.fromJPEGs)
	return p.record(dst, name, record{data: p.whole.Pix, w: size.X, h: size.Y})
}

func (p *Preparer) record(dst []uint8, name string, rec record) error {
	w, h, err := p.decoder.hold(rec, name)
	if err == nil {
		err = p.render(w, h, stream{})
	}
	if err != nil {
		return err
	}
	return p.give(dst)
}

func (p *Preparer) give(dst []uint8) error {
	if len(dst) != len(p.dst.Pix) {
		return fmt.Errorf("data: room for %d values of %d", len(dst), len(p.dst.Pix))
	}
	copy(dst, p.dst.Pix)
	return nil
}

// atOrigin is an image whose bounds begin at 0, as every decoder's do but that of a
// part of an image.
func atOrigin(m image.Image) image.RGBA64Image {
	origin := m.Bounds().Min
	if m, ok := m.(image.RGBA64Image); ok && origin == (image.Point{}) {
		return m
	}
	whole := image.Rectangle{Max: m.Bounds().Size()}
	switch m := m.(type) {
	case *image.Gray:
		return &image.Gray{Pix: m.Pix[m.PixOffset(origin.X, origin.Y):], Stride: m.Stride, Rect: whole}
	case *image.Paletted:
		return &image.Paletted{Pix: m.Pix[m.PixOffset(origin.X, origin.Y):], Stride: m.Stride, Rect: whole, Palette: m.Palette}
	case *image.RGBA:
		return &image.RGBA{Pix: m.Pix[m.PixOffset(origin.X, origin.Y):], Stride: m.Stride, Rect: whole}
	case *image.NRGBA:
		return &image.NRGBA{Pix: m.Pix[m.PixOffset(origin.X, origin.Y):], Stride: m.Stride, Rect: whole}
	case *image.NRGBA64:
		return &image.NRGBA64{Pix: m.Pix[m.PixOffset(origin.X, origin.Y):], Stride: m.Stride, Rect: whole}
	}
	return moved{m, origin, whole}
}

// moved is any image, with its bounds at 0.
type moved struct {
	image.Image
	origin image.Point
	whole  image.Rectangle
}

func (m moved) Bounds() image.Rectangle { return m.whole }
func (m moved) At(x, y int) color.Color { return m.Image.At(x+m.origin.X, y+m.origin.Y) }
func (m moved) RGBA64At(x, y int) color.RGBA64 {
	return color.RGBA64Model.Convert(m.At(x, y)).(color.RGBA64)
}
