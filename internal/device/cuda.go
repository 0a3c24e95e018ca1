package device

import (
	"context"
	"fmt"
	"math"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda"
	"effnet/internal/backend/cuda/driver"
)

// cudaDevice is an NVIDIA GPU.
var cudaDevice = &Device{
	Name:       "cuda",
	Precisions: precisionsOfGPU(),

	compiled: driver.Compiled,
	open: func(precision, _ string, _ int) (backend.Backend, error) {
		b, err := cuda.Open(precision)
		if err != nil {
			return nil, err
		}
		return b, nil
	},
	counter: func(precision string, _ int) Counter { return cuda.NewCounter(precision) },
	memory:  cuda.Memory,
	found:   cuda.Found,
	describe: func(b backend.Backend) (string, error) {
		card, err := b.(*cuda.Backend).Describe()
		return fmt.Sprintf("using %s; %s chooses another", card, driver.DeviceEnv), err
	},
	peaks: peaksOfGPU,
	usage: func(b backend.Backend) (u Usage, err error) {
		gpu := b.(*cuda.Backend)
		u.Allocated = gpu.Bytes()
		u.Taken, err = gpu.Used()
		return u, err
	},
	warning: func(b backend.Backend) error { return b.(*cuda.Backend).Warning() },
	assign:  driver.Assign,
	card:    &h100,
}

// h100 is an H100 SXM. Copies and products of bf16 were measured on one; NVIDIA's data
// sheet has the products of the other types, without sparsity.
var h100 = Card{
	Name: "H100", Copy: 3.0e12, Launch: 2e-6,
	FLOPS: map[string]float64{string(driver.BF16): 798e12, string(driver.TF32): 494.7e12, string(driver.FP32): 66.9e12},
}

func precisionsOfGPU() (all []string) {
	for _, p := range driver.Precisions {
		all = append(all, string(p))
	}
	return all
}

// peaksOfGPU times a product and a copy that are large enough for a GPU's speed: they
// take 1.8 GiB, besides a network.
func peaksOfGPU(ctx context.Context, b backend.Backend) (p Peaks, err error) {
	side, values := 8192, 128<<20
	gpu := b.(*cuda.Backend)
	free, err := gpu.Free()
	if err != nil {
		return p, err
	}
	if free < 4<<30 {
		side, values = productSide, copyValues
	}
	factors := gpu.Maps()
	product, err := Time(ctx, b, backend.MatMul{M: side, N: side, K: side, TransA: true}, []backend.DType{factors, factors, backend.Float32})
	if err != nil {
		return p, err
	}
	copied, err := Time(ctx, b, backend.Copy{N: values}, make([]backend.DType, 2))
	return Peaks{FLOPS: 2 * math.Pow(float64(side), 3) / product, Copy: copiedBytes(values) / copied}, err
}
