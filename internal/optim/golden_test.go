package optim

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"os"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
)

// golden is tools/golden/optim.py's output.
type golden struct {
	Cases []struct {
		Name, Rule string
		Decoupled  bool
		Beta2, Eps float64
		Clip       float64
		Micro      int
		Groups     []Group     // none for goldenDecayed weights that decay and the rest
		Weights    [][]float64 // after steps 1, 2, 10, 50 and 200
		Norms      []float64
	}
	EMA    []float64
	Cosine []float64 // every fiftieth rate
}

const (
	goldenWeights = 40
	goldenDecayed = 25
	goldenSteps   = 200
)

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err == nil {
		err = json.Unmarshal(text, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func cosines() []float32 {
	w := make([]float32, goldenWeights)
	for i := range w {
		w[i] = float32(math.Cos(float64(i)))
	}
	return w
}

func goldenGradient(step int) []float32 {
	g := make([]float32, goldenWeights)
	for i := range g {
		g[i] = float32(math.Sin(0.37*float64(i)+0.11*float64(step)*float64(1+i%5)) * float64(1+i%3))
	}
	return g
}

// Two hundred steps in float32 leave PyTorch's float64 by their rounding: some
// 1e-6 of weights of about 1.
func TestStepsEqualPyTorch(t *testing.T) {
	for _, set := range kernel.Available() {
		b := cpu.NewWith(set, 2)
		defer b.Close()
		for _, c := range readGolden(t).Cases {
			w, g := view(t, b, cosines()...), view(t, b, goldenGradient(0)...)
			groups, frozen := []Group{{N: goldenDecayed, Decay: true}, {From: goldenDecayed, N: goldenWeights - goldenDecayed}}, 0
			if c.Groups != nil {
				groups, frozen = c.Groups, c.Groups[0].From
			}
			o, err := New(b, Options{Rule: c.Rule, Momentum: .9, Decay: .9, Beta1: .9, Beta2: cmp.Or(c.Beta2, .99), Eps: cmp.Or(c.Eps, 1e-3), WeightDecay: .02,
				Decoupled: c.Decoupled, ClipNorm: c.Clip, MicroBatches: c.Micro}, w, g, groups)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float32, goldenWeights)
			for step := range goldenSteps {
				for k := range max(c.Micro, 1) {
					gradient := goldenGradient(max(c.Micro, 1)*step + k)
					clear(gradient[:frozen])
					if err := b.Upload(g, gradient); err != nil {
						t.Fatal(err)
					}
					updated, err := o.Step(0.01 / (1 + float64(step)/50))
					if err != nil || updated != (k == max(c.Micro, 1)-1) {
						t.Fatalf("%s: step %d, micro-batch %d: updated %v, %v", c.Name, step, k, updated, err)
					}
				}
				if step < len(c.Norms) {
					if norm, err := o.GradientNorm(); err != nil || math.Abs(norm-c.Norms[step]) > 1e-5*norm {
						t.Errorf("%s: step %d: gradient of length %v, want %v (%v)", c.Name, step, norm, c.Norms[step], err)
					}
				}
				for k, at := range []int{0, 1, 9, 49, goldenSteps - 1} {
					if at != step {
						continue
					}
					if err := b.Download(got, w); err != nil {
						t.Fatal(err)
					}
					for i, want := range c.Weights[k] {
						if math.Abs(float64(got[i])-want) > 5e-6 {
							t.Fatalf("%s, %s: step %d: weight %d is %v, want %v", set.Name, c.Name, step+1, i, got[i], want)
						}
					}
				}
			}
		}
	}
}

func TestEMAEqualsTimm(t *testing.T) {
	b := cpu.NewWith(kernel.Available()[0], 2)
	defer b.Close()
	x, average := view(t, b, cosines()...), view(t, b, cosines()...)
	e, err := NewEMA(b, 0.99, []backend.View{x}, []backend.View{average})
	if err != nil {
		t.Fatal(err)
	}
	for step := range goldenSteps {
		if err := b.Upload(x, goldenGradient(step)); err != nil {
			t.Fatal(err)
		}
		if err := e.Update(step); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]float32, goldenWeights)
	if err := b.Download(got, average); err != nil {
		t.Fatal(err)
	}
	for i, want := range readGolden(t).EMA {
		if math.Abs(float64(got[i])-want) > 2e-6 {
			t.Errorf("average %d is %v, want %v", i, got[i], want)
		}
	}
}

