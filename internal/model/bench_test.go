package model

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"effnet/internal/backend/cpu"
	"effnet/internal/scale"
)

func BenchmarkB0(b *testing.B) {
	arch, err := scale.Variant("b0")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ size, batch int }{{32, 256}, {224, 16}} {
		arch.Resolution = c.size
		threads, _ := strconv.Atoi(os.Getenv("THREADS"))
		be, err := cpu.New(threads)
		if err != nil {
			b.Fatal(err)
		}
		net, err := New(arch, be)
		if err != nil {
			b.Fatal(err)
		}
		if err := net.Initialise(1); err != nil {
			b.Fatal(err)
		}
		train, err := net.Training(c.batch, 1)
		if err != nil {
			b.Fatal(err)
		}
		infer, err := net.Inference(c.batch)
		if err != nil {
			b.Fatal(err)
		}
		x := values("input", train.Images.Len, 0, 1.7)
		_ = be.Upload(train.Images, x)
		_ = be.Upload(infer.Images, x)
		b.Run(fmt.Sprintf("train/%dpx", c.size), func(b *testing.B) {
			for b.Loop() {
				_ = train.Run(1)
			}
			b.ReportMetric(float64(c.batch*b.N)/b.Elapsed().Seconds(), "images/s")
		})
		b.Run(fmt.Sprintf("infer/%dpx", c.size), func(b *testing.B) {
			for b.Loop() {
				_ = infer.Run()
			}
			b.ReportMetric(float64(c.batch*b.N)/b.Elapsed().Seconds(), "images/s")
		})
		be.Close()
	}
}
