package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// OnCorrupt says what a Loader does about an image that cannot be decoded.
type OnCorrupt string

// The choices for images that cannot be decoded.
const (
	Stop OnCorrupt = "error" // the epoch ends with the image's *Error
	Skip OnCorrupt = "skip"  // the image is skipped, as Loader.Epoch says
)

// Skipped is an image that a Loader did not use.
type Skipped struct {
	Index int   // in the Set
	Epoch int   // in which it was found to be unusable; later ones do without it from the start
	Err   error // what is wrong with it
}

// Skipped returns the images that were skipped, in the order in which they were
// found: those of the batches yielded so far, not of those read ahead, and when
// an epoch has ended also those of a last batch that came to nothing. With them
// in Options.Skipped, another Loader yields what this one has still to yield.
func (l *Loader) Skipped() []Skipped { return slices.Clone(l.skipped) }

// skip notes an unusable image.
func (l *Loader) skip(s Skipped) {
	at, ok := l.found[s.Index]
	if !ok {
		l.found[s.Index] = len(l.skipped)
		l.skipped = append(l.skipped, s)
	} else if s.Epoch < l.skipped[at].Epoch {
		l.skipped[at] = s
	}
}

// known says whether the image was found to be unusable in this epoch or before.
func (p *pass) known(image int) bool {
	at, ok := p.found[image]
	return ok && p.skipped[at].Epoch <= p.epoch
}

// usable says whether an image that was read with err may be used. An error
// that is not the image's, or that ends the epoch, is returned.
func (p *pass) usable(d draw, err error) (bool, error) {
	if err == nil {
		return !p.known(int(d.image)), nil
	}
	bad, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false, err
	case p.opt.OnCorrupt != Skip:
		stop := *bad
		stop.Hint = strings.TrimPrefix(bad.Hint+", or skip such files with --on-corrupt=skip", ", or ")
		return false, &stop
	}
	p.skip(Skipped{int(d.image), p.epoch, err})
	return false, nil
}

// unusable is the error of an epoch without a batch; images are left.
func (l *Loader) unusable(images int) error {
	e := &Error{Path: l.set.Dir, Reason: "no image can be used"}
	if images > 0 {
		e.Reason = fmt.Sprintf("too few images can be used for a batch of %d", l.opt.BatchSize)
	}
	if len(l.skipped) > 0 {
		e.Reason += ": " + DescribeSkipped(l.skipped)
		e.Err = l.skipped[0].Err
	}
	return e
}

// DescribeSkipped says which images were skipped, and of the first few why.
func DescribeSkipped(skipped []Skipped) string {
	const few = 3
	var names []string
	for _, s := range skipped[:min(few, len(skipped))] {
		name := fmt.Sprintf("image %d", s.Index)
		if e, ok := errors.AsType[*Error](s.Err); ok {
			name = e.Path + ": " + e.Reason
		}
		names = append(names, name)
	}
	if more := len(skipped) - few; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	plural := "s"
	if len(skipped) == 1 {
		plural = ""
	}
	return fmt.Sprintf("skipped %d unusable image%s: %s", len(skipped), plural, strings.Join(names, "; "))
}
