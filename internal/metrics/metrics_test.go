package metrics

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"
)

// golden is what tools/golden/metrics.py writes: the values of scikit-learn.
type golden struct {
	Images, Classes, Used int
	Lift                  float32
	Top                   map[string]float64
	Accuracy, Loss, ECE   float64
	Precision, Recall, F1 []float64
	Support               []int
	Macro                 [3]float64
	Confusion             [][3]int
	BinAccuracy           []float64 `json:"bin_accuracy"`
	BinConfidence         []float64 `json:"bin_confidence"`
	Worst                 []int
}

func readGolden(t *testing.T) []golden {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []golden }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

// noise is the script's.
func noise(i, salt int) int {
	v := (uint32(i) + uint32(salt)*1000003) * 2654435761
	v = (v ^ v>>15) * 2246822519
	return int(v >> 16)
}

// image is the script's source: an image's logits and label.
func (g golden) image(n int) (logits []float32, label int) {
	logits = make([]float32, g.Classes)
	for c := range logits {
		logits[c] = float32(noise(n*g.Classes+c, g.Classes)%512)/32 + float32(c)/65536
	}
	label = noise(n, g.Images) % g.Used
	if noise(n, 7)%4 != 0 {
		logits[label] += g.Lift
	}
	return logits, label
}

// collect evaluates a case's images in an order.
func (g golden) collect(backwards bool) *Evaluation {
	c := NewCollector(g.Classes, 5)
	for i := range g.Images {
		n := i
		if backwards {
			n = g.Images - 1 - i
		}
		logits, label := g.image(n)
		c.Add(logits, label, n)
	}
	return c.Result()
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-12*math.Max(1, math.Abs(b)) }

