package metrics

import (
	"cmp"
	"maps"
	"slices"
)

// A Confusion counts images by their class and the class they were predicted as.
// Only pairs that occur take memory.
type Confusion struct {
	classes int
	counts  map[[2]int32]int
}

func newConfusion(classes int) *Confusion {
	return &Confusion{classes: classes, counts: map[[2]int32]int{}}
}

func (m *Confusion) add(label, predicted int) {
	m.counts[[2]int32{int32(label), int32(predicted)}]++
}

func (m *Confusion) clone() *Confusion {
	return &Confusion{m.classes, maps.Clone(m.counts)}
}

// Classes is the number of classes.
func (m *Confusion) Classes() int { return m.classes }

// At is how many images of the class label were predicted as the class predicted.
func (m *Confusion) At(label, predicted int) int {
	return m.counts[[2]int32{int32(label), int32(predicted)}]
}

// Pair is an entry of the matrix.
type Pair struct {
	Label     int `json:"label"`
	Predicted int `json:"predicted"`
	Images    int `json:"images"`
}

// Pairs returns the entries that are not zero, by label, then by prediction.
func (m *Confusion) Pairs() []Pair {
	pairs := make([]Pair, 0, len(m.counts))
	for at, n := range m.counts {
		pairs = append(pairs, Pair{int(at[0]), int(at[1]), n})
	}
	slices.SortFunc(pairs, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Predicted, b.Predicted))
	})
	return pairs
}

// MostConfused returns at most n entries off the diagonal, the largest first.
func (m *Confusion) MostConfused(n int) []Pair {
	wrong := slices.DeleteFunc(m.Pairs(), func(p Pair) bool { return p.Label == p.Predicted })
	slices.SortStableFunc(wrong, func(a, b Pair) int { return cmp.Compare(b.Images, a.Images) })
	return slices.Clip(wrong[:min(n, len(wrong))])
}

// HardestClasses returns at most n classes that have the most errors, as labels
// and as predictions together, in ascending order of class.
func (m *Confusion) HardestClasses(n int) []int {
	errors := make([]int, m.classes)
	for at, images := range m.counts {
		if at[0] != at[1] {
			errors[at[0]] += images
			errors[at[1]] += images
		}
	}
	order := make([]int, m.classes)
	for c := range order {
		order[c] = c
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(errors[b], errors[a]) })
	order = order[:min(n, len(order))]
	slices.Sort(order)
	return order
}

// Scores are a class's precision (the share of its predictions that are right),
// recall (the share of its images that are found) and their harmonic mean.
// What would be 0/0 is 0.
type Scores struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

// Class is how a class came out.
type Class struct {
	Scores
	Support   int `json:"support"`   // images of the class
	Predicted int `json:"predicted"` // images predicted as it
}

// scores returns every class's, and the mean over those with images or
// predictions.
func (m *Confusion) scores() ([]Class, Scores) {
	classes := make([]Class, m.classes)
	for at, images := range m.counts {
		classes[at[0]].Support += images
		classes[at[1]].Predicted += images
	}
	var macro Scores
	present := 0
	for c := range classes {
		k := &classes[c]
		if k.Support == 0 && k.Predicted == 0 {
			continue
		}
		right := m.At(c, c)
		k.Scores = Scores{ratio(right, k.Predicted), ratio(right, k.Support), ratio(2*right, k.Predicted+k.Support)}
		macro.Precision += k.Precision
		macro.Recall += k.Recall
		macro.F1 += k.F1
		present++
	}
	n := float64(max(1, present))
	return classes, Scores{macro.Precision / n, macro.Recall / n, macro.F1 / n}
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
