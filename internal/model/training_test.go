package model

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/named"
	"effnet/internal/ops"
	"effnet/internal/scale"
)

const batch = 4

// fill uploads a batch of images and labels.
func fill(t *testing.T, b backend.Backend, arch scale.Arch, train *Training) {
	t.Helper()
	targets := make([]float32, batch*arch.Classes)
	for n := range batch {
		targets[n*arch.Classes+(3*n+1)%arch.Classes] = 1
	}
	if err := b.Upload(train.Targets, targets); err != nil {
		t.Fatal(err)
	}
	if err := b.Upload(train.Images, values("images", train.Images.Len, 0, 1.5)); err != nil {
		t.Fatal(err)
	}
}

// result is all that a training step computes.
type result struct {
	loss    float64
	logits  []float32
	grads   []named.Tensor
	tensors []named.Tensor // parameters and running statistics afterwards
}

// trainOnce makes a network on b and takes one step.
func trainOnce(t *testing.T, arch scale.Arch, b backend.Backend, seed, step uint64) result {
	t.Helper()
	net := initialised(t, arch, b, 1)
	train, err := net.Training(batch, seed)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, b, arch, train)
	return runStep(t, net, train, step)
}

func runStep(t *testing.T, net *Network, train *Training, step uint64) result {
	t.Helper()
	r := result{logits: make([]float32, batch*net.Arch.Classes)}
	err := train.Run(step)
	if err == nil {
		r.loss, err = train.Loss()
	}
	if err == nil {
		err = train.Logits(r.logits)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.grads = gradientsOf(t, train)
	r.tensors = tensorsOf(t, net)
	return r
}

func sameTensors(a, b []named.Tensor) bool {
	return slices.EqualFunc(a, b, func(x, y named.Tensor) bool { return x.Name == y.Name && equalBits(x.Data, y.Data) })
}

func (r result) same(o result) bool {
	return r.loss == o.loss && equalBits(r.logits, o.logits) && sameTensors(r.grads, o.grads) && sameTensors(r.tensors, o.tensors)
}

// A step is a function of the network, the batch, the seed and its number: the
// number of threads is not in it, and every one of those is.
func TestStepIsDeterministic(t *testing.T) {
	for _, set := range kernel.Available() {
		one, two := cpu.NewWith(set, 1), cpu.NewWith(set, 2)
		defer one.Close()
		defer two.Close()
		for _, maps := range []backend.DType{backend.Float32, backend.BFloat16} {
			one.Keep(maps)
			two.Keep(maps)
			for _, arch := range tinyArchs() {
				t.Run(fmt.Sprintf("%s/%v/%s", set.Name, maps, arch.Name), func(t *testing.T) { testDeterministic(t, arch, one, two) })
			}
		}
	}
}

// With maps of bfloat16 a step's loss, logits and gradients are nearly those of float32.
func TestStepOfBFloat16(t *testing.T) {
	for _, set := range kernel.Available() {
		floats, half := cpu.NewWith(set, 2), cpu.NewWith(set, 2)
		defer floats.Close()
		defer half.Close()
		half.Keep(backend.BFloat16)
		for _, arch := range tinyArchs() {
			want, got := trainOnce(t, arch, floats, 7, 100), trainOnce(t, arch, half, 7, 100)
			logits, loss := backendtest.RelError(got.logits, want.logits), math.Abs(got.loss-want.loss)/want.loss
			if !(logits < 0.05 && loss < 0.01) || logits == 0 {
				t.Errorf("%s, %s: the logits are off by %.2g, the loss by %.2g", set.Name, arch.Name, logits, loss)
			}
		}
	}
}

func testDeterministic(t *testing.T, arch scale.Arch, one, two *cpu.Backend) {
	want := trainOnce(t, arch, one, 7, 100)
	if math.IsNaN(want.loss) || want.loss <= 0 {
		t.Fatalf("loss %g", want.loss)
	}
	for range 3 {
		if !trainOnce(t, arch, two, 7, 100).same(want) {
			t.Error("2 threads give other bits than 1")
		}
	}
	if !trainOnce(t, arch, one, 7, 100).same(want) {
		t.Error("another run gives other bits")
	}
	for name, got := range map[string]result{
		"step 101":        trainOnce(t, arch, one, 7, 101),
		"step 100 + 2^24": trainOnce(t, arch, one, 7, 100+1<<24),
		"seed 8":          trainOnce(t, arch, one, 8, 100),
	} {
		if equalBits(got.logits, want.logits) || got.loss == want.loss {
			t.Errorf("%s drops what step 100 of seed 7 does", name)
		}
	}
}

// Without dropout and stochastic depth the step's number means nothing.
func TestStepWithoutDropping(t *testing.T) {
	arch := tinyArch()
	arch.Dropout, arch.StochasticDepth = 0, 0
	b := newCPU(t, 2)
	if !trainOnce(t, arch, b, 7, 1).same(trainOnce(t, arch, b, 8, 2)) {
		t.Error("the step's number or the seed changes a network that drops nothing")
	}
}

// Each of the two alone drops something, and evaluation neither.
func TestDropoutAndStochasticDepth(t *testing.T) {
	b := newCPU(t, 2)
	for name, change := range map[string]func(*scale.Arch){
		"dropout":          func(a *scale.Arch) { a.StochasticDepth = 0 },
		"stochastic depth": func(a *scale.Arch) { a.Dropout = 0 },
	} {
		arch := tinyArch()
		change(&arch)
		if trainOnce(t, arch, b, 7, 1).loss == trainOnce(t, arch, b, 7, 2).loss {
			t.Errorf("%s alone drops nothing", name)
		}
	}
	arch := tinyArch()
	with := evaluate(t, initialised(t, arch, b, 1), -1)
	arch.Dropout, arch.StochasticDepth = 0, 0
	if !equalBits(with, evaluate(t, initialised(t, arch, b, 1), -1)) {
		t.Error("evaluation drops")
	}
}

// Every layer that drops draws from a stream of its own, and only blocks that
// may be dropped are layers of that kind.
func TestRandomStreams(t *testing.T) {
	arch := tinyArch()
	g, err := build(arch, batch, true, 7)
	if err != nil {
		t.Fatal(err)
	}
	var survivals []float32
	layers := map[uint32]bool{}
	for _, node := range g.g.AllNodes() {
		op, ok := node.Op().(*ops.Op)
		if !ok {
			continue
		}
		var r backend.Random
		switch s := op.Spec().(type) {
		case backend.ResidualAdd:
			r = s.Random
			survivals = append(survivals, s.Survival)
		case backend.Dropout:
			if op.String() != "Dropout" {
				continue // its gradient, of the same stream
			}
			r = s.Random
		default:
			continue
		}
		if r.Seed != 7 || layers[r.Layer] {
			t.Errorf("%v draws from %+v, as another layer may", node, r)
		}
		layers[r.Layer] = true
	}
	// Blocks 1, 3, 4 and 6 of 7 have a way round; 1 - 0.6*i/7 survive.
	slices.Sort(survivals)
	want := []float64{1 - .6*6/7, 1 - .6*4/7, 1 - .6*3/7, 1 - .6/7}
	if !slices.EqualFunc(survivals, want, func(a float32, b float64) bool { return math.Abs(float64(a)-b) < 1e-6 }) {
		t.Errorf("survival %v, want %v", survivals, want)
	}
	if len(layers) != len(want)+1 {
		t.Errorf("%d layers drop, want %d and the dropout", len(layers), len(want))
	}
}

// evaluate returns the logits of a batch, with a NaN in one image if nan >= 0.
func evaluate(t *testing.T, net *Network, nan int) []float32 {
	t.Helper()
	eval, err := net.Inference(batch)
	if err != nil {
		t.Fatal(err)
	}
	images := values("images", eval.Images.Len, 0, 1.5)
	if nan >= 0 {
		images[(2*nan+1)*len(images)/(2*batch)] = float32(math.NaN()) // in its middle
	}
	logits := make([]float32, batch*net.Arch.Classes)
	if err := net.backend.Upload(eval.Images, images); err != nil {
		t.Fatal(err)
	}
	if err := eval.Run(); err != nil {
		t.Fatal(err)
	}
	if err := eval.Logits(logits); err != nil {
		t.Fatal(err)
	}
	return logits
}

// withReLU6 is tinyArch with Lite's activation.
func withReLU6() scale.Arch {
	a := tinyArch()
	a.Activation = scale.ReLU6
	return a
}

// A NaN must reach the loss, where training looks for it, and the logits of its
// image; no activation may hide it.
func TestNaNIsNotHidden(t *testing.T) {
	for _, set := range kernel.Available() {
		for _, arch := range append(tinyArchs(), withReLU6()) {
			act := arch.Activation
			b := cpu.NewWith(set, 2)
			defer b.Close()
			arch.Dropout, arch.StochasticDepth = 0, 0
			net := initialised(t, arch, b, 1)

			clean, dirty := evaluate(t, net, -1), evaluate(t, net, 2)
			for i, v := range dirty {
				if i/arch.Classes == 2 && v == v || i/arch.Classes != 2 && math.Float32bits(v) != math.Float32bits(clean[i]) {
					t.Errorf("%s, %s: logit %d of image %d is %g", set.Name, act, i%arch.Classes, i/arch.Classes, v)
				}
			}

			train, err := net.Training(batch, 1)
			if err != nil {
				t.Fatal(err)
			}
			fill(t, b, arch, train)
			images := values("images", train.Images.Len, 0, 1.5)
			images[len(images)/2] = float32(math.NaN())
			if err := b.Upload(train.Images, images); err != nil {
				t.Fatal(err)
			}
			if r := runStep(t, net, train, 1); !math.IsNaN(r.loss) {
				t.Errorf("%s, %s: loss %g", set.Name, act, r.loss)
			}
		}
	}
}

// A step in the middle of an epoch allocates nothing.
func TestTrainingAllocatesNothing(t *testing.T) {
	for _, threads := range []int{1, 2} {
		for _, maps := range []backend.DType{backend.Float32, backend.BFloat16} {
			b := newCPU(t, threads)
			b.Keep(maps)
			for _, arch := range tinyArchs() {
				train, err := initialised(t, arch, b, 1).Training(batch, 1)
				if err != nil {
					t.Fatal(err)
				}
				fill(t, b, arch, train)
				step := uint64(0)
				if a := testing.AllocsPerRun(5, func() { step++; _ = train.Run(step) }); a != 0 {
					t.Errorf("%s, %d threads, %v: %g allocations a step", arch.Name, threads, maps, a)
				}
			}
		}
	}
}

// Each Run moves the running statistics by BNMomentum towards the batch's.
func TestRunningStatistics(t *testing.T) {
	b := newCPU(t, 1)
	arch := tinyArch()
	net := initialised(t, arch, b, 1)
	train, err := net.Training(batch, 1)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, b, arch, train)
	// The first normalisation's batch statistics don't depend on what is
	// dropped: n steps leave (1-momentum)^n of the start.
	at := func(r result, name string) float64 {
		for _, x := range r.tensors {
			if x.Name == name {
				return float64(x.Data[0])
			}
		}
		t.Fatalf("no %s", name)
		return 0
	}
	first, second := runStep(t, net, train, 1), runStep(t, net, train, 2)
	m := arch.BNMomentum
	for name, start := range map[string]float64{"bn1.running_mean": 0, "bn1.running_var": 1} {
		one, two := at(first, name), at(second, name)
		stat := start + (one-start)/m // of the batch
		if want := start + (stat-start)*(1-(1-m)*(1-m)); stat == start || math.Abs(two-want) > 1e-4*math.Abs(stat-start) {
			t.Errorf("%s: %g, %g, then %g, want %g", name, start, one, two, want)
		}
	}
}
