package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	_ "go4.org/unsafe/assume-no-moving-gc" // pinned: Gorgonia v0.9.18 panics at start with an older one
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"effnet/internal/backend"
)

// input is one operand of a gradientCase. A fixed one gets no gradient.
type input struct {
	shape  tensor.Shape
	values []float32
	fixed  bool
}

// uniform draws an input's values from [low, high).
func uniform(low, high float64, shape ...int) input {
	x := make([]float32, tensor.Shape(shape).TotalSize())
	r := rand.New(rand.NewPCG(uint64(len(x)), math.Float64bits(low)))
	for i := range x {
		x[i] = float32(low + (high-low)*r.Float64())
	}
	return input{shape: shape, values: x}
}

// offKinks moves values away from where activations bend.
func offKinks(in input) input {
	for i, v := range in.values {
		for _, kink := range []float64{-3, 0, 3, 6} {
			if math.Abs(float64(v)-kink) < .1 {
				in.values[i] += .3
			}
		}
	}
	return in
}

// distinct draws values that lie a twentieth apart, so that no difference changes
// which of them is larger, and none near a bend of an activation.
func distinct(shape ...int) input {
	in := uniform(-1, 1, shape...)
	n := len(in.values)
	for i, at := range rand.New(rand.NewPCG(5, uint64(n))).Perm(n) {
		in.values[i] = (float32(at-n/2) + .5) / 20
	}
	return in
}

func step(n uint64) input {
	s := backend.StepValues(n)
	return input{shape: tensor.Shape{2}, values: s[:], fixed: true}
}

func fixed(in input) input { in.fixed = true; return in }

type gradientCase struct {
	name  string
	in    []input
	build func(in []*G.Node) (*G.Node, error)
}

func gradientCases() []gradientCase {
	var all []gradientCase
	add := func(name string, build func([]*G.Node) (*G.Node, error), in ...input) {
		all = append(all, gradientCase{name, in, build})
	}
	add("Conv1x1", func(n []*G.Node) (*G.Node, error) { return Conv2D(n[0], n[1], 1, Same) },
		uniform(-1, 1, 2, 3, 2, 4), uniform(-1, 1, 1, 1, 4, 3))
	for _, p := range []Padding{Same, Symmetric} {
		for _, s := range []int{1, 2} {
			for _, k := range []int{1, 3, 5} {
				if k > 1 || s > 1 {
					add(fmt.Sprintf("Conv2D/k%d/s%d/padding%d", k, s, p), func(n []*G.Node) (*G.Node, error) { return Conv2D(n[0], n[1], s, p) },
						uniform(-1, 1, 2, 5, 4, 2), uniform(-1, 1, k, k, 2, 3))
				}
				add(fmt.Sprintf("DepthwiseConv2D/k%d/s%d/padding%d", k, s, p), func(n []*G.Node) (*G.Node, error) { return DepthwiseConv2D(n[0], n[1], s, p) },
					uniform(-1, 1, 2, 5, 4, 3), uniform(-1, 1, k, k, 3))
			}
		}
	}
	for _, act := range backend.Activations() {
		x, gamma, beta := uniform(-2, 2, 2, 3, 2, 3), uniform(.2, .5, 3), uniform(-1, 1, 3)
		switch act { // one channel below the kinks, one between, one above
		case backend.ReLU, backend.ReLU6:
			copy(beta.values, []float32{-3, 3, 9})
		case backend.HardSwish, backend.HardSigmoid:
			copy(beta.values, []float32{-6, 0, 6})
		}
		add("NormAct/batch/"+act.String(), func(n []*G.Node) (*G.Node, error) {
			stats, err := BatchStats(n[0])
			if err != nil {
				return nil, err
			}
			return NormAct(n[0], stats, n[1], n[2], 1e-3, act, true)
		}, x, gamma, beta)
		add("NormAct/frozen/"+act.String(), func(n []*G.Node) (*G.Node, error) {
			return NormAct(n[0], n[3], n[1], n[2], 1e-3, act, false)
		}, x, gamma, beta, fixed(uniform(.5, 1.5, 2, 3)))
		add("Activate/"+act.String(), func(n []*G.Node) (*G.Node, error) { return Activate(n[0], act) },
			offKinks(uniform(-8, 10, 3, 17)))
		add("Activate/map/"+act.String(), func(n []*G.Node) (*G.Node, error) {
			sum, err := Add(n[0], n[1])
			if err != nil {
				return nil, err
			}
			return Activate(sum, act)
		}, distinct(2, 3, 2, 3), fixed(input{shape: tensor.Shape{2, 3, 2, 3}, values: make([]float32, 36)}))
	}
	for _, p := range []Padding{Same, Symmetric} {
		for _, k := range [][2]int{{3, 2}, {3, 1}, {2, 2}, {1, 2}} {
			add(fmt.Sprintf("MaxPool/k%d/s%d/padding%d", k[0], k[1], p), func(n []*G.Node) (*G.Node, error) { return MaxPool(n[0], k[0], k[1], p) },
				distinct(2, 5, 4, 3))
		}
	}
	add("GlobalAvgPool", func(n []*G.Node) (*G.Node, error) { return GlobalAvgPool(n[0]) }, uniform(-1, 1, 2, 3, 2, 3))
	add("ChannelScale", func(n []*G.Node) (*G.Node, error) { return ChannelScale(n[0], n[1]) },
		uniform(-1, 1, 2, 3, 2, 3), uniform(-1, 1, 2, 3))
	add("Dense", func(n []*G.Node) (*G.Node, error) { return Dense(n[0], n[1], n[2]) },
		uniform(-1, 1, 3, 4), uniform(-1, 1, 4, 5), uniform(-1, 1, 5))
	add("Add", func(n []*G.Node) (*G.Node, error) { return Add(n[0], n[1]) }, uniform(-1, 1, 2, 5), uniform(-2, 1, 2, 5))
	add("Add/itself", func(n []*G.Node) (*G.Node, error) { return Add(n[0], n[0]) }, uniform(-1, 1, 2, 5))
	add("ResidualAdd", func(n []*G.Node) (*G.Node, error) {
		return ResidualAdd(n[0], n[1], n[2], .6, backend.Random{Seed: 3, Layer: 2})
	}, uniform(-1, 1, 8, 2, 1, 2), uniform(-2, 1, 8, 2, 1, 2), step(1<<24+5))
	add("Dropout", func(n []*G.Node) (*G.Node, error) {
		return Dropout(n[0], n[1], .4, backend.Random{Seed: 3, Layer: 2})
	}, uniform(-1, 1, 4, 10), step(1<<24+5))
	targets := fixed(uniform(0, 1, 3, 4)) // rows that sum to anything
	add("SoftmaxCrossEntropy", func(n []*G.Node) (*G.Node, error) { return SoftmaxCrossEntropy(n[0], n[1]) },
		uniform(-3, 3, 3, 4), targets)
	return all
}

