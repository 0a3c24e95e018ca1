package predict

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"runtime"
	"sync"
	"time"

	"effnet/internal/checkpoint"
	"effnet/internal/data"
)

// Options of a Predictor. Its memory is bounded by them: Queue images of R x R x 3
// bytes, for each of Workers the image that it decodes (see data.MaxFileBytes and
// data.MaxPixels), and passes of Batch images, of 1, and where a batch that is not full takes
// as long as a full one a quarter of Batch and so on, each of which is compiled when it is
// first needed.
type Options struct {
	Batch   int           // most images of a pass; 0 is 4 for each thread, 16 where threads do not take images each
	Wait    time.Duration // how long an image waits for others that are being prepared; 0 is 3 ms, less than 0 not at all
	Queue   int           // images that are accepted and not yet answered, at most; 0 is 4 times Batch, at least 64
	Workers int           // images that are decoded at once; 0 is one a core
	Refuse  bool          // where the queue is full: ErrFull, rather than wait for room

	Observe func(Computed) // is told of each pass, in turn; may be nil
}

// Computed is a pass that is done.
type Computed struct {
	Images, Batch int // that were in it, and that there was room for
	Time          time.Duration
}

// Validate returns an error naming the first field out of range.
func (o Options) Validate() error {
	const most = 1 << 16
	for _, f := range []struct {
		name  string
		value int
	}{{"batch", o.Batch}, {"queue", o.Queue}, {"workers", o.Workers}} {
		if f.value < 0 || f.value > most {
			return fmt.Errorf("predict: %s of %d: want 0 to %d", f.name, f.value, most)
		}
	}
	return nil
}

// withDefaults has numbers in the place of zeros. While 4 images for each thread are
// computed, as many others are decoded.
func (o Options) withDefaults(n *Network) Options {
	set := func(v *int, usual int) {
		if *v == 0 {
			*v = usual
		}
	}
	usual := 4 * n.net.Split(1<<16)
	if usual == 0 {
		usual = 16
	}
	set(&o.Batch, usual)
	set(&o.Queue, max(4*o.Batch, 64))
	set(&o.Workers, runtime.GOMAXPROCS(0))
	if o.Wait == 0 {
		o.Wait = 3 * time.Millisecond
	}
	return o
}

// What Classify returns of a Predictor that cannot take an image.
var (
	ErrClosed = errors.New("predict: the predictor is closed")
	ErrFull   = errors.New("predict: the queue is full")
)

// A RequestError is a request that no network, or not this one, can answer.
type RequestError struct{ err error }

func (e *RequestError) Error() string { return e.err.Error() }
func (e *RequestError) Unwrap() error { return e.err }

func badRequest(format string, args ...any) error {
	return &RequestError{fmt.Errorf("predict: "+format, args...)}
}

// An Image is a picture to classify. What cannot be used as one is a *data.Error of
// Classify, which calls it by its name.
type Image struct {
	prepare func(p *data.Preparer, dst []uint8) error
	values  []float32 // instead of prepare
}

// File is an image file.
func File(path string) Image {
	return Image{prepare: func(p *data.Preparer, dst []uint8) error { return p.File(dst, path) }}
}

// Bytes is an image file in memory, which must not change before Classify returns.
func Bytes(name string, file []byte) Image {
	return Image{prepare: func(p *data.Preparer, dst []uint8) error { return p.Bytes(dst, name, file) }}
}

// Reader is an image file that is read from r: while one of Workers waits, so r should
// not be slow.
func Reader(name string, r io.Reader) Image {
	return Image{prepare: func(p *data.Preparer, dst []uint8) error { return p.Reader(dst, name, r) }}
}

// Decoded is an image in memory, which must not change before Classify returns.
func Decoded(name string, m image.Image) Image {
	return Image{prepare: func(p *data.Preparer, dst []uint8) error { return p.Image(dst, name, m) }}
}

// Pixels is an image as the network sees it, before it is normalised: [R,R,3], which must
// not change before Classify returns.
func Pixels(pixels []uint8) Image {
	return Image{prepare: func(_ *data.Preparer, dst []uint8) error {
		if len(pixels) != len(dst) {
			return badRequest("%d pixel values, but the network takes %d", len(pixels), len(dst))
		}
		copy(dst, pixels)
		return nil
	}}
}

// Values is an image as the network computes with it, normalised: [R,R,3], which must not
// change before Classify returns. Nobody sees it, so it has no Activations.
func Values(values []float32) Image { return Image{values: values} }

// A Request is an image and what is asked about it besides its scores.
type Request struct {
	Image       Image
	Features    bool
	Activations []int // classes, or Likeliest
}

// Likeliest in Request.Activations is the class of the highest score.
const Likeliest = -1

