package data

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
)

// Epoch yields the batches of an epoch in order, from batch number from: the
// same batches that an epoch from 0 has there. The first image that cannot be
// decoded, in that order, ends it with its *Error if OnCorrupt is Stop, and the
// end of ctx with ctx.Err(). When the loop ends, for whatever reason, so have
// the workers.
//
// Skip leaves such an image out. The last image of those still to come takes
// its place, so that the epoch gets one image shorter; if that one is unusable
// too, the last but one, and so on. A batch that is no longer full is yielded
// with a smaller Count, or not at all with DropLast. Later epochs do without the
// image from the start. An epoch of no batch is an *Error.
//
// One epoch of a Loader runs at a time, and they run in rising order: what a
// later one skips depends on what the earlier ones found.
//
// With a Share, from begins a group of it, or is the end of the epoch.
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
		l.fill()
		p := &pass{Loader: l, epoch: epoch, order: l.order(epoch)}
		p.replay(from)
		// Its capacity is all that the ring can ask for: sending never blocks.
		p.tasks = make(chan task, len(l.ring)*l.opt.BatchSize)
		stop := p.start(ctx)
		defer stop()
		p.run(ctx, from, yield)
	}
}

// A pass is an epoch under way.
type pass struct {
	*Loader
	epoch int
	order []draw // the images to read, in order; what is skipped shortens it
	tasks chan task
}

// A task is to fill position pos of a batch.
type task struct {
	batch *Batch
	pos   int
	draw  draw
}

func (p *pass) run(ctx context.Context, from int, yield func(*Batch, error) bool) {
	share := p.opt.Share
	next := share.before(from) // the first of this rank's batches that is not yet asked for
	for i := next; share.groupOf(share.number(i)) < p.batches(len(p.order)); i++ {
		for ; next < i+len(p.ring); next++ {
			p.request(next)
		}
		batch, b := p.ring[i%len(p.ring)], share.number(i)
		if p.settles() && i%share.Each == 0 {
			if err := p.settle(ctx, i); err != nil {
				yield(nil, err)
				return
			}
		}
		batch.pending.Wait()
		if err := p.complete(ctx, batch, b); err != nil {
			yield(nil, err)
			return
		}
		if share.groupOf(b) >= p.batches(len(p.order)) {
			break // too few images were left for it
		}
		rng := stream{p.opt.Seed, uint64(p.epoch), mixIndex | uint64(b)}.rand()
		batch.Mixed, batch.Lambda = p.opt.Mix.Draw(p.opt.Size, p.opt.Size, rng)
		if !p.opt.Pixels && batch.Count > 0 {
			batch.Mixed.Apply(batch.Images[:batch.Count*p.values()], batch.Count, p.opt.Size)
		}
		if !yield(batch, nil) {
			return
		}
	}
	if p.batches(len(p.order)) == 0 {
		yield(nil, p.unusable(len(p.order)))
	}
}

// settles says whether ranks tell each other of unusable images.
func (p *pass) settles() bool { return p.opt.Share.shared() && p.opt.OnCorrupt == Skip }

// start starts the workers of an epoch and returns the function that ends them.
// Once ctx ends they pass over the tasks that are left.
func (p *pass) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	for _, r := range p.renderers[:p.opt.Workers] {
		workers.Go(func() {
			for t := range p.tasks {
				if ctx.Err() == nil {
					p.fill(r, t)
				}
				t.batch.pending.Done()
			}
		})
	}
	return func() {
		cancel()
		close(p.tasks)
		workers.Wait()
	}
}

// values returns how many an image, or a row, has.
func (l *Loader) values() int {
	if l.opt.Memory != nil {
		return l.opt.Memory.Floats
	}
	return l.opt.Size * l.opt.Size * 3
}

func (p *pass) fill(r *renderer, t task) {
	i, at := int(t.draw.image), t.pos*p.values()
	s := stream{p.opt.Seed, uint64(p.epoch), t.draw.index()}
	switch m := p.opt.Memory; {
	case m != nil:
		copy(t.batch.Images[at:][:m.Floats], m.Rows[i*m.Floats:])
	case p.opt.Pixels:
		t.batch.errs[t.pos] = r.draw(p.set, i, s)
		copy(t.batch.Pixels[at:], r.dst.Pix)
	default:
		t.batch.errs[t.pos] = r.read(t.batch.Images[at:][:p.values()], p.set, i, s)
	}
}

// request asks the workers for this rank's batch number i, if there are images for it.
func (p *pass) request(i int) {
	b := p.opt.Share.number(i)
	if b >= p.batches(len(p.order)) {
		return
	}
	batch := p.ring[i%len(p.ring)]
	draws := p.order[b*p.opt.BatchSize:]
	draws = draws[:min(len(draws), p.opt.BatchSize)]
	batch.pending.Add(len(draws))
	for pos, d := range draws {
		p.tasks <- task{batch, pos, d}
	}
}

// complete makes what the workers have read batch number b: it replaces unusable
// images, position by position, and says what is where. For a batch of a Share's last
// group there may be no images.
func (p *pass) complete(ctx context.Context, batch *Batch, b int) error {
	first, spare := b*p.opt.BatchSize, p.renderers[p.opt.Workers]
	pos := 0
	if b >= p.batches(len(p.order)) {
		batch.cut(0)
		return nil
	}
	for pos < p.opt.BatchSize && first+pos < len(p.order) {
		if err := ctx.Err(); err != nil {
			return err
		}
		ok, err := true, error(nil)
		if !p.settles() {
			ok, err = p.usable(p.order[first+pos], batch.errs[pos])
		}
		if err != nil {
			return err
		}
		if !ok {
			if p.drop(first + pos); first+pos < len(p.order) {
				p.fill(spare, task{batch, pos, p.order[first+pos]})
			}
			continue
		}
		batch.Index[pos] = int(p.order[first+pos].image)
		batch.Labels[pos] = p.set.Label(batch.Index[pos])
		pos++
	}
	batch.cut(pos)
	return nil
}

// cut shortens a batch to its first n images.
func (b *Batch) cut(images int) {
	values := max(len(b.Pixels), len(b.Images)) / len(b.Labels) // of an image
	b.Count = images
	clear(b.Index[images:])
	clear(b.Labels[images:])
	if b.Pixels != nil {
		clear(b.Pixels[images*values:])
	} else {
		clear(b.Images[images*values:])
	}
}

// drop takes position at out of the order; the last one takes its place.
func (p *pass) drop(at int) {
	last := len(p.order) - 1
	p.order[at] = p.order[last]
	p.order = p.order[:last]
}

// replay skips what the batches before batch number from skipped.
func (p *pass) replay(from int) {
	for at := 0; at < min(from*p.opt.BatchSize, len(p.order)); {
		if p.known(int(p.order[at].image)) {
			p.drop(at)
		} else {
			at++
		}
	}
}