// Gradients of micro-batches are added up as a tree, then multiplied once: to the bit what
// that sum is.
func TestMicroBatchesAddUpAsATree(t *testing.T) {
	b := cpu.NewWith(kernel.Available()[0], 2)
	defer b.Close()
	sum := treeOf([][]float32{goldenGradient(0), goldenGradient(1), goldenGradient(2), goldenGradient(3)})
	w1, w2, g := view(t, b, cosines()...), view(t, b, cosines()...), view(t, b, sum...)
	four, err := New(b, Options{Rule: "sgd", MicroBatches: 4}, w1, g, []Group{{N: goldenWeights}})
	if err != nil {
		t.Fatal(err)
	}
	for k := range 4 {
		if err := b.Upload(g, goldenGradient(k)); err != nil {
			t.Fatal(err)
		}
		if _, err := four.Step(1); err != nil {
			t.Fatal(err)
		}
	}
	for i := range sum {
		sum[i] *= 0.25
	}
	one, err := New(b, Options{Rule: "sgd"}, w2, view(t, b, sum...), []Group{{N: goldenWeights}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Step(1); err != nil {
		t.Fatal(err)
	}
	got, want := make([]float32, goldenWeights), make([]float32, goldenWeights)
	if err := b.Download(got, w1); err != nil {
		t.Fatal(err)
	}
	if err := b.Download(want, w2); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("weight %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestCosineEqualsTimm(t *testing.T) {
	s := Schedule{Kind: "cosine", Peak: 0.1, Start: 0.01, Min: 0.001, WarmupUpdates: 100, TotalUpdates: 1000}
	for i, want := range readGolden(t).Cosine {
		if got := s.LR(50 * i); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: %v, want %v", 50*i, got, want)
		}
	}
}

// Four micro-batches of eight are one batch of 32, where nothing is normalised by
// the batch: softmax regression over ten steps of SGD. The two sum the images in
// another order, so they differ by rounding.
func TestMicroBatchesEqualOneBatch(t *testing.T) {
	const images, in, classes = 32, 12, 5
	x, targets := make([]float32, images*in), make([]float32, images*classes)
	for i := range x {
		x[i] = float32(math.Sin(float64(i * i)))
	}
	for i := range images {
		targets[i*classes+i*i%classes] = 1
	}
	train := func(micro int) []float32 {
		b := cpu.NewWith(kernel.Available()[0], 2)
		defer b.Close()
		n := images / micro
		w, g := view(t, b, make([]float32, in*classes)...), view(t, b, make([]float32, in*classes)...)
		xs, ys, logits := view(t, b, x[:n*in]...), view(t, b, targets[:n*classes]...), view(t, b, make([]float32, n*classes)...)
		compile := func(spec backend.Spec, operands ...backend.View) backend.Program {
			p, err := b.Compile(spec, operands...)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		pass := []backend.Program{
			compile(backend.MatMul{M: n, N: classes, K: in}, xs, w, logits),
			compile(backend.SoftmaxCrossEntropyGrad{SoftmaxCrossEntropy: backend.SoftmaxCrossEntropy{N: n, K: classes}}, logits, ys, view(t, b, 1), logits),
			compile(backend.MatMul{M: in, N: classes, K: n, TransA: true}, xs, logits, g),
		}
		o, err := New(b, Options{Rule: "sgd", Momentum: .9, MicroBatches: micro}, w, g, []Group{{N: in * classes}})
		if err != nil {
			t.Fatal(err)
		}
		for step := range 10 * micro {
			k := step % micro
			if err := errors.Join(b.Upload(xs, x[k*n*in:][:n*in]), b.Upload(ys, targets[k*n*classes:][:n*classes])); err != nil {
				t.Fatal(err)
			}
			for _, p := range pass {
				p.All()
			}
			if _, err := o.Step(.5); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]float32, in*classes)
		if err := b.Download(got, w); err != nil {
			t.Fatal(err)
		}
		return got
	}
	one, four := train(1), train(4)
	for i := range one {
		if math.Abs(float64(one[i]-four[i])) > 1e-6*(1+math.Abs(float64(one[i]))) || one[i] == 0 {
			t.Errorf("weight %d: %v after micro-batches, %v after whole ones", i, four[i], one[i])
		}
	}
}