// A Predictor answers many callers, whose images it computes together. Which images
// those are does not change an answer's bits, on the CPU.
type Predictor struct {
	network   *Network
	opt       Options
	passes    map[format]*Pass       // the worker's
	batches   map[format]*data.Batch // the worker's
	preparers chan *data.Preparer
	slots     chan struct{} // one for each image that was accepted and is not answered
	wake      chan struct{} // something changed that the worker waits for
	stop      chan struct{} // closed when those who wait are not to be answered
	done      chan struct{} // closed when the worker has ended

	mu      sync.Mutex
	waiting []*ticket // prepared images, in the order of coming
	closed  bool      // no more are accepted
	stopped sync.Once
	close   func() error // of the network, once
}

// A ticket is an image on its way.
type ticket struct {
	Request
	pixels []uint8 // [R,R,3]; nil for Values
	since  time.Time
	answer *Answer
	err    error
	done   chan struct{} // closed when there is an answer or an error
}

// New returns a Predictor of a network, which it owns from then on.
func New(n *Network, opt Options) (*Predictor, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	opt = opt.withDefaults(n)
	p := &Predictor{
		network: n, opt: opt, passes: map[format]*Pass{}, batches: map[format]*data.Batch{}, preparers: make(chan *data.Preparer, opt.Workers), slots: make(chan struct{}, opt.Queue),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), close: sync.OnceValue(n.Close),
	}
	for range opt.Workers {
		preparer, err := n.Pipeline().NewPreparer()
		if err != nil {
			return nil, err
		}
		p.preparers <- preparer
	}
	go p.work()
	return p, nil
}

// Heads are what the network answers.
func (p *Predictor) Heads() []*Head { return p.network.Heads() }

// Meta describes the network. It must not be changed.
func (p *Predictor) Meta() *checkpoint.Meta { return &p.network.Meta }

// CanActivate returns an error if the network has no Activations.
func (p *Predictor) CanActivate() error { return p.network.CanActivate() }

// Load is how full the queue is: images accepted and not yet answered, and how many there
// may be.
func (p *Predictor) Load() (images, limit int) { return len(p.slots), cap(p.slots) }

// Classify answers a request. A caller whose ctx ends gets ctx's error at once, and
// its image leaves the queue.
func (p *Predictor) Classify(ctx context.Context, r Request) (*Answer, error) {
	if err := p.check(r); err != nil {
		return nil, err
	}
	if err := p.accept(ctx); err != nil {
		return nil, err
	}
	t := &ticket{Request: r, done: make(chan struct{})}
	err := p.prepare(ctx, t)
	if err == nil {
		err = p.enqueue(t)
	}
	if err != nil {
		p.release()
		return nil, err
	}
	select {
	case <-t.done:
		return t.answer, t.err
	case <-ctx.Done():
		p.leave(t)
		return nil, ctx.Err()
	}
}

// check returns a *RequestError for what cannot be asked.
func (p *Predictor) check(r Request) error {
	if values := r.Image.values; values != nil {
		if n := p.network.values(); len(values) != n {
			return badRequest("%d values, but the network takes %d", len(values), n)
		}
		for i, v := range values {
			if v-v != 0 {
				return badRequest("value %d of %d is %v", i, len(values), v)
			}
		}
	}
	if len(r.Activations) == 0 {
		return nil
	}
	if r.Image.values != nil {
		return badRequest("activations of normalised values: they need an image or its pixels")
	}
	if err := p.network.CanActivate(); err != nil {
		return &RequestError{err}
	}
	for _, class := range r.Activations {
		if class != Likeliest && (class < 0 || class >= len(p.network.Meta.Classes)) {
			return &RequestError{p.network.noClass(class)}
		}
	}
	return nil
}

// ClassifyAll answers requests, in their order. The first error ends those that are not
// answered yet.
func (p *Predictor) ClassifyAll(ctx context.Context, requests []Request) ([]*Answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answers := make([]*Answer, len(requests))
	var all sync.WaitGroup
	limit := make(chan struct{}, p.opt.Queue)
	for i, r := range requests {
		limit <- struct{}{}
		all.Go(func() {
			defer func() { <-limit }()
			var err error
			if answers[i], err = p.Classify(ctx, r); err != nil {
				cancel(err) // the first call counts
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return answers, nil
}

// Shutdown accepts no more images, answers those that were, and closes the network.
// When ctx ends first, the rest get ErrClosed and Shutdown returns ctx's error.
func (p *Predictor) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.tell()
	select {
	case <-p.done:
		return p.close()
	case <-ctx.Done():
	}
	p.stopped.Do(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		close(p.stop)
		for _, t := range p.waiting {
			p.finish(t, nil, ErrClosed)
		}
		p.waiting = nil
	})
	<-p.done // the pass under way, and the images that are being decoded
	return errors.Join(ctx.Err(), p.close())
}

// Close is Shutdown that waits for nothing but the pass under way.
func (p *Predictor) Close() error {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Shutdown(now); !errors.Is(err, context.Canceled) {
		return err
	}
	return p.close()
}
