package cuda

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"effnet/internal/augment"
	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cuda/driver"
	"effnet/internal/data"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/optim"
	"effnet/internal/scale"
	"effnet/internal/train"
)

// gpuEnv says that there is a GPU to test. "emulated" makes the large tests small.
const gpuEnv = "EFFNET_GPU"

// needsGPU skips a test that has none.
func needsGPU(t *testing.T) {
	t.Helper()
	if os.Getenv(gpuEnv) == "" {
		t.Skipf("no test of a GPU: %s is not set (make test-gpu sets it)", gpuEnv)
	}
}

// gpu is the GPU, for the tests of "make test-gpu".
func gpu(t *testing.T, precision driver.Precision) *Backend {
	t.Helper()
	needsGPU(t)
	b, err := Open(string(precision))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Log(b.Name())
	return b
}

func TestGPU(t *testing.T) {
	backendtest.Test(t, 2e-5, gpu(t, driver.FP32))
}

// The suite with maps of 16 bits.
func TestGPUHalf(t *testing.T) {
	for _, precision := range halfPrecisions() {
		b := gpu(t, precision)
		t.Run(string(precision)+" maps", func(t *testing.T) {
			backendtest.TestHalf(t, b.Maps(), slices.DeleteFunc(backendtest.Specs(), prepares), b)
		})
		t.Run(string(precision)+" folded", func(t *testing.T) { testHalfFolded(t, b, 1) })
	}
}

// A network trains on the GPU as on the CPU; with coarser products, nearly so.
func TestGPUTrainsAsTheCPU(t *testing.T) {
	all := limits(1e-4, 0.15)
	all[driver.TF32] = 2e-2
	for precision, limit := range all {
		b := gpu(t, precision)
		host, err := cpu.New(0)
		if err != nil {
			t.Fatal(err)
		}
		defer host.Close()
		compareTraining(t, b, host, 10, limit)
	}
}

// A network answers on the GPU as on the CPU.
func TestGPUAnswersAsTheCPU(t *testing.T) {
	all := limits(1e-4, 0.05)
	all[driver.TF32] = 1e-2
	for precision, limit := range all {
		b := gpu(t, precision)
		host, err := cpu.New(0)
		if err != nil {
			t.Fatal(err)
		}
		defer host.Close()
		compareAnswers(t, b, host, limit)
	}
}

// A step of a small network in each precision: short enough for compute-sanitizer.
func TestGPUStep(t *testing.T) {
	for _, precision := range driver.Precisions {
		b := gpu(t, precision)
		losses, _, _, logits := trained(t, b, 3)
		for _, v := range slices.Concat(losses, logits) {
			if v-v != 0 {
				t.Fatalf("%s: losses %v, logits %v", precision, losses, logits)
			}
		}
	}
}

// A training takes the memory that is planned for it, to the byte, and of the GPU not
// much more: what the driver and cuBLASLt have for themselves.
func TestGPUMemoryIsPlanned(t *testing.T) {
	const own = 512 << 20                            // bytes: modules, cuBLASLt's kernels, and the driver's rounding up
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // what is freed on the way would not be counted
	for _, c := range []struct {
		variant string
		batch   int
	}{{"b0", smaller(256, 2)}, {"b4", smaller(64, 1)}} {
		arch, err := scale.Variant(c.variant)
		if err != nil {
			t.Fatal(err)
		}
		reading := data.Options{Pipeline: data.Pipeline{Size: arch.Resolution, Interpolation: augment.Bilinear, Transform: augment.Eval{Crop: augment.CropTimm, CropPct: 1},
			Std: [3]float64{1, 1, 1}}, BatchSize: c.batch}
		options := train.Options{Arch: arch, Epochs: 1, BatchSize: c.batch, Optimizer: optim.Options{Rule: "rmsprop"}, EMA: 0.999,
			Schedule: "constant", TrainLoader: reading, EvalLoader: reading}
		for _, precision := range append(halfPrecisions(), driver.FP32) {
			t.Run(fmt.Sprintf("%s/%s", c.variant, precision), func(t *testing.T) {
				b, counter := gpu(t, precision), NewCounter(string(precision))
				for _, b := range []*Backend{b, counter} {
					r, err := train.Rehearse(b, options, c.batch, c.batch)
					if err != nil {
						t.Fatal(err)
					}
					defer runtime.KeepAlive(r)
				}
				used, err := b.Used()
				if err != nil {
					t.Fatal(err)
				}
				planned, got := counter.Bytes(), b.Bytes()
				t.Logf("batch %d: %.2f GiB planned, %.2f allocated, %.2f used of the GPU", c.batch, gib(planned), gib(got), gib(used))
				if got != planned || used > planned+planned/20+own {
					t.Errorf("not as planned: %d bytes planned, %d allocated, %d used", planned, got, used)
				}
			})
		}
	}
}

