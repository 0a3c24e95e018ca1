package data

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
)

// A Share is the part of an epoch's batches that one of several ranks takes. What is in a
// batch, and how it is augmented and mixed, follows from its number in the epoch, whoever
// takes it.
//
// Batches go in groups of Ranks times Each: the first Each of a group are rank 0's, the
// next rank 1's, and so on. A Loader yields as many batches on every rank. In an epoch's
// last group, those that there are no images for have a Count of 0.
type Share struct {
	Rank, Ranks int // Ranks up to 1: all batches, and none of a Count of 0
	Each        int // batches of a group that a rank takes, at least 1
	// Gather gives all ranks the bytes of each. With OnCorrupt Skip, a rank learns by it,
	// once a group and once an unusable image, what others could not use.
	Gather func(mine []byte) ([][]byte, error)
}

func (s Share) shared() bool { return s.Ranks > 1 }

// group is how many batches there are in a group.
func (s Share) group() int {
	if s.shared() {
		return s.Ranks * s.Each
	}
	return 1
}

// number is the number in the epoch of this rank's batch number i.
func (s Share) number(i int) int {
	if s.shared() {
		return i/s.Each*s.group() + s.Rank*s.Each + i%s.Each
	}
	return i
}

// before is how many of the batches before number b are this rank's, where b begins a
// group or is the end of the epoch.
func (s Share) before(b int) int {
	if s.shared() {
		return (b + s.group() - 1) / s.group() * s.Each
	}
	return b
}

// groupOf is the number of the first batch of b's group.
func (s Share) groupOf(b int) int { return b / s.group() * s.group() }

func (s Share) validate() error {
	if s.shared() && (s.Rank < 0 || s.Rank >= s.Ranks || s.Each < 1) {
		return fmt.Errorf("data: rank %d of %d, %d batches each", s.Rank, s.Ranks, s.Each)
	}
	return nil
}

// found is what a rank tells the others of the first image of a group that it cannot use.
type found struct {
	Position           int // in the epoch's order; -1 for none
	Path, Reason, Hint string
}

// settle has all ranks skip the images of a group that any of them cannot use, in the
// order of their positions, as one rank that takes all batches does one by one. i is this
// rank's first batch of the group.
func (p *pass) settle(ctx context.Context, i int) error {
	for own := range p.opt.Share.Each {
		p.ring[(i+own)%len(p.ring)].pending.Wait()
	}
	begun := p.opt.Share.groupOf(p.opt.Share.number(i)) - 1 // the last batch of which positions were looked at
	at := (begun + 1) * p.opt.BatchSize
	end := at + p.opt.Share.group()*p.opt.BatchSize
	for {
		first, err := p.firstUnusable(at, end)
		if err != nil {
			return err
		}
		b := first.Position / p.opt.BatchSize
		if first.Position < 0 || b > begun && b >= p.batches(len(p.order)) {
			return nil
		}
		begun = b
		if at = first.Position; !p.known(int(p.order[at].image)) {
			p.skip(Skipped{int(p.order[at].image), p.epoch, &Error{Path: first.Path, Reason: first.Reason, Hint: first.Hint}})
		}
		p.drop(at)
		if batch, pos := p.own(at); batch != nil && at < len(p.order) {
			p.fill(p.renderers[p.opt.Workers], task{batch, pos, p.order[at]})
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// own returns the batch of this rank that has a position of the order, and where in it;
// nil if it is another rank's.
func (p *pass) own(position int) (batch *Batch, pos int) {
	s, b := p.opt.Share, position/p.opt.BatchSize
	if b%s.group()/s.Each != s.Rank {
		return nil, 0
	}
	i := s.before(s.groupOf(b)) + b%s.Each
	return p.ring[i%len(p.ring)], position % p.opt.BatchSize
}

// firstUnusable finds the first position from at on, before end, whose image some rank
// cannot use. It is the same on all ranks.
func (p *pass) firstUnusable(at, end int) (first found, err error) {
	first.Position = -1
	for position := at; position < min(end, len(p.order)); position++ {
		var bad error
		if batch, pos := p.own(position); batch != nil {
			bad = batch.errs[pos]
		}
		if bad == nil && !p.known(int(p.order[position].image)) {
			continue
		}
		first.Position = position
		if bad != nil {
			e, ok := errors.AsType[*Error](bad)
			if !ok {
				return first, bad
			}
			first.Path, first.Reason, first.Hint = e.Path, e.Reason, e.Hint
		}
		break
	}
	var mine bytes.Buffer // empty if this rank can use all
	if first.Position >= 0 {
		if err := gob.NewEncoder(&mine).Encode(first); err != nil {
			return first, fmt.Errorf("data: %w", err)
		}
	}
	all, err := p.opt.Share.Gather(mine.Bytes())
	if err != nil {
		return first, err
	}
	for _, text := range all {
		if len(text) == 0 {
			continue
		}
		var other found
		if err := gob.NewDecoder(bytes.NewReader(text)).Decode(&other); err != nil {
			return first, fmt.Errorf("data: %w", err)
		}
		if first.Position < 0 || other.Position < first.Position || other.Position == first.Position && other.Reason != "" {
			first = other
		}
	}
	return first, nil
}
