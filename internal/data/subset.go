package data

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Counts returns the number of images of each class.
func (s *Set) Counts() []int {
	counts := make([]int, len(s.Classes))
	for i := range s.Len() {
		counts[s.Label(i)]++
	}
	return counts
}

// populated returns the number of classes that have images.
func populated(counts []int) int {
	k := 0
	for _, n := range counts {
		if n > 0 {
			k++
		}
	}
	return k
}

// BalancedWeights returns a weight for each class, inverse to its number of
// images: n/(k*count) for n images of k classes, so that an image's is 1 on
// average. That of a class without images is 0.
func (s *Set) BalancedWeights() []float64 {
	counts := s.Counts()
	each := float64(s.Len()) / float64(populated(counts))
	weights := make([]float64, len(counts))
	for c, n := range counts {
		if n > 0 {
			weights[c] = each / float64(n)
		}
	}
	return weights
}

// Subset returns a Set of some of the images, in the Set's order. An amount of
// at most 1 is a share of them, another a number. Every class keeps its share,
// at least one image; the seed decides which, and a smaller subset is part of a
// larger one. More images than there are or fewer than classes are an error.
func (s *Set) Subset(amount float64, seed uint64) (*Set, error) {
	counts := s.Counts()
	n, least := int(amount), populated(counts)
	switch {
	case !(amount > 0):
		return nil, fmt.Errorf("data: a subset of %v images", amount)
	case amount <= 1:
		n = max(int(math.Round(amount*float64(s.Len()))), least)
	case amount > float64(s.Len()) || n < least:
		return nil, fmt.Errorf("data: a subset of %v images: want %d (one per class) to %d (all)", amount, least, s.Len())
	}
	keys := s.subsetKeys(counts, stream{seed, 0, subsetIndex}.rand())
	keep := make([]int, s.Len())
	for i := range keep {
		keep[i] = i
	}
	slices.SortStableFunc(keep, func(i, j int) int { return cmp.Compare(keys[i], keys[j]) })
	keep = keep[:n]
	slices.Sort(keep)
	return s.Select(keep), nil
}

// Shots returns a Set of n images of each class, in the Set's order; the
// seed decides which. A class that has fewer is an error.
func (s *Set) Shots(n int, seed uint64) (*Set, error) {
	rng := stream{seed, 0, subsetIndex}.rand()
	chosen := make([][]bool, len(s.Classes))
	for c, count := range s.Counts() {
		if count < n {
			return nil, fmt.Errorf("data: %d images of class %s: want %d", count, s.Classes[c], n)
		}
		chosen[c] = make([]bool, count)
		for _, i := range rng.Perm(count)[:n] {
			chosen[c][i] = true
		}
	}
	var keep []int
	for i := range s.Len() {
		c := s.Label(i)
		if chosen[c][0] {
			keep = append(keep, i)
		}
		chosen[c] = chosen[c][1:]
	}
	return s.Select(keep), nil
}

// HoldOut splits the images in two: a Subset of the given amount, for evaluation,
// and the rest.
func (s *Set) HoldOut(amount float64, seed uint64) (rest, held *Set, err error) {
	if held, err = s.Subset(amount, mix(seed)); err != nil {
		return nil, nil, err
	}
	out := make(map[entry]bool, held.Len())
	for _, e := range held.images {
		out[e] = true
	}
	var keep []int
	for i, e := range s.images {
		if !out[e] {
			keep = append(keep, i)
		}
	}
	rest = s.Select(keep)
	for c, n := range rest.Counts() {
		if n == 0 {
			return nil, nil, fmt.Errorf("data: no image of class %s would be left to train on", s.Classes[c])
		}
	}
	return rest, held, nil
}

// subsetKeys gives each image a number such that those with the lowest are a
// subset. An image that comes after r others of its n in a random order has
// (r+1/2)/n, the first of a class has 0.
func (s *Set) subsetKeys(counts []int, rng *rand.Rand) []float64 {
	ranks := make([][]int, len(counts))
	for c, n := range counts {
		ranks[c] = rng.Perm(n)
	}
	keys := make([]float64, s.Len())
	for i := range keys {
		c := s.Label(i)
		if r := ranks[c][0]; r > 0 {
			keys[i] = (float64(r) + 0.5) / float64(counts[c])
		}
		ranks[c] = ranks[c][1:]
	}
	return keys
}
