package data

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"effnet/internal/augment"
)

// Options configures a Loader.
type Options struct {
	Pipeline
	BatchSize int
	Workers   int    // goroutines that decode, at least 1
	Prefetch  int    // batches prepared while one is in use
	Seed      uint64 // of the order and of the transform's randomness
	Shuffle   bool   // a new order each epoch; else the Set's
	DropLast  bool   // drop a last batch that is not full

	Sampler   Sampler     // of an epoch's images; "" is Uniform, all that it may be without Shuffle
	Repeats   int         // how often an image comes, one after the other; 0 is once
	Mix       augment.Mix // of each batch's images
	OnCorrupt OnCorrupt   // "" is Stop
	Skipped   []Skipped   // what Loader.Skipped returned, to resume a run
	Memory    *Memory     // yielded instead of images; nil for images
	Share     Share       // of the batches, where several ranks share an epoch
	Pixels    bool        // batches are 8-bit pixels, to be normalised and mixed by who takes them
}

// WithPixels is o with Pixels, where images end as pixels.
func (o Options) WithPixels() Options {
	o.Pixels = o.Memory == nil && o.Erase.Prob == 0
	return o
}

// A Memory is a row of values for each image of a Set, such as what a network made
// of it.
type Memory struct {
	Floats int // of a row
	Rows   []float32
}

// maxFloats bounds the memory of a Loader's batches, to 32 GiB.
const maxFloats = 1 << 33

// Validate returns an error naming the first field out of range.
func (o Options) Validate() error {
	if err := o.Pipeline.Validate(); err != nil {
		return err
	}
	if err := errors.Join(o.Mix.Validate(), o.Share.validate()); err != nil {
		return err
	}
	const most = 1 << 16
	switch {
	case o.BatchSize < 1 || o.BatchSize > most:
		return fmt.Errorf("data: batch size %d: want 1 to %d", o.BatchSize, most)
	case o.Workers < 1 || o.Workers > most:
		return fmt.Errorf("data: %d workers: want 1 to %d", o.Workers, most)
	case o.Prefetch < 0 || o.Prefetch > most:
		return fmt.Errorf("data: prefetch of %d batches: want 0 to %d", o.Prefetch, most)
	case o.Memory != nil && o.Mix != augment.Mix{Prob: o.Mix.Prob, SwitchProb: o.Mix.SwitchProb}:
		return errors.New("data: rows in memory cannot be mixed as images are")
	case (o.Prefetch+1)*o.BatchSize*o.Size*o.Size*3 > maxFloats:
		return fmt.Errorf("data: %d batches of %d images of %d pixels a side take more than %d GiB",
			o.Prefetch+1, o.BatchSize, o.Size, maxFloats*4>>30)
	case !slices.Contains([]Sampler{"", Uniform, Balanced}, o.Sampler):
		return fmt.Errorf("data: unknown sampler %q (want %s or %s)", o.Sampler, Uniform, Balanced)
	case o.Sampler == Balanced && !o.Shuffle:
		return fmt.Errorf("data: the %s sampler needs Shuffle", Balanced)
	case o.Pixels && (o.Memory != nil || o.Erase.Prob > 0):
		return errors.New("data: rows in memory and erased images are not 8-bit pixels")
	case o.Repeats < 0 || o.Repeats > most:
		return fmt.Errorf("data: %d repeats of an image: want 0 to %d", o.Repeats, most)
	case !slices.Contains([]OnCorrupt{"", Stop, Skip}, o.OnCorrupt):
		return fmt.Errorf("data: unknown choice for corrupt images %q (want %s or %s)", o.OnCorrupt, Stop, Skip)
	}
	return nil
}

