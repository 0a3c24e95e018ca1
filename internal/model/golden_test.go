package model

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/checkpoint"
	"effnet/internal/named"
	"effnet/internal/scale"
)

// golden is what tools/golden/network.py wrote; its docstring is the schema.
type golden struct {
	Variant   string     // of which Arch says what differs
	Arch      scale.Arch `json:"arch"`
	Batch     int        `json:"batch"`
	Gain      float64    `json:"gain"`
	Labels    []int      `json:"labels"`
	Smoothing float64    `json:"label_smoothing"`
	Tensors   []struct {
		Name, Kind string
		Shape      []int
	} `json:"tensors"`
	Moved       map[string]map[int]float32
	EvalLogits  [][]float32      `json:"eval_logits"`
	TrainLogits [][]float32      `json:"train_logits"`
	Loss        float64          `json:"loss"`
	Gradients   map[string]probe `json:"gradients"`
	Running     map[string]probe `json:"running"`
	Frozen      []struct {
		Stages      int
		Body, Norms bool
		Loss        float64
		Gradients   map[string]probe
		Running     map[string]probe
	}
	Optimizers []struct {
		Name                     string
		LR, Momentum, Alpha, Eps float64
		WeightDecay              float64 `json:"weight_decay"`
		Losses                   []float64
		Norms                    map[string]float64
	} `json:"optimizers"`
}

// Every kind of block is in tinyArchs and in a network that PyTorch has computed: a kind
// that is new needs both.
func TestEveryKindOfBlock(t *testing.T) {
	paths, err := filepath.Glob("testdata/tiny_*.json")
	if err != nil {
		t.Fatal(err)
	}
	var goldens []scale.Arch
	for _, path := range paths {
		goldens = append(goldens, readGolden(t, path).Arch)
	}
	for where, archs := range map[string][]scale.Arch{"tinyArchs": tinyArchs(), "testdata/tiny_*.json": goldens} {
		have := map[string]bool{}
		for _, a := range archs {
			for _, s := range a.Stages {
				have[s.Block] = true
			}
		}
		for _, kind := range scale.BlockKinds() {
			if !have[kind] {
				t.Errorf("no network of %s has a block %q", where, kind)
			}
		}
	}
}

type probe struct {
	Norm    float64   `json:"norm"`
	Samples []float32 `json:"samples"`
}

func readGolden(t *testing.T, path string) *golden {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{}
	if err := json.Unmarshal(text, g); err != nil {
		t.Fatal(err)
	}
	if g.Variant == "" {
		return g
	}
	if g.Arch, err = scale.Variant(g.Variant); err == nil {
		err = json.Unmarshal(text, g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hashName(name string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return h
}

// values are a tensor's, by the formula of tools/golden/network.py.
func values(name string, n int, center, scale float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		u := float64(mix(hashName(name)+uint64(i))>>40)/(1<<23) - 1
		v[i] = float32(center + scale*u)
	}
	return v
}

func (g *golden) tensors() []named.Tensor {
	var all []named.Tensor
	for _, t := range g.Tensors {
		fanIn := product(t.Shape[1:])
		c := map[string][2]float64{
			"weight": {0, math.Sqrt(3 * g.Gain / float64(fanIn))}, "bias": {0, .1}, "bn_weight": {1, .3},
			"bn_bias": {0, .2}, "running_mean": {0, .2}, "running_var": {1, .3},
		}[t.Kind]
		data := values(t.Name, product(t.Shape), c[0], c[1])
		for i, v := range g.Moved[t.Name] {
			data[i] = v
		}
		all = append(all, named.Tensor{Name: t.Name, Shape: t.Shape, Data: data})
	}
	return all
}

func (g *golden) targets() []float32 {
	t := make([]float32, g.Batch*g.Arch.Classes)
	for i := range t {
		t[i] = float32(g.Smoothing / float64(g.Arch.Classes))
	}
	for n, label := range g.Labels {
		t[n*g.Arch.Classes+label] += float32(1 - g.Smoothing)
	}
	return t
}

func (g *golden) images() []float32 {
	return values("input", g.Batch*g.Arch.Resolution*g.Arch.Resolution*3, 0, 1.7)
}

// load makes the network of a golden on b and puts the batch in a Training.
func (g *golden) load(t *testing.T, b backend.Backend) (*Network, *Training) {
	t.Helper()
	net, err := New(g.Arch, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := net.Load(g.tensors()); err != nil {
		t.Fatal(err)
	}
	train, err := net.Training(g.Batch, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Upload(train.Images, g.images()); err != nil {
		t.Fatal(err)
	}
	if err := b.Upload(train.Targets, g.targets()); err != nil {
		t.Fatal(err)
	}
	return net, train
}

// Gradients can be held to gradientTol only where rounding cannot move a value
// across a bend of ReLU or ReLU6; the fixtures' Moved biases see to that.
const (
	logitsTol   = 1e-4
	gradientTol = 1e-3
)

// check compares a tensor with what the oracle stored of it: all values of a
// tiny network, else its norm and samples. absolute is allowed on top.
func check(t *testing.T, what string, got []float32, whole []float32, p probe, name string, tol, absolute float64) {
	t.Helper()
	want := whole
	if want == nil {
		var norm float64
		for _, v := range got {
			norm += float64(v) * float64(v)
		}
		if norm = math.Sqrt(norm); math.Abs(norm-p.Norm) > tol*p.Norm+absolute {
			t.Errorf("%s: norm %g, want %g", what, norm, p.Norm)
		}
		want = p.Samples
		sampled := make([]float32, len(want))
		for j := range sampled {
			sampled[j] = got[mix(hashName(name)+1000003+uint64(j))%uint64(len(got))]
		}
		got = sampled
	}
	var diff, norm float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		diff, norm = diff+d*d, norm+float64(want[i])*float64(want[i])
	}
	if diff, norm = math.Sqrt(diff), math.Sqrt(norm); !(diff <= tol*norm+absolute) {
		t.Errorf("%s: differs by %g of a norm of %g", what, diff, norm)
	}
}

func TestAgainstPyTorch(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.json")
	if len(files) != 10 {
		t.Fatalf("%d fixtures, want 10", len(files))
	}
	for _, set := range kernel.Available() {
		for _, path := range files {
			name := strings.TrimSuffix(filepath.Base(path), ".json")
			t.Run(set.Name+"/"+name, func(t *testing.T) {
				b := cpu.NewWith(set, 2)
				defer b.Close()
				testGolden(t, readGolden(t, path), wholeTensors(t, path), b)
			})
		}
	}
}

// The networks that are only data, on the fastest kernels.
func TestRelativesAgainstPyTorch(t *testing.T) {
	files, _ := filepath.Glob("testdata/relatives/*.json")
	if len(files) != 14 {
		t.Fatalf("%d fixtures, want 14", len(files))
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			b := cpu.NewWith(kernel.Available()[0], 2)
			defer b.Close()
			testGolden(t, readGolden(t, path), nil, b)
		})
	}
}

// wholeTensors reads the safetensors file next to a tiny network's JSON.
func wholeTensors(t *testing.T, path string) map[string][]float32 {
	path = strings.TrimSuffix(path, ".json") + ".safetensors"
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	f, err := checkpoint.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]float32{}
	for _, x := range f.Tensors {
		all[x.Name] = x.Data
	}
	return all
}

