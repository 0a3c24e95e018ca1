package data

import (
	"math/rand/v2"
	"slices"
)

// Sampler names how the images of an epoch are drawn.
type Sampler string

// The samplers.
const (
	Uniform  Sampler = "uniform"  // each image once
	Balanced Sampler = "balanced" // as many images, of every class as likely
)

// A draw is an image of an epoch: its index in the Set, and how often the epoch
// had it before.
type draw struct{ image, occurrence int32 }

// order returns the images that the epoch reads, in order: those not found to be
// unusable in an earlier one.
func (l *Loader) order(epoch int) []draw {
	usable := make([]draw, 0, l.set.Len())
	for i := range l.set.Len() {
		if at, ok := l.found[i]; !ok || l.skipped[at].Epoch >= epoch {
			usable = append(usable, draw{image: int32(i)})
		}
	}
	rng := stream{l.opt.Seed, uint64(epoch), shuffleIndex}.rand()
	order := usable
	if l.opt.Sampler == Balanced {
		order = balanced(l.set, usable, rng)
	} else if l.opt.Shuffle {
		shuffle(order, rng)
	}
	if l.opt.Repeats > 1 {
		order = repeated(order, l.opt.Repeats)
	}
	return order
}

func shuffle(d []draw, rng *rand.Rand) {
	rng.Shuffle(len(d), func(i, j int) { d[i], d[j] = d[j], d[i] })
}

// balanced draws as many images as are usable. Each is of any class that has
// images, all as likely, and within the class the next of a shuffled order; when
// that is used up it starts again.
func balanced(set *Set, usable []draw, rng *rand.Rand) []draw {
	classes := make([][]draw, len(set.Classes))
	for _, d := range usable {
		label := set.Label(int(d.image))
		classes[label] = append(classes[label], d)
	}
	classes = slices.DeleteFunc(classes, func(c []draw) bool { return len(c) == 0 })
	for _, c := range classes {
		shuffle(c, rng)
	}
	drawn := make([]int, len(classes))
	order := make([]draw, len(usable))
	for i := range order {
		c := rng.IntN(len(classes))
		order[i] = classes[c][drawn[c]%len(classes[c])]
		order[i].occurrence = int32(drawn[c] / len(classes[c]))
		drawn[c]++
	}
	return order
}

// repeated returns as many images as order has, each k times in turn: repeated
// augmentation (Hoffer et al. 2020, Augment Your Batch; timm's
// RepeatAugSampler).
func repeated(order []draw, k int) []draw {
	r := make([]draw, len(order))
	for i := range r {
		r[i] = order[i/k]
		r[i].occurrence = r[i].occurrence*int32(k) + int32(i%k)
	}
	return r
}
