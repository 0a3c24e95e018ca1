package plain_test

import (
	"errors"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/plain"
	"effnet/internal/model"
	"effnet/internal/optim"
	"effnet/internal/scale"
)

// The suite finds nothing wrong with the definition itself, and a fused Spec is what it
// stands for, whoever compiles that.
func TestBackend(t *testing.T) { backendtest.TestLight(t, 0, unfused{}) }

// unfused is a backend without any fused Spec.
type unfused struct{ plain.Backend }

func (b unfused) Compile(spec backend.Spec, operands ...backend.View) (backend.Program, error) {
	if err := backend.Check(spec, operands); err != nil {
		return backend.Program{}, err
	}
	if s, ok := spec.(backend.Fused); ok {
		return backend.CompileUnfused(b, s, operands...)
	}
	return b.Backend.Compile(spec, operands...)
}

// small is a network with every kind of block.
func small() scale.Arch {
	a := scale.Arch{
		Name: "small", Resolution: 16, Stem: 8, StemKernel: 3, StemPool: true, Head: 16, Classes: 3, Activation: scale.Swish, Padding: scale.Same,
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

// A network trains on it as on the CPU.
func TestNetworkTrains(t *testing.T) {
	host, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	got, want := trained(t, plain.Backend{}), trained(t, host)
	e := backendtest.RelError(got, want)
	t.Logf("losses %v, on the CPU %v", got, want)
	if !(e <= 1e-4) {
		t.Errorf("losses %v, on the CPU %v", got, want)
	}
	if last := len(got) - 1; got[last] >= got[0] {
		t.Errorf("the loss goes from %v to %v", got[0], got[last])
	}
}

// trained are the losses of a few steps on one batch.
func trained(t *testing.T, b backend.Backend) (losses []float32) {
	t.Helper()
	const batch, seed, steps = 4, 3, 4
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
	optimizer, err := optim.New(b, optim.Options{Rule: "sgd", Momentum: 0.9}, net.Weights, training.GradientView(), []optim.Group{{N: net.Weights.Len}})
	check(err)
	images, targets := make([]float32, training.Images.Len), make([]float32, training.Targets.Len)
	for i := range images {
		images[i] = 2*backend.Random{}.Uniform(0, i) - 1
	}
	for i := range batch {
		targets[i*arch.Classes+i%arch.Classes] = 1
	}
	check(errors.Join(b.Upload(training.Images, images), b.Upload(training.Targets, targets)))
	for range steps {
		check(training.Run(0))
		loss, err := training.Loss()
		check(err)
		losses = append(losses, float32(loss))
		_, err = optimizer.Step(0.05)
		check(err)
	}
	return losses
}