// smaller is small on an emulated GPU, else large.
func smaller(large, small int) int {
	if os.Getenv(gpuEnv) == "emulated" {
		return small
	}
	return large
}

// passOf is a training step of b0: logits and loss as tensors, then every gradient.
func passOf(t *testing.T, b backend.Backend, resolution int) []named.Tensor {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const batch, seed = 4, 1
	arch, err := scale.Variant("b0")
	check(err)
	arch.Resolution = resolution
	net, err := model.New(arch, b)
	check(err)
	check(net.Initialise(seed))
	training, err := net.Training(batch, seed)
	check(err)
	fillBatch(t, b, training, arch.Classes, 0)
	check(training.Run(0))
	logits := named.Tensor{Name: "logits", Data: make([]float32, batch*arch.Classes)}
	check(training.Logits(logits.Data))
	loss, err := training.Loss()
	check(err)
	gradients := make([]float32, net.Weights.Len)
	check(b.Download(gradients, training.GradientView()))
	all := []named.Tensor{logits, {Name: "loss", Data: []float32{float32(loss)}}}
	for _, p := range net.Params {
		all = append(all, named.Tensor{Name: p.Name, Data: gradients[p.Offset:][:p.Len()]})
	}
	return all
}

// fillBatch uploads images whose labels can be learned: each class has a colour.
func fillBatch(t *testing.T, b backend.Backend, training *model.Training, classes int, step uint64) {
	t.Helper()
	images, targets := make([]float32, training.Images.Len), make([]float32, training.Targets.Len)
	batch := len(targets) / classes
	size := len(images) / batch
	for n := range batch {
		label := int(backend.Random{Seed: 9}.Uniform(step, n) * float32(classes))
		targets[n*classes+label] = 1
		for i := range size {
			colour := float32(label>>(i%3)&1) - 0.5
			images[n*size+i] = colour + 2*backend.Random{Seed: step}.Uniform(1, n*size+i) - 1
		}
	}
	if err := errors.Join(b.Upload(training.Images, images), b.Upload(training.Targets, targets)); err != nil {
		t.Fatal(err)
	}
}

// b0's logits, loss and every gradient are the CPU's, in float32.
func TestGPUPassIsTheCPUs(t *testing.T) {
	b := gpu(t, driver.FP32)
	host, err := cpu.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	comparePass(t, b, host, smaller(224, 128))
}

func comparePass(t *testing.T, b, reference backend.Backend, resolution int) {
	t.Helper()
	got, want := passOf(t, b, resolution), passOf(t, reference, resolution)
	length := func(v []float32) float64 { return backendtest.RelError(v, make([]float32, len(v))) }
	worst := 0.0
	for i := range want {
		diff := make([]float32, len(want[i].Data))
		for k, w := range want[i].Data {
			diff[k] = got[i].Data[k] - w
		}
		// A bias before another normalisation has no gradient, but for rounding.
		e := length(diff) / max(length(want[i].Data), 3e-2*length(want[len(want)-1].Data))
		worst = max(worst, e)
		if !(e <= 1e-4) {
			t.Errorf("%s: relative error %.2g, length %.2g", want[i].Name, e, length(want[i].Data))
		}
	}
	t.Logf("%d tensors: the largest relative error is %.2g", len(want), worst)
}

