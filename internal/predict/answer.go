package predict

import (
	"image"
	"math"
	"slices"

	"effnet/internal/metrics"
)

// Kind is how a head's outputs become scores.
type Kind string

// The kinds of heads.
const (
	Softmax Kind = "softmax" // probabilities of classes that exclude each other: their sum is 1
	Sigmoid Kind = "sigmoid" // the probability of each class by itself
	Value   Kind = "value"   // the outputs themselves
)

// scores are the formulas: of a head's logits.
var scores = map[Kind]func(logits []float32) []float64{
	Softmax: metrics.Softmax,
	Sigmoid: each(func(z float64) float64 { return 1 / (1 + math.Exp(-z)) }),
	Value:   each(func(z float64) float64 { return z }),
}

func each(f func(float64) float64) func([]float32) []float64 {
	return func(logits []float32) []float64 {
		all := make([]float64, len(logits))
		for i, z := range logits {
			all[i] = f(float64(z))
		}
		return all
	}
}

// A Head is a question that a network answers: which of its classes, or which values.
type Head struct {
	Name    string
	Kind    Kind
	Classes []string // one for each score
	Labels  []string // the classes for people; nil where Classes are
}

// Scores is a head's answer about an image.
type Scores struct {
	*Head
	Values []float64 // one for each class
}

// A Class is one of a head's, with its score.
type Class struct {
	Name  string
	Label string // for people; empty where Name is
	Index int
	Score float64
}

// Top returns the k classes of the highest scores, all for k = 0, the highest first
// and of equal ones the lower-numbered.
func (s Scores) Top(k int) []Class {
	if k == 0 || k > len(s.Values) {
		k = len(s.Values)
	}
	order := make([]int, 0, k+1)
	for i, v := range s.Values {
		if len(order) == k && v <= s.Values[order[k-1]] {
			continue
		}
		at, _ := slices.BinarySearchFunc(order, v, func(j int, v float64) int {
			if s.Values[j] >= v {
				return -1
			}
			return 1
		})
		order = slices.Insert(order, at, i)[:min(len(order)+1, k)]
	}
	all := make([]Class, k)
	for i, j := range order {
		all[i] = s.class(j, s.Values[j])
	}
	return all
}

// Best is the class of the highest score, the first of equal ones.
func (s Scores) Best() Class {
	best := 0
	for i, v := range s.Values {
		if v > s.Values[best] {
			best = i
		}
	}
	return s.class(best, s.Values[best])
}

func (s Scores) class(i int, score float64) Class {
	c := Class{Name: s.Classes[i], Index: i, Score: score}
	if s.Labels != nil {
		c.Label = s.Labels[i]
	}
	return c
}

// Answer is what a network says of an image.
type Answer struct {
	Heads       []Scores
	Logits      []float32    // the network's outputs, of all heads
	Features    []float32    // what the classifier reads, if it was asked for
	Activations []Activation // of the classes that were asked for
	Picture     *image.RGBA  // the image as the network saw it, with Activations
}

// Heads are what the network answers: one, its classes.
func (n *Network) Heads() []*Head {
	return []*Head{{Name: "class", Kind: Softmax, Classes: n.Meta.Classes, Labels: n.Meta.Labels}}
}

// Scores are the heads' answers by an image's logits, all heads' one after the other.
func (n *Network) Scores(logits []float32) []Scores {
	heads := n.Heads()
	all := make([]Scores, len(heads))
	for i, h := range heads {
		k := len(h.Classes)
		all[i] = Scores{h, scores[h.Kind](logits[:k])}
		logits = logits[k:]
	}
	return all
}
