package data

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"

	"effnet/internal/augment"
)

// A Pipeline says how a photograph becomes network input.
type Pipeline struct {
	Size          int // side of the square input, pixels
	Interpolation augment.Interpolation
	Upright       bool // turn images by their EXIF orientation; the published networks' pipelines do not
	OverMean      bool // lay transparent pixels over the mean; the published networks' pipelines see the colour that is stored
	Transform     augment.Transform
	Erase         augment.Erase // of the normalised image
	Mean, Std     [3]float64    // RGB, on the scale 0..255
}

const maxSize = 4096 // of Pipeline.Size; five times the largest published network's

// Validate returns an error naming the first field out of range.
func (p Pipeline) Validate() error {
	_, err := p.newRenderer()
	return err
}

// Load returns the image at path as network input, [Size, Size, 3]. A transform
// that is random draws the same every time. An unusable file is an *Error.
func (p Pipeline) Load(path string) ([]float32, error) {
	return p.Read(single(path), 0)
}

// Picture is network input as people see it.
func (p Pipeline) Picture(x []float32) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, p.Size, p.Size))
	for i := range p.Size * p.Size {
		for c := range 3 {
			v := math.Round(float64(x[3*i+c])*p.Std[c] + p.Mean[c])
			m.Pix[4*i+c] = uint8(min(max(v, 0), 255))
		}
		m.Pix[4*i+3] = 255
	}
	return m
}

// Read is Load of image i of a set.
func (p Pipeline) Read(set *Set, i int) ([]float32, error) {
	r, err := p.newRenderer()
	if err != nil {
		return nil, err
	}
	dst := make([]float32, 3*p.Size*p.Size)
	if err := r.read(dst, set, i, stream{}); err != nil {
		return nil, err
	}
	return dst, nil
}

// A renderer applies a Pipeline. It keeps its scratch memory from one image to
// the next, so a goroutine has its own.
type renderer struct {
	decoder   decoder
	resizer   *augment.Resizer
	transform augment.Transform
	normalize *augment.Normalizer
	erase     augment.Erase
	src, dst  augment.Image
	whole     augment.Image // a decoded image, of a Preparer
	scratch   []uint8
	pcg       *rand.PCG
	rng       *rand.Rand
}

func (p Pipeline) newRenderer() (*renderer, error) {
	if p.Size < 1 || p.Size > maxSize {
		return nil, fmt.Errorf("data: image size %d: want 1 to %d", p.Size, maxSize)
	}
	if p.Transform == nil {
		return nil, fmt.Errorf("data: no transform")
	}
	if err := p.Transform.Validate(); err != nil {
		return nil, err
	}
	if err := p.Erase.Validate(); err != nil {
		return nil, err
	}
	resizer, err := augment.NewResizer(p.Interpolation)
	if err != nil {
		return nil, err
	}
	normalize, err := augment.NewNormalizer(p.Mean, p.Std)
	if err != nil {
		return nil, err
	}
	r := &renderer{resizer: resizer, transform: p.Transform, normalize: normalize, erase: p.Erase, pcg: rand.NewPCG(0, 0)}
	r.rng = rand.New(r.pcg)
	r.decoder.upright = p.Upright
	if p.OverMean {
		r.decoder.background = Nearest(p.Mean)
	}
	r.dst.Reset(p.Size, p.Size)
	return r, nil
}

// Nearest is the colour of 8 bits a channel nearest to a mean.
func Nearest(mean [3]float64) *[3]uint8 {
	var colour [3]uint8
	for c, v := range mean {
		colour[c] = uint8(min(max(math.Round(v), 0), 255))
	}
	return &colour
}

// read fills dst, [Size, Size, 3], from image i of the set, drawing from s.
func (r *renderer) read(dst []float32, set *Set, i int, s stream) error {
	if err := r.draw(set, i, s); err != nil {
		return err
	}
	r.normalize.Apply(dst, &r.dst)
	r.erase.Apply(dst, r.dst.W, r.dst.H, r.rng)
	return nil
}

// draw makes image i of the set r.dst, before it is normalised.
func (r *renderer) draw(set *Set, i int, s stream) (err error) {
	defer guard(set, i, &err)()
	w, h, err := r.decoder.load(set, i)
	if err != nil {
		return err
	}
	return r.render(w, h, s)
}

// render makes what the decoder holds, w x h pixels, r.dst.
func (r *renderer) render(w, h int, s stream) error {
	s.seed(r.pcg)
	view := r.transform.View(w, h, r.dst.W, r.rng)
	src, err := r.decoder.image(&r.src, r.resizer.Prepare(view, w, h, r.dst.W, r.dst.H))
	if err != nil {
		return err
	}
	r.resizer.Draw(&r.dst, src)
	r.transform.Finish(&r.dst, r.rng, &r.scratch)
	return nil
}

// Normalised is what each value of a pixel becomes in each channel, [3,256].
func (p Pipeline) Normalised() ([]float32, error) {
	n, err := augment.NewNormalizer(p.Mean, p.Std)
	if err != nil {
		return nil, err
	}
	values := augment.Image{W: 256, H: 1, Pix: make([]uint8, 3*256)}
	for i := range values.Pix {
		values.Pix[i] = uint8(i / 3)
	}
	byPixel, table := make([]float32, 3*256), make([]float32, 3*256)
	n.Apply(byPixel, &values)
	for i, v := range byPixel {
		table[i%3*256+i/3] = v
	}
	return table, nil
}