func testGolden(t *testing.T, g *golden, whole map[string][]float32, b backend.Backend) {
	net, train := g.load(t, b)
	logits := make([]float32, g.Batch*g.Arch.Classes)
	eval, err := net.Inference(g.Batch)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Upload(eval.Images, g.images()); err != nil {
		t.Fatal(err)
	}
	if err := eval.Run(); err != nil {
		t.Fatal(err)
	}
	if err := eval.Logits(logits); err != nil {
		t.Fatal(err)
	}
	evalError := backendtest.RelError(logits, slices.Concat(g.EvalLogits...))
	if !(evalError <= logitsTol) {
		t.Errorf("evaluation logits: relative error %g", evalError)
	}

	if err := train.Run(0); err != nil {
		t.Fatal(err)
	}
	if err := train.Logits(logits); err != nil {
		t.Fatal(err)
	}
	trainError := backendtest.RelError(logits, slices.Concat(g.TrainLogits...))
	if !(trainError <= logitsTol) {
		t.Errorf("training logits: relative error %g", trainError)
	}
	loss, err := train.Loss()
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(loss-g.Loss) > logitsTol*g.Loss {
		t.Errorf("loss %g, want %g", loss, g.Loss)
	}
	grads := gradientsOf(t, train)
	if len(grads) != len(g.Gradients) {
		t.Errorf("%d gradients, want %d", len(grads), len(g.Gradients))
	}
	// A shift that the next normalisation takes away has no gradient but
	// rounding, and so no relative error: allow a millionth of all gradients' norm.
	var square float64
	for _, p := range g.Gradients {
		square += p.Norm * p.Norm
	}
	absolute := 1e-6 * math.Sqrt(square)
	worst, params := 0.0, 0
	for _, x := range grads {
		if p := g.Gradients[x.Name]; p.Norm > absolute {
			worst = max(worst, math.Abs(backendtest.RelError(x.Data, make([]float32, len(x.Data)))-p.Norm)/p.Norm)
		}
		params += len(x.Data)
		check(t, "gradient of "+x.Name, x.Data, whole["grad."+x.Name], g.Gradients[x.Name], x.Name, gradientTol, absolute)
	}
	t.Logf("%d parameters; relative errors: %.1e of logits in evaluation, %.1e in training, at most %.1e of a gradient's norm", params, evalError, trainError, worst)
	all, err := net.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	stats := 0
	for _, x := range all {
		if p, ok := g.Running[x.Name]; ok {
			stats++
			check(t, x.Name, x.Data, whole[x.Name], p, x.Name, logitsTol, 0)
		}
	}
	if stats != len(g.Running) || len(all) != len(g.Tensors) {
		t.Errorf("%d tensors of which %d running statistics, want %d and %d", len(all), stats, len(g.Tensors), len(g.Running))
	}
}
