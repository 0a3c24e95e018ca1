package data

import (
	"math"
	"math/rand/v2"
)

// A stream names a sequence of random numbers: equal streams are equal
// sequences, different ones are unrelated.
type stream struct {
	run, epoch uint64 // the loader's seed and the epoch
	index      uint64 // what the numbers are for
}

// The indices of the streams. An image's is its index in the Set, below 2^31,
// with how often the epoch had the image before in the upper half.
const (
	shuffleIndex = math.MaxUint64     // the order of an epoch
	subsetIndex  = math.MaxUint64 - 1 // which images of the Set are used, in epoch 0
	mixIndex     = 1 << 63            // and the number of a batch: how the batch is mixed
)

func (d draw) index() uint64 { return uint64(d.image) | uint64(d.occurrence)<<32 }

func (s stream) seed(pcg *rand.PCG) {
	a := mix(mix(s.run) + s.epoch)
	pcg.Seed(a, mix(a+s.index))
}

func (s stream) rand() *rand.Rand {
	pcg := rand.NewPCG(0, 0)
	s.seed(pcg)
	return rand.New(pcg)
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014, figure 15): a
// permutation that turns neighbouring numbers into unrelated ones.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
