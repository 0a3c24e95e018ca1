package search

import (
	"fmt"
	"math/rand/v2"

	"effnet/internal/scale"
)

// A Searcher chooses which network of a space to train next.
type Searcher interface {
	// Choose makes genes from what was tried so far, the oldest first. parent is the index
	// of the network that they were made from, -1 if they are not of one.
	Choose(space scale.Space, tried []Tried, rng *rand.Rand) (genes scale.Genes, parent int)
	// Validate reports what no searcher can have.
	Validate() error
}

// Tried is a network of a space that was trained, or whose training failed: its reward
// is then 0.
type Tried struct {
	Genes  scale.Genes
	Reward float64
}

// Random draws every network for itself. It is what other searchers have to beat.
type Random struct{}

// Choose implements Searcher.
func (Random) Choose(space scale.Space, _ []Tried, rng *rand.Rand) (scale.Genes, int) {
	return space.Random(rng), -1
}

// Validate implements Searcher.
func (Random) Validate() error { return nil }

// Evolution is regularised evolution (Real et al. 2019, "Regularized Evolution for Image
// Classifier Architecture Search", algorithm 1). The youngest Population networks are
// alive, however good they are; Sample of them are drawn, and the best of those has a
// child, which differs from it in one gene.
type Evolution struct{ Population, Sample int }

// Validate implements Searcher.
func (e Evolution) Validate() error {
	if e.Population < 2 || e.Sample < 1 || e.Sample > e.Population {
		return fmt.Errorf("search: a population of %d of which %d are drawn (want a population of 2 or more, and draw at most all)", e.Population, e.Sample)
	}
	return nil
}

// Choose implements Searcher. The first Population networks are random.
func (e Evolution) Choose(space scale.Space, tried []Tried, rng *rand.Rand) (scale.Genes, int) {
	oldest := len(tried) - e.Population
	if oldest < 0 {
		return space.Random(rng), -1
	}
	parent := oldest + rng.IntN(e.Population)
	for range e.Sample - 1 { // with replacement, as in the algorithm
		if other := oldest + rng.IntN(e.Population); tried[other].Reward > tried[parent].Reward {
			parent = other
		}
	}
	return space.Mutate(tried[parent].Genes, rng), parent
}
