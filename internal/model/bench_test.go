package model

import (
	"fmt"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/optim"
	"effnet/internal/scale"
)

// BenchmarkB0 times a training step (forward, backward, running statistics,
// RMSProp's update) and an inference pass. Use -cpu 1,2 to vary the threads.
func BenchmarkB0(b *testing.B) {
	for _, c := range []struct{ size, batch int }{{224, 16}, {224, 1}, {32, 256}} {
		benchTrain(b, "b0", c.size, c.batch)
		benchInfer(b, "b0", c.size, c.batch)
	}
}

// BenchmarkB4 is BenchmarkB0 with larger images and fewer of them.
func BenchmarkB4(b *testing.B) {
	benchTrain(b, "b4", 380, 2)
	benchInfer(b, "b4", 380, 1)
}

// BenchmarkCuts says how many times as fast as one thread more would be by the cuts of the
// work alone (cpu.Cuts), for a step of training.
func BenchmarkCuts(b *testing.B) {
	for _, c := range []struct {
		variant     string
		size, batch int
		maps        backend.DType
	}{{"b0", 224, 16, backend.Float32}, {"b0", 224, 16, backend.BFloat16}, {"b0", 224, 64, backend.Float32}, {"b4", 380, 4, backend.Float32}} {
		b.Run(fmt.Sprintf("%s/%dpx/batch%d/%v", c.variant, c.size, c.batch, c.maps), func(b *testing.B) {
			device := cpu.NewWith(kernel.Available()[0], 1)
			defer device.Close()
			device.Keep(c.maps)
			net := benchNetwork(b, device, c.variant, c.size)
			t, err := net.Training(c.batch, 1)
			if err != nil {
				b.Fatal(err)
			}
			if err := device.Upload(t.Images, values("input", t.Images.Len, 0, 1.7)); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				cuts := device.Cuts(func() {
					if err := t.Run(1); err != nil {
						b.Fatal(err)
					}
				})
				for _, threads := range []int{2, 4, 8, 16, 32, 64} {
					b.ReportMetric(cuts.Speedup(threads), fmt.Sprintf("x%d", threads))
				}
			}
		})
	}
}

func benchTrain(b *testing.B, variant string, size, batch int) {
	b.Run(fmt.Sprintf("train/%dpx/batch%d", size, batch), func(b *testing.B) {
		net := benchNetwork(b, nil, variant, size)
		t, err := net.Training(batch, 1)
		if err != nil {
			b.Fatal(err)
		}
		if err := net.backend.Upload(t.Images, values("input", t.Images.Len, 0, 1.7)); err != nil {
			b.Fatal(err)
		}
		opt, err := optim.New(net.backend, optim.Options{Rule: "rmsprop", Momentum: .9, Decay: .9, Eps: 1e-3}, net.Weights, t.GradientView(), []optim.Group{{N: net.Decayed, Decay: true}, {From: net.Decayed, N: net.Weights.Len - net.Decayed}})
		if err != nil {
			b.Fatal(err)
		}
		measure(b, batch, func() error {
			if err := t.Run(1); err != nil {
				return err
			}
			_, err := opt.Step(1e-4)
			return err
		})
	})
}

func benchInfer(b *testing.B, variant string, size, batch int) {
	b.Run(fmt.Sprintf("infer/%dpx/batch%d", size, batch), func(b *testing.B) {
		net := benchNetwork(b, nil, variant, size)
		f, err := net.Inference(batch)
		if err != nil {
			b.Fatal(err)
		}
		if err := net.backend.Upload(f.Images, values("input", f.Images.Len, 0, 1.7)); err != nil {
			b.Fatal(err)
		}
		measure(b, batch, f.Run)
	})
}

// benchNetwork is a network on a device, or on the CPU by all threads if that is nil.
func benchNetwork(b *testing.B, device *cpu.Backend, variant string, size int) *Network {
	b.Helper()
	arch, err := scale.Variant(variant)
	if err != nil {
		b.Fatal(err)
	}
	arch.Resolution = size
	if device == nil {
		if device, err = cpu.New(0); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { device.Close() })
	}
	net, err := New(arch, device)
	if err != nil {
		b.Fatal(err)
	}
	if err := net.Initialise(1); err != nil {
		b.Fatal(err)
	}
	return net
}

func measure(b *testing.B, batch int, run func() error) {
	b.ReportAllocs()
	for b.Loop() {
		if err := run(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "images/s")
}