// costWeights are what the cost multiplies each output by, of either sign so
// that a normalisation's outputs don't cancel.
func costWeights(n int) input {
	w := uniform(.5, 1.5, n)
	for i := 0; i < n; i += 2 {
		w.values[i] *= -1
	}
	return w
}

// tape is a graph on Gorgonia's own machine, its cost a weighted sum of all
// output values.
type tape struct {
	machine G.VM
	weights []float32
	out     G.Value
	grads   []G.Value // of the inputs; nil for a fixed one
}

func newTape(t *testing.T, c gradientCase) *tape {
	t.Helper()
	g := G.NewGraph()
	node := func(name string, in input) *G.Node {
		return G.NewTensor(g, tensor.Float32, len(in.shape), G.WithShape(in.shape...), G.WithName(name),
			G.WithValue(tensor.New(tensor.WithShape(in.shape...), tensor.WithBacking(in.values))))
	}
	var in, wrt []*G.Node
	for i, x := range c.in {
		in = append(in, node(fmt.Sprint("in", i), x))
		if !x.fixed {
			wrt = append(wrt, in[i])
		}
	}
	out, err := c.build(in)
	if err != nil {
		t.Fatal(err)
	}
	k := out.Shape().TotalSize()
	weights := costWeights(k)
	cost, err := matMul("WeightedSum", backend.MatMul{M: 1, N: 1, K: k}, tensor.ScalarShape(), out, node("weights", weights))
	if err != nil {
		t.Fatal(err)
	}
	grads, err := G.Grad(cost, wrt...)
	if err != nil {
		t.Fatal(err)
	}
	r := &tape{weights: weights.values, grads: make([]G.Value, len(in))}
	G.Read(out, &r.out)
	for i, x := range c.in {
		if !x.fixed {
			if !grads[0].Shape().Eq(x.shape) {
				t.Fatalf("input %d of shape %v has a gradient of shape %v", i, x.shape, grads[0].Shape())
			}
			G.Read(grads[0], &r.grads[i])
			grads = grads[1:]
		}
	}
	r.machine = G.NewTapeMachine(g)
	t.Cleanup(func() { _ = r.machine.Close() })
	return r
}

