package model

import (
	"fmt"
	"testing"

	"effnet/internal/backend/cpu"
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

func benchTrain(b *testing.B, variant string, size, batch int) {
	b.Run(fmt.Sprintf("train/%dpx/batch%d", size, batch), func(b *testing.B) {
		net := benchNetwork(b, variant, size)
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
		net := benchNetwork(b, variant, size)
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

func benchNetwork(b *testing.B, variant string, size int) *Network {
	b.Helper()
	arch, err := scale.Variant(variant)
	if err != nil {
		b.Fatal(err)
	}
	arch.Resolution = size
	device, err := cpu.New(0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { device.Close() })
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
