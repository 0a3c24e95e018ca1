package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// Options configures a Loader.
type Options struct {
	Pipeline
	BatchSize int
	Workers   int    // goroutines that decode, at least 1
	Prefetch  int    // batches prepared while one is in use
	Seed      uint64 // of the order and of the transform's randomness
	Shuffle   bool   // a new order each epoch; else the Set's
	DropLast  bool   // leave out a last batch that is not full
}

// maxFloats bounds the memory of a Loader's batches, to 32 GiB.
const maxFloats = 1 << 33

// Validate returns an error naming the first field out of range.
func (o Options) Validate() error {
	if err := o.Pipeline.Validate(); err != nil {
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
	case (o.Prefetch+1)*o.BatchSize*o.Size*o.Size*3 > maxFloats:
		return fmt.Errorf("data: %d batches of %d images of %d pixels a side take more than %d GiB",
			o.Prefetch+1, o.BatchSize, o.Size, maxFloats*4>>30)
	}
	return nil
}

// A Batch is what a training or evaluation step takes. It belongs to the
// Loader: it is valid, and may be changed, until the loop that ranges over the
// epoch asks for the next one.
type Batch struct {
	Images []float32 // [BatchSize, Size, Size, 3], normalised
	Labels []int     // [BatchSize]
	Index  []int     // [BatchSize], the images' indices in the Set
	Count  int       // images in the batch; what lies beyond is zero

	errs    []error // [BatchSize]
	pending sync.WaitGroup
}

// A Loader reads a Set in batches, decoding ahead of its consumer in parallel.
// What it yields depends on the Set and the Options only, to the bit, and not
// on the number of workers, on Prefetch or on timing.
//
// It holds Prefetch+1 batches and, for each worker, one decoded image.
type Loader struct {
	set     *Set
	opt     Options
	readers []*reader // one a worker
	ring    []*Batch  // batch b of an epoch is at b % len(ring)
	running atomic.Bool
}

// NewLoader returns a Loader of set. Options out of range are an error, and so
// is a set that does not fill one batch when DropLast is set.
func NewLoader(set *Set, opt Options) (*Loader, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	l := &Loader{set: set, opt: opt}
	if l.Batches() == 0 {
		return nil, fmt.Errorf("data: %s: %d images do not fill a batch of %d", set.Dir, set.Len(), opt.BatchSize)
	}
	for range opt.Workers {
		r, err := opt.newReader()
		if err != nil {
			return nil, err
		}
		l.readers = append(l.readers, r)
	}
	for range min(opt.Prefetch+1, l.Batches()) {
		l.ring = append(l.ring, &Batch{
			Images: make([]float32, opt.BatchSize*opt.Size*opt.Size*3),
			Labels: make([]int, opt.BatchSize),
			Index:  make([]int, opt.BatchSize),
			errs:   make([]error, opt.BatchSize),
		})
	}
	return l, nil
}

// Batches returns the number of batches in an epoch.
func (l *Loader) Batches() int {
	if l.opt.DropLast {
		return l.set.Len() / l.opt.BatchSize
	}
	return (l.set.Len() + l.opt.BatchSize - 1) / l.opt.BatchSize
}

// Epoch yields the batches of an epoch in order, from batch number from: the
// same batches that an epoch from 0 has there. The first image that cannot be
// decoded, in that order, ends it with its *Error, and the end of ctx with
// ctx.Err(). When the loop ends, for whatever reason, so have the workers.
//
// One epoch of a Loader runs at a time.
func (l *Loader) Epoch(ctx context.Context, epoch, from int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if from < 0 || from > l.Batches() {
			yield(nil, fmt.Errorf("data: epoch of %d batches asked for from batch %d", l.Batches(), from))
			return
		}
		if !l.running.CompareAndSwap(false, true) {
			yield(nil, errors.New("data: an epoch of this loader is already running"))
			return
		}
		defer l.running.Store(false)
		// Its capacity is all that the ring can ask for: sending never blocks.
		tasks := make(chan task, len(l.ring)*l.opt.BatchSize)
		stop := l.start(ctx, epoch, tasks)
		defer stop()

		order := l.order(epoch)
		next := from // the first batch not yet asked for
		for b := from; b < l.Batches(); b++ {
			for ; next < min(b+len(l.ring), l.Batches()); next++ {
				l.request(l.ring[next%len(l.ring)], order, next, tasks)
			}
			batch := l.ring[b%len(l.ring)]
			batch.pending.Wait()
			if err := cmp.Or(ctx.Err(), cmp.Or(batch.errs[:batch.Count]...)); err != nil {
				yield(nil, err)
				return
			}
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// A task is to fill position pos of a batch.
type task struct {
	batch *Batch
	pos   int
}

// start starts the workers of an epoch and returns the function that ends them.
// Once ctx ends they pass over the tasks that are left.
func (l *Loader) start(ctx context.Context, epoch int, tasks chan task) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	for _, r := range l.readers {
		workers.Go(func() {
			for t := range tasks {
				if ctx.Err() == nil {
					l.fill(r, t, epoch)
				}
				t.batch.pending.Done()
			}
		})
	}
	return func() {
		cancel()
		close(tasks)
		workers.Wait()
	}
}

func (l *Loader) fill(r *reader, t task, epoch int) {
	n := len(t.batch.Images) / l.opt.BatchSize
	i := t.batch.Index[t.pos]
	s := stream{l.opt.Seed, uint64(epoch), uint64(i)}
	t.batch.errs[t.pos] = r.read(t.batch.Images[t.pos*n:][:n], l.set, i, s)
}

// request makes batch number b of the epoch of the given order.
func (l *Loader) request(batch *Batch, order []int, b int, tasks chan<- task) {
	batch.Count = copy(batch.Index, order[b*l.opt.BatchSize:])
	for pos, i := range batch.Index[:batch.Count] {
		batch.Labels[pos] = l.set.Label(i)
	}
	clear(batch.Index[batch.Count:])
	clear(batch.Labels[batch.Count:])
	clear(batch.Images[batch.Count*(len(batch.Images)/l.opt.BatchSize):])
	batch.pending.Add(batch.Count)
	for pos := range batch.Count {
		tasks <- task{batch, pos}
	}
}

// order returns the indices of the Set in the order the epoch reads them.
func (l *Loader) order(epoch int) []int {
	order := make([]int, l.set.Len())
	for i := range order {
		order[i] = i
	}
	if l.opt.Shuffle {
		pcg := rand.NewPCG(0, 0)
		stream{l.opt.Seed, uint64(epoch), shuffleIndex}.seed(pcg)
		rand.New(pcg).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	return order
}
