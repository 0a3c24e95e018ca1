package cuda

import (
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/model"
	"effnet/internal/optim"
	"effnet/internal/scale"
)

// small is a network with every kind of block, an odd number of pixels, and
// channels that fill no vector of 16 bytes times 32.
func small() scale.Arch {
	a := scale.Arch{
		Name: "small", Resolution: 33, Stem: 8, StemKernel: 7, StemPool: true, Head: 40, Classes: 5, Activation: scale.Swish, Padding: scale.Same,
		Dropout: 0.2, StochasticDepth: 0.5, BNEps: 1e-3, BNMomentum: 0.1,
		Stages: []scale.Stage{
			{Block: scale.MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 8, Repeats: 1, SERatio: 0.25},
			{Block: scale.MBConv, Kernel: 5, Stride: 2, Expansion: 4, Channels: 12, Repeats: 2, SERatio: 0.25},
			{Block: scale.Fused, Kernel: 3, Stride: 1, Expansion: 2, Channels: 12, Repeats: 1},
			{Block: scale.Bottleneck, Kernel: 3, Stride: 1, Expansion: 4, Channels: 24, Repeats: 1},
		},
	}
	for i, kind := range scale.BlockKinds() {
		a.Stages = append(a.Stages, scale.Stage{Block: kind, Kernel: 3, Stride: 1, Expansion: 1, Channels: 16 + 8*(i%2), Repeats: 1})
	}
	return a
}

// trained is what a network comes to on a backend in a few steps: the loss of each,
// all gradients of the first, the weights at the end, and logits by inference.
func trained(t *testing.T, b backend.Backend, steps int) (losses, gradients, weights, logits []float32) {
	t.Helper()
	const batch, seed = 4, 3
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	arch := small()
	check(arch.Validate())
	net, err := model.New(arch, b)
	check(err)
	check(net.Initialise(seed))
	training, err := net.Training(batch, seed)
	check(err)
	grads := training.GradientView()
	optimizer, err := optim.New(b, optim.Options{Rule: "rmsprop", Momentum: 0.9, Decay: 0.9, Eps: 1e-3, WeightDecay: 1e-5, ClipNorm: 5}, net.Weights, grads,
		[]optim.Group{{N: net.Decayed, Decay: true}, {From: net.Decayed, N: net.Weights.Len - net.Decayed}})
	check(err)
	images, targets := make([]float32, training.Images.Len), make([]float32, training.Targets.Len)
	for step := range steps {
		for i := range images {
			images[i] = 2*backend.Random{Seed: uint64(step)}.Uniform(0, i) - 1
		}
		clear(targets)
		for i := range batch {
			targets[i*arch.Classes+(i+step)%arch.Classes] = 1
		}
		check(b.Upload(training.Images, images))
		check(b.Upload(training.Targets, targets))
		check(training.Run(uint64(step)))
		loss, err := training.Loss()
		check(err)
		losses = append(losses, float32(loss))
		if step == 0 {
			gradients = make([]float32, grads.Len)
			check(b.Download(gradients, grads))
		}
		_, err = optimizer.Step(0.001)
		check(err)
	}
	weights = make([]float32, net.Weights.Len)
	check(b.Download(weights, net.Weights))
	inference, err := net.Inference(batch)
	check(err)
	inference.Update()
	check(b.Upload(inference.Images, images))
	logits = make([]float32, batch*arch.Classes)
	check(inference.Run())
	check(inference.Logits(logits))
	return losses, gradients, weights, logits
}

// A network trains on the emulation as on the CPU: losses, gradients, weights and
// what it answers afterwards.
func TestNetworkTrainsAsOnTheCPU(t *testing.T) {
	b, _ := onCPU(t)
	host, err := cpu.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	compareTraining(t, b, host, 3, 1e-4)
}

// compareTraining compares what training comes to on two backends.
func compareTraining(t *testing.T, b, reference backend.Backend, steps int, limit float64) {
	t.Helper()
	names := []string{"losses", "gradients", "weights", "logits"}
	var got, want [4][]float32
	got[0], got[1], got[2], got[3] = trained(t, b, steps)
	want[0], want[1], want[2], want[3] = trained(t, reference, steps)
	for i, name := range names {
		e := backendtest.RelError(got[i], want[i])
		t.Logf("%s: relative error %.2g", name, e)
		if !(e <= limit) {
			t.Errorf("%s: that is more than %g", name, limit)
		}
	}
}
