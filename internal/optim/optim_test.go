package optim

import (
	"math"
	"math/bits"
	"slices"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
)

// The reference's formula, written out (tensorflow/tpu utils.py), over ten
// thousand steps of its defaults.
func TestExponentialScheduleIsTheReferences(t *testing.T) {
	const stepsPerEpoch = 625.0
	s := Schedule{Kind: "exponential", Peak: .128, WarmupUpdates: 5 * stepsPerEpoch, DecayUpdates: 2.4 * stepsPerEpoch, DecayRate: .97}
	for step := range 10000 {
		want := .128 * float64(step) / (5 * stepsPerEpoch)
		if float64(step) >= 5*stepsPerEpoch {
			want = .128
			for k := 0; float64(k+1)*2.4*stepsPerEpoch <= float64(step); k++ {
				want *= .97
			}
		}
		if got := s.LR(step); math.Abs(got-want) > 1e-12 {
			t.Fatalf("step %d: %v, want %v", step, got, want)
		}
	}
	if got, want := s.LR(5*625), .128*.97*.97; math.Abs(got-want) > 1e-12 {
		t.Errorf("first step after the warm-up: %v, want two decays, %v", got, want)
	}
}

func TestCosineAndConstant(t *testing.T) {
	s := Schedule{Kind: "cosine", Peak: 2, TotalUpdates: 100, WarmupUpdates: 10}
	for step, want := range map[int]float64{0: 0, 5: 1, 50: 1, 100: 0, 150: 0} {
		if got := s.LR(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("cosine, step %d: %v, want %v", step, got, want)
		}
	}
	if got := (Schedule{Kind: "constant", Peak: 3}).LR(1000); got != 3 {
		t.Errorf("constant: %v", got)
	}
}

// One step by hand: TensorFlow's mean square starts at one, the learning rate is
// inside the momentum, and only the first weights decay.
func TestStepByHand(t *testing.T) {
	for _, set := range kernel.Available() {
		b := cpu.NewWith(set, 2)
		defer b.Close()
		w, g := view(t, b, 2, -3, 1), view(t, b, .5, .25, .5)
		o, err := New(b, Options{Rule: "rmsprop", Momentum: .9, Decay: .9, Eps: 1e-3, WeightDecay: .1}, w, g, []Group{{N: 2, Decay: true}, {From: 2, N: 1}})
		if err != nil {
			t.Fatal(err)
		}
		weights, grads := []float64{2, -3, 1}, []float64{.5, .25, .5}
		ms, buf := []float64{1, 1, 1}, []float64{0, 0, 0}
		for _, lr := range []float64{.1, .05} {
			if _, err := o.Step(lr); err != nil {
				t.Fatal(err)
			}
			for i := range weights {
				d := grads[i]
				if i < 2 {
					d += .1 * weights[i]
				}
				ms[i] = .9*ms[i] + .1*d*d
				buf[i] = .9*buf[i] + lr*d/math.Sqrt(ms[i]+1e-3)
				weights[i] -= buf[i]
			}
		}
		got := make([]float32, 3)
		if err := b.Download(got, w); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if math.Abs(float64(got[i])-weights[i]) > 1e-6 {
				t.Errorf("%s: weight %d is %v, want %v", set.Name, i, got[i], weights[i])
			}
		}
	}
}

func TestUnknownRule(t *testing.T) {
	b := cpu.NewWith(kernel.Available()[0], 1)
	defer b.Close()
	if _, err := New(b, Options{Rule: "adagrad"}, view(t, b, 1), view(t, b, 1), []Group{{N: 1}}); err == nil {
		t.Error("no error")
	}
}

func view(t *testing.T, b backend.Backend, values ...float32) backend.View {
	t.Helper()
	v, err := backend.NewView(b, len(values))
	if err == nil {
		err = b.Upload(v, values)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The gradients of any number of batches are added up as a tree, in halves of the next
// power of two; a sum that was finished leaves nothing behind.
func TestSumsAreTrees(t *testing.T) {
	const n, most = 37, 20
	b := cpu.NewWith(kernel.Available()[0], 1)
	defer b.Close()
	leaves := make([][]float32, most)
	for i := range leaves {
		for k := range n {
			leaves[i] = append(leaves[i], float32(math.Sin(float64(i*i*k+i)))*float32(i+1))
		}
	}
	for batches := 2; batches <= most; batches++ {
		g := view(t, b, make([]float32, n)...)
		s, err := newSum(b, g, batches)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.blocks) > bits.Len(uint(batches)) {
			t.Errorf("%d batches take %d buffers", batches, len(s.blocks))
		}
		for there := batches; there > 0; there-- { // as at the end of an epoch
			for _, leaf := range leaves[:there] {
				if err := b.Upload(g, leaf); err != nil {
					t.Fatal(err)
				}
				s.add()
			}
			s.finish()
			got := make([]float32, n)
			if err := b.Download(got, s.view()); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, treeOf(leaves[:there])) {
				t.Errorf("%d of %d batches: another sum", there, batches)
			}
		}
	}
}

func treeOf(leaves [][]float32) []float32 {
	if len(leaves) == 1 {
		return slices.Clone(leaves[0])
	}
	half := 1
	for 2*half < len(leaves) {
		half *= 2
	}
	sum := treeOf(leaves[:half])
	for i, v := range treeOf(leaves[half:]) {
		sum[i] += v
	}
	return sum
}