func TestGolden(t *testing.T) {
	for _, g := range readGolden(t) {
		t.Run(strconv.Itoa(g.Classes), func(t *testing.T) {
			e := g.collect(false)
			check := func(name string, got, want float64) {
				t.Helper()
				if !near(got, want) {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
			check("accuracy", e.Top1, g.Accuracy)
			for k, want := range g.Top {
				n, _ := strconv.Atoi(k)
				check("top-"+k, e.TopK(n), want)
			}
			check("loss", e.Loss, g.Loss)
			check("ECE", e.ECE, g.ECE)
			check("macro precision", e.Macro.Precision, g.Macro[0])
			check("macro recall", e.Macro.Recall, g.Macro[1])
			check("macro F1", e.Macro.F1, g.Macro[2])
			for c, k := range e.Classes {
				check("precision", k.Precision, g.Precision[c])
				check("recall", k.Recall, g.Recall[c])
				check("F1", k.F1, g.F1[c])
				if k.Support != g.Support[c] {
					t.Errorf("class %d has support %d, want %d", c, k.Support, g.Support[c])
				}
			}
			checkPairs(t, e.Confusion, g.Confusion)
			checkBins(t, e, g)
			if got := indices(e.Worst); !slices.Equal(got, g.Worst) {
				t.Errorf("the worst images are %v, want %v", got, g.Worst)
			}
		})
	}
}

func checkPairs(t *testing.T, m *Confusion, want [][3]int) {
	t.Helper()
	var got [][3]int
	for _, p := range m.Pairs() {
		got = append(got, [3]int{p.Label, p.Predicted, p.Images})
		if m.At(p.Label, p.Predicted) != p.Images {
			t.Errorf("At(%d, %d) is %d, want %d", p.Label, p.Predicted, m.At(p.Label, p.Predicted), p.Images)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the confusion matrix is %v, want %v", got, want)
	}
}

func checkBins(t *testing.T, e *Evaluation, g golden) {
	t.Helper()
	images, i := 0, 0
	for _, b := range e.Reliability {
		images += b.Images
		if b.Images == 0 {
			continue
		}
		if i == len(g.BinAccuracy) || !near(b.Accuracy, g.BinAccuracy[i]) || !near(b.Confidence, g.BinConfidence[i]) {
			t.Fatalf("bin with images number %d is %+v, want those of %v and %v", i, b, g.BinAccuracy, g.BinConfidence)
		}
		i++
	}
	if i != len(g.BinAccuracy) || images != g.Images {
		t.Errorf("%d bins hold %d images, want %d and %d", i, images, len(g.BinAccuracy), g.Images)
	}
}

func indices(misses []Miss) (list []int) {
	for _, m := range misses {
		list = append(list, m.Index)
	}
	return list
}

// What a person is shown does not depend on the order of the images.
func TestOrder(t *testing.T) {
	for _, g := range readGolden(t) {
		a, b := g.collect(false), g.collect(true)
		if !slices.Equal(a.Worst, b.Worst) || !slices.Equal(a.Classes, b.Classes) || a.Top5 != b.Top5 || !near(a.ECE, b.ECE) {
			t.Errorf("%d classes: the result depends on the order", g.Classes)
		}
	}
}

// An image's entry says what it was and what it was predicted as.
func TestWorst(t *testing.T) {
	c := NewCollector(3, 2)
	c.Add([]float32{0, 2, 0}, 1, 10)
	c.Add([]float32{0, 5, 0}, 2, 11)
	c.Add([]float32{5, 0, 0}, 2, 9)
	got := c.Result().Worst
	sum := 2 + math.Exp(5)
	want := []Miss{
		{Index: 9, Label: 2, Predicted: 0, Loss: math.Log(sum), Probability: 1 / sum, Confidence: math.Exp(5) / sum},
		{Index: 11, Label: 2, Predicted: 1, Loss: math.Log(sum), Probability: 1 / sum, Confidence: math.Exp(5) / sum},
	}
	if len(got) != 2 {
		t.Fatalf("kept %v, want two", got)
	}
	for i, g := range got {
		w := want[i]
		if g.Index != w.Index || g.Label != w.Label || g.Predicted != w.Predicted || !near(g.Loss, w.Loss) || !near(g.Probability, w.Probability) || !near(g.Confidence, w.Confidence) {
			t.Errorf("miss %d is %+v, want %+v", i, g, w)
		}
	}
}

// Of equal logits the lower class comes first, as everywhere in the module; a
// row that is not finite is never right and spoils the loss visibly.
func TestTiesAndBroken(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	c := NewCollector(2, 9)
	c.Add([]float32{1, 1}, 0, 0)
	c.Add([]float32{1, 1}, 1, 1)
	if e := c.Result(); e.Top1 != .5 || e.TopK(2) != 1 || e.Confusion.At(1, 0) != 1 || e.Confusion.At(0, 0) != 1 {
		t.Errorf("ties: top-1 %v, top-2 %v, matrix %v", e.Top1, e.TopK(2), e.Confusion.Pairs())
	}
	c.Add([]float32{nan, 1}, 1, 2)
	c.Add([]float32{inf, 1}, 0, 3)
	e := c.Result()
	if e.Images != 4 || e.Broken != 2 || e.Top1 != .25 || !math.IsNaN(e.Loss) || len(e.Worst) != 2 {
		t.Errorf("with broken rows: %+v", e)
	}
}

func TestBin(t *testing.T) {
	for confidence, want := range map[float64]int{0: 0, 1. / 15: 0, .0667: 1, .5: 7, .2: 2, .99: 14, 1: 14} {
		if got := bin(confidence); got != want {
			t.Errorf("confidence %v is in bin %d, want %d", confidence, got, want)
		}
	}
}

func TestMostConfused(t *testing.T) {
	m := newConfusion(70000) // pairs far beyond what a matrix could hold
	for _, p := range []Pair{{0, 0, 9}, {0, 69999, 2}, {69999, 0, 3}, {5, 4, 2}, {7, 7, 1}} {
		for range p.Images {
			m.add(p.Label, p.Predicted)
		}
	}
	if got, want := m.MostConfused(2), []Pair{{69999, 0, 3}, {0, 69999, 2}}; !slices.Equal(got, want) {
		t.Errorf("most confused: %v, want %v", got, want)
	}
	if got, want := m.HardestClasses(3), []int{0, 4, 69999}; !slices.Equal(got, want) {
		t.Errorf("hardest classes: %v, want %v", got, want)
	}
}

func TestEmpty(t *testing.T) {
	e := NewCollector(2, 3).Result()
	if e.Images != 0 || e.Top1 != 0 || e.ECE != 0 || !math.IsNaN(e.Loss) {
		t.Errorf("of no images: %+v", e)
	}
}

// Logits far outside what exp can take still have probabilities.
func TestSoftmaxOfLargeLogits(t *testing.T) {
	p := Softmax([]float32{1000, 1001, -1000})
	e := math.E
	for i, want := range []float64{1 / (1 + e), e / (1 + e), 0} {
		if math.Abs(p[i]-want) > 1e-12 {
			t.Errorf("probability %d is %v, want %v", i, p[i], want)
		}
	}
}
