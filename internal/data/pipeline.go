package data

import (
	"fmt"
	"math"
	"math/rand/v2"

	"effnet/internal/augment"
)

// A Pipeline says how a photograph becomes network input.
type Pipeline struct {
	Size          int // side of the square input, pixels
	Interpolation augment.Interpolation
	Upright       bool // turn images by their EXIF orientation; the published networks' pipelines do not
	Transform     augment.Transform
	Mean, Std     [3]float64 // RGB, on the scale 0..255; the mean is also the colour behind transparent pixels
}

const maxSize = 4096 // of Pipeline.Size; five times the largest published network's

// Validate returns an error naming the first field out of range.
func (p Pipeline) Validate() error {
	_, err := p.newReader()
	return err
}

// Load returns the image at path as network input, [Size, Size, 3]. A transform
// that is random draws the same every time. An unusable file is an *Error.
func (p Pipeline) Load(path string) ([]float32, error) {
	r, err := p.newReader()
	if err != nil {
		return nil, err
	}
	dst := make([]float32, 3*p.Size*p.Size)
	if err := r.read(dst, single(path), 0, stream{}); err != nil {
		return nil, err
	}
	return dst, nil
}

// A reader applies a Pipeline. It keeps its scratch memory from one image to
// the next, so a goroutine has its own.
type reader struct {
	decoder   decoder
	resizer   *augment.Resizer
	transform augment.Transform
	normalize *augment.Normalizer
	src, dst  augment.Image
	scratch   []uint8
	pcg       *rand.PCG
	rng       *rand.Rand
}

func (p Pipeline) newReader() (*reader, error) {
	if p.Size < 1 || p.Size > maxSize {
		return nil, fmt.Errorf("data: image size %d: want 1 to %d", p.Size, maxSize)
	}
	if p.Transform == nil {
		return nil, fmt.Errorf("data: no transform")
	}
	if err := p.Transform.Validate(); err != nil {
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
	r := &reader{resizer: resizer, transform: p.Transform, normalize: normalize, pcg: rand.NewPCG(0, 0)}
	r.rng = rand.New(r.pcg)
	r.decoder.upright = p.Upright
	for c, mean := range p.Mean {
		r.decoder.background[c] = uint8(min(max(math.Round(mean), 0), 255))
	}
	r.dst.Reset(p.Size, p.Size)
	return r, nil
}

// read fills dst, [Size, Size, 3], from image i of the set, drawing from s.
func (r *reader) read(dst []float32, set *Set, i int, s stream) (err error) {
	defer guard(set, i, &err)()
	w, h, err := r.decoder.load(set, i)
	if err != nil {
		return err
	}
	s.seed(r.pcg)
	view := r.transform.View(w, h, r.dst.W, r.rng)
	src, err := r.decoder.image(&r.src, r.resizer.Plan(view, w, h, r.dst.W, r.dst.H))
	if err != nil {
		return err
	}
	r.resizer.Draw(&r.dst, src)
	r.transform.Finish(&r.dst, r.rng, &r.scratch)
	r.normalize.Apply(dst, &r.dst)
	return nil
}

// A stream names a sequence of random numbers: equal streams are equal
// sequences, different ones are unrelated.
type stream struct {
	run, epoch, index uint64 // the loader's seed, the epoch and the image's index in the Set
}

// shuffleIndex is the index of the stream that orders an epoch; no Set is as long.
const shuffleIndex = math.MaxUint64

func (s stream) seed(pcg *rand.PCG) {
	a := mix(mix(s.run) + s.epoch)
	pcg.Seed(a, mix(a+s.index))
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014, figure 15): a
// permutation that turns neighbouring numbers into unrelated ones.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
