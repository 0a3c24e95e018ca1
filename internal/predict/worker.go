package predict

import (
	"slices"
	"time"

	"effnet/internal/augment"
	"effnet/internal/data"
)

// work computes what waits, until the Predictor is closed and nothing is accepted any
// more. It alone uses the network.
func (p *Predictor) work() {
	defer close(p.done)
	sizes := passSizes(p.opt.Batch, p.network.net.Split(p.opt.Batch))
	for {
		batch, last := p.next()
		if last {
			return
		}
		var pixels, values []*ticket
		for _, t := range batch {
			if t.pixels != nil {
				pixels = append(pixels, t)
			} else {
				values = append(values, t)
			}
		}
		for _, batch := range [][]*ticket{pixels, values} {
			for len(batch) > 0 {
				size := passFor(sizes, len(batch))
				n := min(size, len(batch))
				p.compute(size, batch[:n])
				batch = batch[n:]
			}
		}
	}
}

// next waits for the images of the next passes, or for the last to be answered.
func (p *Predictor) next() (batch []*ticket, last bool) {
	for {
		batch, wait, last := p.take()
		if batch != nil || last {
			return batch, last
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-p.wake:
		case <-due:
		}
	}
}

// A passSize is a batch that a pass is compiled for.
type passSize struct {
	batch int
	least int // images that it is used for
}

// passSizes are the passes for batches of at most the given size, the largest first. Where
// threads take images each, one pass will do for an image a thread or more, and one in
// which they share each launch for fewer. Where none do, a pass takes as long for one
// image as for all of its batch, and should be three quarters full.
func passSizes(most, threads int) (sizes []passSize) {
	if threads > 0 {
		return []passSize{{most, max(threads, 2)}, {1, 1}}
	}
	for size := most; size > 1; size /= 4 {
		sizes = append(sizes, passSize{size, (3*size + 3) / 4})
	}
	return append(sizes, passSize{1, 1})
}

// passFor is the batch of the pass for n images or the first of them.
func passFor(sizes []passSize, n int) int {
	for _, size := range sizes {
		if n >= size.least {
			return size.batch
		}
	}
	return 1
}

// compute answers images by a pass of some size.
func (p *Predictor) compute(size int, batch []*ticket) {
	began := time.Now()
	answers, err := p.answers(size, batch)
	if p.opt.Observe != nil {
		p.opt.Observe(Computed{len(batch), size, time.Since(began)})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, t := range batch {
		if err != nil {
			p.finish(t, nil, err)
		} else {
			p.finish(t, answers[i], nil)
		}
	}
}

// finish ends a ticket.
func (p *Predictor) finish(t *ticket, a *Answer, err error) {
	t.answer, t.err = a, err
	close(t.done)
	p.release()
}

func (p *Predictor) answers(size int, batch []*ticket) ([]*Answer, error) {
	f := format{size, batch[0].pixels != nil}
	pass, err := p.pass(f)
	if err != nil {
		return nil, err
	}
	if err := pass.Run(p.batch(f, batch)); err != nil {
		return nil, err
	}
	logits, err := pass.Logits()
	if err != nil {
		return nil, err
	}
	features, err := p.features(pass, size, batch)
	if err != nil {
		return nil, err
	}
	k := len(logits) / size
	all := make([]*Answer, len(batch))
	for i, t := range batch {
		all[i] = &Answer{Heads: p.network.Scores(logits[i*k:][:k]), Logits: slices.Clone(logits[i*k:][:k])}
		if t.Features {
			all[i].Features = slices.Clone(features[i*len(features)/size:][:len(features)/size])
		}
		if err := p.show(all[i], t); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// format is what a pass takes: how many images, and as pixels or as normalised values.
type format struct {
	size   int
	pixels bool
}

// batch puts images together for a pass, in memory that the next of its format uses again.
func (p *Predictor) batch(f format, all []*ticket) *data.Batch {
	n := p.network.values()
	b := p.batches[f]
	if b == nil {
		b = &data.Batch{Mixed: augment.Mixed{Own: 1}}
		if f.pixels {
			b.Pixels = make([]uint8, f.size*n)
		} else {
			b.Images = make([]float32, f.size*n)
		}
		p.batches[f] = b
	}
	b.Count = len(all)
	for i, t := range all {
		if f.pixels {
			copy(b.Pixels[i*n:], t.pixels)
		} else {
			copy(b.Images[i*n:], t.Image.values)
		}
	}
	return b
}

func (p *Predictor) pass(f format) (*Pass, error) {
	if pass := p.passes[f]; pass != nil {
		return pass, nil
	}
	pass, err := p.network.pass(f)
	if err == nil {
		p.passes[f] = pass
	}
	return pass, err
}

// features reads those of a pass, if any image's are asked for, [N,Features].
func (p *Predictor) features(pass *Pass, size int, batch []*ticket) ([]float32, error) {
	if !slices.ContainsFunc(batch, func(t *ticket) bool { return t.Features }) {
		return nil, nil
	}
	all := make([]float32, size*p.network.Meta.Arch.Features())
	return all, pass.Features(all)
}

// show adds the activations that are asked for.
func (p *Predictor) show(a *Answer, t *ticket) (err error) {
	if len(t.Activations) == 0 {
		return nil
	}
	classes := slices.Clone(t.Activations)
	for i, class := range classes {
		if class == Likeliest {
			classes[i] = a.Heads[0].Best().Index
		}
	}
	a.Picture = p.network.picture(t.pixels)
	a.Activations, err = p.network.Activations(t.pixels, classes...)
	return err
}