// A Batch is what a training or evaluation step takes. It belongs to the
// Loader: it is valid, and may be changed, until the loop that ranges over the
// epoch asks for the next one.
type Batch struct {
	Images []float32     // [BatchSize, Size, Size, 3], normalised; or Memory's rows; nil with Options.Pixels
	Pixels []uint8       // [BatchSize, Size, Size, 3], with Options.Pixels; then Mixed is still to be done
	Labels []int         // [BatchSize]
	Index  []int         // [BatchSize], the images' indices in the Set
	Count  int           // images in the batch; what lies beyond is zero
	Mixed  augment.Mixed // how the images are mixed
	Lambda float64       // share of image i's own label; the rest is that of image Count-1-i. 1 if nothing is mixed

	errs    []error // [BatchSize]
	pending sync.WaitGroup
}

// A Loader reads a Set in batches, decoding ahead of its consumer in parallel.
// What it yields depends on the Set and the Options only, to the bit, and not
// on the number of workers, on Prefetch or on timing.
//
// Its memory is bounded: Prefetch+1 batches of BatchSize images, for each worker
// the image it decodes and the scratch memory for that, and the order of the
// epoch under way, 8 bytes an image. It doesn't grow from one epoch to the next.
type Loader struct {
	set       *Set
	opt       Options
	renderers []*renderer // one a worker, and one for the replacements of unusable images
	ring      []*Batch    // batch b of an epoch is at b % len(ring)
	running   atomic.Bool

	skipped []Skipped
	found   map[int]int // an unusable image's index in the Set, to its place in skipped
}

// Workers is the number of goroutines that a setting asks for; 0 is one a core.
func Workers(n int) int {
	if n == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}

// NewLoader returns a Loader of set. Options out of range are an error, and so
// is a set that does not fill one batch when DropLast is set.
func NewLoader(set *Set, opt Options) (*Loader, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	l := &Loader{set: set, opt: opt, found: map[int]int{}}
	if l.Batches() == 0 {
		return nil, fmt.Errorf("data: %s: %d images do not fill a batch of %d", set.Dir, set.Len(), opt.BatchSize)
	}
	for _, s := range opt.Skipped {
		if s.Index < 0 || s.Index >= set.Len() {
			return nil, fmt.Errorf("data: %s: image %d was skipped before, but there are only %d images now", set.Dir, s.Index, set.Len())
		}
		l.skip(s)
	}
	for range opt.Workers + 1 {
		r, err := opt.newRenderer()
		if err != nil {
			return nil, err
		}
		l.renderers = append(l.renderers, r)
	}
	return l, nil
}

// fill makes the batches of the ring, when the first epoch begins.
func (l *Loader) fill() {
	if l.ring != nil {
		return
	}
	size := min(l.opt.Prefetch+1, l.Batches())
	if l.opt.Share.shared() { // those of a group are settled together
		size = max(l.opt.Prefetch+1, l.opt.Share.Each)
	}
	for range size {
		b := &Batch{Labels: make([]int, l.opt.BatchSize), Index: make([]int, l.opt.BatchSize), errs: make([]error, l.opt.BatchSize)}
		if l.opt.Pixels {
			b.Pixels = make([]uint8, l.opt.BatchSize*l.values())
		} else {
			b.Images = make([]float32, l.opt.BatchSize*l.values())
		}
		l.ring = append(l.ring, b)
	}
}

// BatchBytes is the memory of the batches of a Loader with these options, in an epoch
// that has as many.
func (o Options) BatchBytes() int64 {
	values := int64(o.Prefetch+1) * int64(o.BatchSize)
	switch {
	case o.Memory != nil:
		return 4 * values * int64(o.Memory.Floats)
	case o.Pixels:
		return values * int64(o.Size*o.Size*3)
	}
	return 4 * values * int64(o.Size*o.Size*3)
}

// Options are the loader's.
func (l *Loader) Options() Options { return l.opt }

// Batches returns the number of batches in an epoch; unusable images that are
// skipped may make it fewer.
func (l *Loader) Batches() int { return l.batches(l.set.Len()) }

// batches returns the number of batches that a number of images make.
func (l *Loader) batches(images int) int {
	if l.opt.DropLast {
		return images / l.opt.BatchSize
	}
	return (images + l.opt.BatchSize - 1) / l.opt.BatchSize
}