// run returns the cost for the inputs' present values, summed in float64.
func (r *tape) run(t *testing.T) float64 {
	t.Helper()
	r.machine.Reset()
	if err := r.machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	var cost float64
	for i, y := range floats(r.out) {
		cost += float64(r.weights[i]) * float64(y)
	}
	return cost
}

func floats(v G.Value) []float32 {
	if x, ok := v.Data().(float32); ok {
		return []float32{x}
	}
	return append([]float32(nil), v.Data().([]float32)...)
}

// The gradients Gorgonia builds from the ops' are the slopes of the cost:
// central differences, compared by norm.
func TestGradients(t *testing.T) {
	const h, tol = 1e-2, 5e-4
	for _, c := range gradientCases() {
		t.Run(c.name, func(t *testing.T) {
			r := newTape(t, c)
			r.run(t)
			grads := make([][]float32, len(c.in))
			for i, g := range r.grads {
				if g != nil {
					grads[i] = floats(g)
				}
			}
			for i, x := range c.in {
				if x.fixed {
					continue
				}
				var diff, norm float64
				for j, v := range x.values {
					x.values[j] = v + h
					up := r.run(t)
					x.values[j] = v - h
					down := r.run(t)
					x.values[j] = v
					slope := (up - down) / (float64(v+h) - float64(v-h))
					d := float64(grads[i][j]) - slope
					diff, norm = diff+d*d, norm+slope*slope
				}
				if norm == 0 {
					t.Fatalf("input %d does not matter", i)
				}
				if e := math.Sqrt(diff / norm); !(e <= tol) {
					t.Errorf("input %d: relative error %.2g", i, e)
				}
			}
		})
	}
}

// The random ops' cases must both keep and drop, or their gradients prove little.
func TestRandomCasesDrop(t *testing.T) {
	for _, c := range gradientCases() {
		if c.name != "ResidualAdd" && c.name != "Dropout" {
			continue
		}
		r := newTape(t, c)
		r.run(t)
		kept, dropped := 0, 0
		for i, y := range floats(r.out) {
			shortcut := float32(0)
			if c.name == "ResidualAdd" {
				shortcut = c.in[1].values[i]
			}
			if y == shortcut {
				dropped++
			} else {
				kept++
			}
		}
		if kept == 0 || dropped == 0 {
			t.Errorf("%s keeps %d and drops %d", c.name, kept, dropped)
		}
	}
}

// Another step drops others.
func TestStepDecidesWhatIsDropped(t *testing.T) {
	for _, c := range gradientCases() {
		if c.name != "ResidualAdd" && c.name != "Dropout" {
			continue
		}
		s := c.in[len(c.in)-1].values
		r := newTape(t, c)
		first := r.run(t)
		if again := r.run(t); again != first {
			t.Errorf("%s: cost %g, then %g at the same step", c.name, first, again)
		}
		s[0]++
		if next := r.run(t); next == first {
			t.Errorf("%s: the same cost at the next step", c.name)
		}
		s[0]--
		s[1]++
		if next := r.run(t); next == first {
			t.Errorf("%s: the same cost 2^24 steps later", c.name)
		}
	}
}

// BatchStats is differentiated as a part of NormAct; alone it must refuse
// rather than give zeros.
func TestBatchStatsAloneHasNoGradient(t *testing.T) {
	g := G.NewGraph()
	x := G.NewTensor(g, tensor.Float32, 2, G.WithShape(4, 3), G.WithName("x"))
	stats, err := BatchStats(x)
	if err != nil {
		t.Fatal(err)
	}
	w := G.NewTensor(g, tensor.Float32, 1, G.WithShape(6), G.WithName("w"))
	cost, err := matMul("WeightedSum", backend.MatMul{M: 1, N: 1, K: 6}, tensor.ScalarShape(), stats, w)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := G.Grad(cost, x); err == nil {
		t.Error("Grad through BatchStats did not fail")
	}
}
