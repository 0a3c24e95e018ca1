package data

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"slices"

	"effnet/internal/augment"
	"effnet/internal/tiff"
)

// PackOptions says how Pack stores images.
type PackOptions struct {
	Size    int  `json:"size"`    // shorter side that larger images are resized to, pixels; 0 keeps every file as it is
	Quality int  `json:"quality"` // of the JPEG files that are made, 1 to 100
	Raw     bool `json:"raw"`     // packed RGB pixels instead of files
	Crop    bool `json:"crop"`    // the centre square only

	// Background is what transparent pixels of images that are not kept as they are
	// are laid over, RGB; nil where they have the colour that is stored.
	Background *[3]uint8 `json:"background,omitempty"`

	Workers int `json:"-"` // goroutines that decode and encode, at least 1

	// Skipped is called with the *Error of each image that cannot be decoded,
	// which is then skipped. If it is nil, such an image is an error.
	Skipped func(error) `json:"-"`
	// Progress is called after each image, unless it is nil.
	Progress func(done, total int) `json:"-"`
}

// Validate returns an error naming the first option out of range.
func (o PackOptions) Validate() error {
	switch {
	case o.Size < 0 || o.Size > maxSize:
		return fmt.Errorf("size %d: want 1 to %d, or 0 to keep files as they are", o.Size, maxSize)
	case o.Size == 0 && o.Raw:
		return fmt.Errorf("raw needs a size: whole photographs take too much space as pixels")
	case o.Size == 0 && o.Crop:
		return fmt.Errorf("crop needs a size: it is the side of the square that is kept")
	case o.Quality < 1 || o.Quality > 100:
		return fmt.Errorf("quality %d: want 1 to 100", o.Quality)
	case o.Workers < 1:
		return fmt.Errorf("%d workers: want 1 or more", o.Workers)
	}
	return nil
}

// fit returns how a w x h image is drawn to be stored. Images are made smaller,
// never larger: that would add bytes and no detail.
func (o PackOptions) fit(w, h int) (v augment.View, outW, outH int) {
	side := min(w, h)
	if o.Size > 0 {
		side = min(side, o.Size)
	}
	v = augment.CenterCrop(augment.CropTorchvision, 1, w, h, side)
	if o.Crop {
		return v, side, side
	}
	v.X, v.Y = 0, 0
	return v, v.W, v.H
}

// A packer makes the images of a pack. It keeps its scratch memory from one
// image to the next, so a goroutine has its own.
type packer struct {
	opt      PackOptions
	decoder  decoder
	resizer  *augment.Resizer
	src, dst augment.Image
	rgba     image.RGBA
	jpeg     bytes.Buffer
}

func newPacker(opt PackOptions) (*packer, error) {
	resizer, err := augment.NewResizer(augment.Bicubic)
	return &packer{opt: opt, decoder: decoder{background: opt.Background}, resizer: resizer}, err
}

// pack returns image i of the set as it is stored, in memory of its own.
func (p *packer) pack(set *Set, i int) (record, error) {
	src, err := p.decoder.read(&p.src, set, i)
	if err != nil {
		return record{}, err
	}
	v, w, h := p.opt.fit(src.W, src.H)
	if file := p.decoder.encoded; file != nil && !p.opt.Raw && w == src.W && h == src.H {
		return record{data: bytes.Clone(file)}, nil
	}
	p.dst.Reset(w, h)
	p.resizer.Prepare(v, src.W, src.H, w, h)
	p.resizer.Draw(&p.dst, src)
	if p.opt.Raw {
		return record{bytes.Clone(p.dst.Pix), w, h}, nil
	}
	lies := 1
	if file := p.decoder.encoded; file != nil && !tiff.Is(file) { // which is turned
		lies = orientation(file)
	}
	data, err := p.encode(lies)
	return record{data: data}, err
}

// encode returns dst as a JPEG file with the given EXIF orientation, so that what
// turns a photograph turns its copy.
func (p *packer) encode(orientation int) ([]byte, error) {
	w, h := p.dst.W, p.dst.H
	p.rgba = image.RGBA{Pix: grow(p.rgba.Pix, 4*w*h), Stride: 4 * w, Rect: image.Rect(0, 0, w, h)}
	for i := range w * h {
		q := p.rgba.Pix[4*i:][:4]
		copy(q, p.dst.Pix[3*i:][:3])
		q[3] = 255
	}
	p.jpeg.Reset()
	if err := jpeg.Encode(&p.jpeg, &p.rgba, &jpeg.Options{Quality: p.opt.Quality}); err != nil {
		return nil, fmt.Errorf("data: encoding: %w", err)
	}
	file := bytes.Clone(p.jpeg.Bytes())
	if orientation == 1 {
		return file, nil
	}
	return slices.Insert(file, 2, orientationTag(orientation)...), nil // after the start of the image
}
