package ops

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
)

// tensors adds an input of each shape to a new graph.
func tensors(shapes ...tensor.Shape) []*G.Node {
	g := G.NewGraph()
	var n []*G.Node
	for i, s := range shapes {
		n = append(n, G.NewTensor(g, tensor.Float32, len(s), G.WithShape(s...), G.WithName(fmt.Sprint("in", i))))
	}
	return n
}

// Output sizes are those of tf.nn.conv2d "SAME" and of torch.nn.Conv2d with
// padding (kernel-1)/2; they agree, but the zeros before the image don't.
func TestPadding(t *testing.T) {
	for _, c := range []struct{ size, kernel, stride, out, same, symmetric int }{
		{224, 3, 2, 112, 0, 1},
		{225, 3, 2, 113, 1, 1},
		{112, 5, 2, 56, 1, 2},
		{7, 5, 1, 7, 2, 2},
		{1, 5, 1, 1, 2, 2},
		{4, 1, 2, 2, 0, 0},
	} {
		for p, before := range map[Padding]int{Same: c.same, Symmetric: c.symmetric} {
			if out, b := p.pad(c.size, c.kernel, c.stride); out != c.out || b != before {
				t.Errorf("padding %d of size %d, kernel %d, stride %d: %d outputs, %d before; want %d and %d", p, c.size, c.kernel, c.stride, out, b, c.out, before)
			}
		}
	}
}