// curve is the loss of each step of a training run. Its first weights are rounded
// elsewhere for each nudge but 0.
func curve(t *testing.T, b backend.Backend, arch scale.Arch, batch, steps int, nudge uint64) []float64 {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	net, err := model.New(arch, b)
	check(err)
	check(net.Initialise(1))
	if nudge > 0 {
		weights, rng := make([]float32, net.Weights.Len), rand.New(rand.NewPCG(nudge, 1))
		check(b.Download(weights, net.Weights))
		for i := range weights {
			weights[i] *= 1 + 0x1p-23*float32(rng.IntN(3)-1)
		}
		check(b.Upload(net.Weights, weights))
	}
	training, err := net.Training(batch, 1)
	check(err)
	optimizer, err := optim.New(b, optim.Options{Rule: "sgd", Momentum: 0.9}, net.Weights, training.GradientView(), []optim.Group{{N: net.Decayed, Decay: true}, {From: net.Decayed, N: net.Weights.Len - net.Decayed}})
	check(err)
	losses := make([]float64, steps)
	for i := range losses {
		fillBatch(t, b, training, arch.Classes, uint64(i))
		check(training.Run(uint64(i)))
		losses[i], err = training.Loss()
		check(err)
		_, err = optimizer.Step(0.003)
		check(err)
	}
	return losses
}

// mean of values.
func mean(v []float64) (m float64) {
	for _, x := range v {
		m += x / float64(len(v))
	}
	return m
}

// steps of the training runs whose losses are compared.
const steps = 200

// distance is how far apart two training runs end, as a share of what one begins with.
func distance(got, want []float64) float64 {
	return math.Abs(mean(got[steps-40:])-mean(want[steps-40:])) / mean(want[:20])
}

// compareCurves compares the first losses of a training run one by one, and what it comes
// to by the mean of the last: rounding grows tenfold from step to step, until two runs
// have only the curve in common.
func compareCurves(t *testing.T, b backend.Backend, want []float64, arch scale.Arch, batch int, first, last float64) {
	t.Helper()
	got := curve(t, b, arch, batch, steps, 0)
	worst := 0.0
	for i := range 4 {
		worst = max(worst, math.Abs(got[i]-want[i])/want[i])
	}
	from, to := mean(want[:20]), mean(want[steps-40:])
	apart := distance(got, want)
	t.Logf("losses of the first 4 steps differ by at most %.2g; %.4f and %.4f after %d steps, from %.4f", worst, mean(got[steps-40:]), to, steps, from)
	if !(worst <= first) || !(apart <= last) || to > 0.8*from {
		t.Errorf("that is more than %g and %g, or the loss did not fall", first, last)
	}
}

// 200 steps on the GPU come to what they come to on the CPU.
func TestGPULossCurve(t *testing.T) {
	arch, err := scale.Variant("b0")
	if err != nil {
		t.Fatal(err)
	}
	arch.Resolution, arch.Classes = 64, 8
	batch := 32
	if os.Getenv(gpuEnv) == "emulated" {
		arch, batch = small(), 8
	}
	needsGPU(t)
	host, err := cpu.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	want := curve(t, host, arch, batch, steps, 0)
	for precision, limit := range limits(1e-2, 0.1) {
		compareCurves(t, gpu(t, precision), want, arch, batch, limit, 0.05)
	}
}

// What the GPU is to pass, by the emulation: b0 whole, and 200 steps of a small network.
func TestLongOnTheEmulation(t *testing.T) {
	if os.Getenv("EFFNET_VARIANTS") == "" {
		t.Skip("EFFNET_VARIANTS is not set: make test-full sets it")
	}
	host, err := cpu.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	b, _ := onCPU(t)
	comparePass(t, b, host, 224)
	want := curve(t, host, small(), 8, steps, 0)
	for precision, limit := range limits(1e-5, 1e-2) {
		b, _ := onCPU(t)
		b.precision = precision
		kept := backend.Float32
		if precision == driver.BF16 {
			kept = backend.BFloat16
		}
		host.Keep(kept)
		compareCurves(t, b, want, small(), 8, limit, 2*spreadOf(t, host, want))
	}
}

// spreadOf is how far apart runs on the CPU end that begin with nothing but other roundings.
func spreadOf(t *testing.T, host backend.Backend, want []float64) (spread float64) {
	t.Helper()
	for nudge := range uint64(8) {
		spread = max(spread, distance(curve(t, host, small(), 8, steps, nudge+1), want))
	}
	t.Logf("eight runs on the CPU, from weights that differ in their last bit, end up to %.3f apart", spread)
	return spread
}
