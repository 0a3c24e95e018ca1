// Package metrics turns the logits of an evaluation into statistics: accuracy,
// the confusion matrix and what follows from it class by class, calibration, and
// the images that were classified worst.
package metrics

import (
	"math"
	"slices"
)

// Bins is how many equal parts of [0,1] confidences are sorted into (Guo et al.
// 2017, "On Calibration of Modern Neural Networks", section 3).
const Bins = 15

// A Collector takes an evaluation image by image. The result does not depend on
// the order of the images but by rounding.
//
// Its memory is a few values a class, one entry for each pair of classes that
// occurred (at most the number of images), and the worst images.
type Collector struct {
	classes   int
	keep      int
	losses    float64
	broken    int
	ranks     []int // [classes]: images whose class came after that many others
	confusion *Confusion
	bins      [Bins]Bin // sums, until Result divides
	worst     []Miss    // by worse, at most keep
}

// NewCollector returns a Collector for rows of classes logits. It keeps the worst images,
// at most worst of them.
func NewCollector(classes, worst int) *Collector {
	return &Collector{classes: classes, keep: worst, ranks: make([]int, classes), confusion: newConfusion(classes)}
}

// Add counts one image: its logits ([classes]), its class and its index in the
// set. A row that holds a NaN or +Inf is a wrong answer that names no class: it
// counts in Images, in Broken and in no other statistic, and makes the loss NaN.
func (c *Collector) Add(logits []float32, label, index int) { c.Count(Judge(logits, label, index)) }

// A Judgement is what a Collector counts of an image.
type Judgement struct {
	Miss
	Rank   int  // how many classes come before the label
	Broken bool // the logits are not finite: then there is nothing else but the index and the label
}

// Judge judges an image by its logits ([classes]), its class and its index in the set.
func Judge(logits []float32, label, index int) Judgement {
	j := Judgement{Miss: Miss{Index: index, Label: label}}
	norm := logSumExp(logits)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		j.Broken = true
		return j
	}
	j.Rank, j.Predicted = place(logits, label)
	j.Loss = norm - float64(logits[label])
	j.Probability = math.Exp(-j.Loss)
	j.Confidence = math.Exp(float64(logits[j.Predicted]) - norm)
	return j
}

// Count counts an image as it was judged.
func (c *Collector) Count(j Judgement) {
	if j.Broken {
		c.broken++
		return
	}
	c.losses += j.Loss
	c.ranks[j.Rank]++
	c.confusion.add(j.Label, j.Predicted)
	c.bins[bin(j.Confidence)].add(j.Confidence, j.Rank == 0)
	c.remember(j.Miss)
}

// place is how many classes come before label, and which comes first: those
// with the higher logit, and of equal ones the lower-numbered.
func place(logits []float32, label int) (rank, first int) {
	for c, z := range logits {
		if z > logits[label] || z == logits[label] && c < label {
			rank++
		}
		if z > logits[first] {
			first = c
		}
	}
	return rank, first
}

// Softmax returns the probabilities of a row of logits.
func Softmax(logits []float32) []float64 {
	norm := logSumExp(logits)
	p := make([]float64, len(logits))
	for i, z := range logits {
		p[i] = math.Exp(float64(z) - norm)
	}
	return p
}

// logSumExp is log(sum of exp(logits)), without overflow.
func logSumExp(logits []float32) float64 {
	top := math.Inf(-1)
	for _, z := range logits {
		top = math.Max(top, float64(z))
	}
	var sum float64
	for _, z := range logits {
		sum += math.Exp(float64(z) - top)
	}
	return top + math.Log(sum)
}

// A Miss is an image that was classified badly.
type Miss struct {
	Index       int     `json:"index"` // of the image in its set
	Label       int     `json:"label"`
	Predicted   int     `json:"predicted"`
	Loss        float64 `json:"loss"`        // cross-entropy
	Probability float64 `json:"probability"` // of the label
	Confidence  float64 `json:"confidence"`  // probability of the prediction
}

// worse orders misses: the highest loss first, of equal ones the lowest index.
func worse(a, b Miss) int {
	switch {
	case a.Loss > b.Loss:
		return -1
	case a.Loss < b.Loss:
		return 1
	}
	return a.Index - b.Index
}

// remember puts m where it belongs among the worst, if it does.
func (c *Collector) remember(m Miss) {
	at, _ := slices.BinarySearchFunc(c.worst, m, worse)
	if at >= c.keep {
		return
	}
	c.worst = slices.Insert(c.worst, at, m)
	c.worst = c.worst[:min(len(c.worst), c.keep)]
}

// An Evaluation is what a Collector found.
type Evaluation struct {
	Images  int     `json:"images"`
	Broken  int     `json:"broken"` // of those, with logits that are not finite
	Loss    float64 `json:"loss"`   // mean cross-entropy; NaN without images
	Top1    float64 `json:"top1"`
	Top5    float64 `json:"top5"`
	Macro   Scores  `json:"macro"` // means over the classes that occur, as labels or predictions
	Classes []Class `json:"classes"`

	ECE         float64   `json:"ece"` // expected calibration error
	Reliability [Bins]Bin `json:"reliability"`

	Worst     []Miss     `json:"worst"` // the highest losses, highest first
	Confusion *Confusion `json:"-"`

	ranks []int
}

// Result returns the statistics of the images so far.
func (c *Collector) Result() *Evaluation {
	e := &Evaluation{Broken: c.broken, Confusion: c.confusion.clone(), Worst: slices.Clone(c.worst), ranks: slices.Clone(c.ranks)}
	seen := 0
	for _, n := range c.ranks {
		seen += n
	}
	e.Images = seen + c.broken
	e.Loss = c.losses / float64(seen)
	if c.broken > 0 {
		e.Loss = math.NaN()
	}
	e.Top1, e.Top5 = e.TopK(1), e.TopK(5)
	e.Classes, e.Macro = e.Confusion.scores()
	e.Reliability, e.ECE = calibration(c.bins)
	return e
}

// TopK is the share of images whose class is among the k highest logits.
func (e *Evaluation) TopK(k int) float64 {
	n := 0
	for _, images := range e.ranks[:min(k, len(e.ranks))] {
		n += images
	}
	return float64(n) / float64(max(1, e.Images))
}

// A Bin is the images whose confidence, the highest probability, is in (i/Bins,
// (i+1)/Bins].
type Bin struct {
	Images     int     `json:"images"`
	Confidence float64 `json:"confidence"` // mean
	Accuracy   float64 `json:"accuracy"`
}

func bin(confidence float64) int {
	return min(max(0, int(math.Ceil(confidence*Bins))-1), Bins-1)
}

func (b *Bin) add(confidence float64, right bool) {
	b.Images++
	b.Confidence += confidence
	if right {
		b.Accuracy++
	}
}

// calibration turns sums into means, and returns the mean distance of accuracy
// and confidence, weighted by images (Guo et al. 2017, equation 3).
func calibration(bins [Bins]Bin) (means [Bins]Bin, ece float64) {
	images := 0
	for i, b := range bins {
		if b.Images == 0 {
			continue
		}
		n := float64(b.Images)
		means[i] = Bin{b.Images, b.Confidence / n, b.Accuracy / n}
		ece += math.Abs(b.Confidence - b.Accuracy)
		images += b.Images
	}
	return means, ece / float64(max(1, images))
}