// Do is the Spec's definition: what it returns is backend.Reference's output.
func TestDo(t *testing.T) {
	n := tensors(tensor.Shape{2, 3, 3, 4}, tensor.Shape{3, 3, 4, 5})
	y, err := Conv2D(n[0], n[1], 2, Same)
	if err != nil {
		t.Fatal(err)
	}
	op := y.Op().(*Op)
	v := backendtest.Operands(op.Spec(), 1)
	dense := func(i int) G.Value {
		return tensor.New(tensor.WithShape(n[i].Shape()...), tensor.WithBacking(v[i]))
	}
	got, err := op.Do(dense(0), dense(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := backend.Reference(op.Spec(), v); err != nil {
		t.Fatal(err)
	}
	if !got.Shape().Eq(tensor.Shape{2, 2, 2, 5}) || !slices.Equal(got.Data().([]float32), v[2]) {
		t.Errorf("Do gives %v of shape %v, want %v", got.Data(), got.Shape(), v[2])
	}
	if _, err := op.Do(dense(1), dense(0)); err == nil {
		t.Error("Do with operands of the wrong size did not fail")
	}
	double := tensor.New(tensor.WithShape(2, 3, 3, 4), tensor.WithBacking(make([]float64, 72)))
	if _, err := op.Do(double, dense(1)); err == nil || !strings.Contains(err.Error(), "float32") {
		t.Errorf("Do with float64: error %v", err)
	}
}

// Gorgonia merges nodes whose ops have equal hashes; ours never have.
func TestEqualOpsAreNotMerged(t *testing.T) {
	n := tensors(tensor.Shape{2, 3, 3, 4}, tensor.Shape{1, 1, 4, 4}, tensor.Shape{3, 3, 4}, tensor.Shape{2}, tensor.Shape{3, 3, 4, 4})
	x, point, deep, step, dense := n[0], n[1], n[2], n[3], n[4]
	random := backend.Random{Seed: 1, Layer: 1}
	for name, build := range map[string]func() (*G.Node, error){
		"Conv1x1":         func() (*G.Node, error) { return Conv2D(x, point, 1, Same) },
		"Conv2D":          func() (*G.Node, error) { return Conv2D(x, dense, 1, Same) },
		"DepthwiseConv2D": func() (*G.Node, error) { return DepthwiseConv2D(x, deep, 1, Same) },
		"BatchStats":      func() (*G.Node, error) { return BatchStats(x) },
		"Activate":        func() (*G.Node, error) { return Activate(x, backend.Swish) },
		"MaxPool":         func() (*G.Node, error) { return MaxPool(x, 3, 2, Same) },
		"Add":             func() (*G.Node, error) { return Add(x, x) },
		"ResidualAdd":     func() (*G.Node, error) { return ResidualAdd(x, x, step, .5, random) },
		"Dropout":         func() (*G.Node, error) { return Dropout(x, step, .5, random) },
	} {
		a, err := build()
		if err != nil {
			t.Fatal(err)
		}
		b, err := build()
		if err != nil {
			t.Fatal(err)
		}
		if a == b || a.ID() == b.ID() || a.Op() == b.Op() || a.Hashcode() == b.Hashcode() {
			t.Errorf("two equal %s are one node", name)
		}
	}
}

// Two dropouts that differ in their layer alone draw apart, forward and
// backward: their sum's gradient has all of 0, 1/(1-p) and 2/(1-p).
func TestTwoDropouts(t *testing.T) {
	const p = .5
	r := newTape(t, gradientCase{in: []input{uniform(1, 2, 4, 16), step(0)}, build: func(n []*G.Node) (*G.Node, error) {
		a, err := Dropout(n[0], n[1], p, backend.Random{Seed: 1, Layer: 1})
		if err != nil {
			return nil, err
		}
		b, err := Dropout(n[0], n[1], p, backend.Random{Seed: 1, Layer: 2})
		if err != nil {
			return nil, err
		}
		return Add(a, b)
	}})
	r.run(t)
	x := uniform(1, 2, 4, 16).values
	seen := map[float32]int{}
	for i, g := range floats(r.grads[0]) {
		times := g / r.weights[i] // the cost's weight is what comes in
		if y := floats(r.out)[i]; times*x[i]-y > 1e-5 || y-times*x[i] > 1e-5 {
			t.Errorf("value %d: %g times in the gradient, %g times in the output", i, times, y/x[i])
		}
		seen[float32(int(times+.5))]++
	}
	if len(seen) != 3 || seen[0] == 0 || seen[1/(1-p)] == 0 || seen[2/(1-p)] == 0 {
		t.Errorf("gradients %v, want some of each of 0, 2 and 4", seen)
	}
}

// The stream a random op is given is the one its Spec draws from.
func TestRandomStream(t *testing.T) {
	n := tensors(tensor.Shape{4, 3}, tensor.Shape{2})
	random := backend.Random{Seed: 8, Layer: 9}
	residual, err := ResidualAdd(n[0], n[0], n[1], .75, random)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := residual.Op().(*Op).Spec(), (backend.ResidualAdd{DropPath: backend.DropPath{Random: random, N: 4, Size: 3, Survival: .75}}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	dropout, err := Dropout(n[0], n[1], .25, random)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := dropout.Op().(*Op).Spec(), (backend.Dropout{Random: random, N: 12, P: .25}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Operands that don't fit are errors, and no panics.
func TestMismatches(t *testing.T) {
	type build = func(n []*G.Node) (*G.Node, error)
	conv := func(stride int) build {
		return func(n []*G.Node) (*G.Node, error) { return Conv2D(n[0], n[1], stride, Same) }
	}
	depthwise := func(stride int) build {
		return func(n []*G.Node) (*G.Node, error) { return DepthwiseConv2D(n[0], n[1], stride, Same) }
	}
	dense := func(n []*G.Node) (*G.Node, error) { return Dense(n[0], n[1], n[2]) }
	norm := func(n []*G.Node) (*G.Node, error) { return NormAct(n[0], n[1], n[2], n[3], 1e-3, backend.Swish, true) }
	pool := func(n []*G.Node) (*G.Node, error) { return GlobalAvgPool(n[0]) }
	gate := func(n []*G.Node) (*G.Node, error) { return ChannelScale(n[0], n[1]) }
	add := func(n []*G.Node) (*G.Node, error) { return Add(n[0], n[1]) }
	residual := func(n []*G.Node) (*G.Node, error) { return ResidualAdd(n[0], n[1], n[2], .5, backend.Random{}) }
	dropout := func(n []*G.Node) (*G.Node, error) { return Dropout(n[0], n[1], .5, backend.Random{}) }
	loss := func(n []*G.Node) (*G.Node, error) { return SoftmaxCrossEntropy(n[0], n[1]) }
	image := tensor.Shape{2, 5, 5, 3}
	for _, c := range []struct {
		name   string
		build  build
		shapes []tensor.Shape
	}{
		{"Conv2D channels", conv(1), []tensor.Shape{image, {3, 3, 4, 8}}},
		{"Conv2D 1x1 channels", conv(1), []tensor.Shape{image, {1, 1, 4, 8}}},
		{"Conv2D oblong kernel", conv(1), []tensor.Shape{image, {3, 5, 3, 8}}},
		{"Conv2D flat input", conv(1), []tensor.Shape{{2, 3}, {3, 3, 3, 8}}},
		{"Conv2D flat weight", conv(1), []tensor.Shape{image, {3, 3, 3}}},
		{"Conv2D stride 0", conv(0), []tensor.Shape{image, {3, 3, 3, 8}}},
		{"DepthwiseConv2D channels", depthwise(1), []tensor.Shape{image, {3, 3, 4}}},
		{"DepthwiseConv2D dense weight", depthwise(1), []tensor.Shape{image, {3, 3, 3, 1}}},
		{"DepthwiseConv2D oblong kernel", depthwise(1), []tensor.Shape{image, {3, 1, 3}}},
		{"DepthwiseConv2D stride 0", depthwise(0), []tensor.Shape{image, {3, 3, 3}}},
		{"Dense inner", dense, []tensor.Shape{{2, 3}, {4, 5}, {5}}},
		{"Dense bias", dense, []tensor.Shape{{2, 3}, {3, 5}, {4}}},
		{"Dense image", dense, []tensor.Shape{image, {3, 5}, {5}}},
		{"NormAct stats", norm, []tensor.Shape{image, {3}, {3}, {3}}},
		{"NormAct gamma", norm, []tensor.Shape{image, {2, 3}, {4}, {3}}},
		{"NormAct beta", norm, []tensor.Shape{image, {2, 3}, {3}, {1}}},
		{"NormAct scalar", norm, []tensor.Shape{{}, {2, 1}, {1}, {1}}},
		{"BatchStats scalar", func(n []*G.Node) (*G.Node, error) { return BatchStats(n[0]) }, []tensor.Shape{{}}},
		{"GlobalAvgPool", pool, []tensor.Shape{{2, 3}}},
		{"ChannelScale channels", gate, []tensor.Shape{image, {2, 4}}},
		{"ChannelScale images", gate, []tensor.Shape{image, {3, 3}}},
		{"ChannelScale flat", gate, []tensor.Shape{{2, 3}, {2, 3}}},
		{"Add", add, []tensor.Shape{{2, 3}, {3, 2}}},
		{"ResidualAdd", residual, []tensor.Shape{image, {2, 5, 5, 4}, {2}}},
		{"ResidualAdd step", residual, []tensor.Shape{image, image, {1}}},
		{"ResidualAdd scalar", residual, []tensor.Shape{{}, {}, {2}}},
		{"Dropout step", dropout, []tensor.Shape{{2, 3}, {3}}},
		{"SoftmaxCrossEntropy", loss, []tensor.Shape{{2, 3}, {2, 4}}},
		{"SoftmaxCrossEntropy labels", loss, []tensor.Shape{{2, 3}, {2}}},
		{"SoftmaxCrossEntropy image", loss, []tensor.Shape{image, image}},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("panic: %v", p)
				}
			}()
			_, err := c.build(tensors(c.shapes...))
			if err == nil || !strings.HasPrefix(err.Error(), "ops: ") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Values that are not float32 are an error.
func TestFloat64(t *testing.T) {
	g := G.NewGraph()
	x := G.NewTensor(g, tensor.Float64, 2, G.WithShape(2, 3), G.WithName("x"))
	if _, err := Activate(x, backend.Swish); err == nil {
		t.Error("Activate of float64 did not fail")
	}
}
