package predict

import (
	"context"
	"slices"
	"time"
)

// accept takes a slot.
func (p *Predictor) accept(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
	default:
		if p.opt.Refuse {
			return ErrFull
		}
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.stop:
			return ErrClosed
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.release()
		return ErrClosed
	}
	return nil
}

// release gives a slot back.
func (p *Predictor) release() {
	<-p.slots
	p.tell()
}

// tell wakes the worker.
func (p *Predictor) tell() {
	select {
	case p.wake <- struct{}{}:
	default: // it will wake already
	}
}

// prepare decodes an image.
func (p *Predictor) prepare(ctx context.Context, t *ticket) error {
	if t.Image.values != nil {
		return ctx.Err()
	}
	select {
	case preparer := <-p.preparers:
		defer func() { p.preparers <- preparer }()
		if err := ctx.Err(); err != nil {
			return err
		}
		t.pixels = make([]uint8, p.network.values())
		return t.Image.prepare(preparer, t.pixels)
	case <-ctx.Done():
		return ctx.Err()
	case <-p.stop:
		return ErrClosed
	}
}

// enqueue lets an image wait for its pass.
func (p *Predictor) enqueue(t *ticket) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.stop:
		return ErrClosed
	default:
	}
	t.since = time.Now()
	p.waiting = append(p.waiting, t)
	p.tell()
	return nil
}

// leave takes an image out of the queue. One whose pass is under way keeps its slot
// until that ends.
func (p *Predictor) leave(t *ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, t); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.release()
	}
}

// take takes images that need not wait for others: those that fill a batch, all that
// are on their way, or those whose first has waited for long enough. If there are none
// it says how long to wait, 0 for any time.
func (p *Predictor) take() (batch []*ticket, wait time.Duration, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, coming := len(p.waiting), len(p.slots)
	if n == 0 {
		return nil, 0, p.closed && coming == 0
	}
	wait = p.opt.Wait - time.Since(p.waiting[0].since)
	if n < p.opt.Batch && n < coming && wait > 0 {
		return nil, wait, false
	}
	n = min(n, p.opt.Batch)
	batch = slices.Clone(p.waiting[:n])
	p.waiting = slices.Delete(p.waiting, 0, n)
	return batch, 0, false
}
