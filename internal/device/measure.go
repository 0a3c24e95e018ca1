package device

import (
	"context"
	"math"
	"math/rand/v2"

	"effnet/internal/backend"
)

// Peaks is what a device can do at most.
type Peaks struct {
	FLOPS float64 `json:"flops"`          // multiply-adds, operations a second: in registers, or a GPU's of a large product
	Copy  float64 `json:"copy_bytes_sec"` // from memory to memory, read and written
}

// What Speed times: a product that fits no cache, and a copy of as many values.
const (
	productSide = 1536
	copyValues  = 16 << 20
	timedRuns   = 6   // of which the first warms up
	timedFor    = 0.5 // seconds, after which a slow device runs nothing again
)

// Speed times a matrix product and a copy, as a network asks for them: less than
// Peaks, but in the same way on every device.
func Speed(ctx context.Context, b backend.Backend) (p Peaks, err error) {
	n := productSide
	seconds, err := Time(ctx, b, backend.MatMul{M: n, N: n, K: n}, make([]backend.DType, 3))
	if err != nil {
		return p, err
	}
	p.FLOPS = 2 * math.Pow(float64(n), 3) / seconds
	if seconds, err = Time(ctx, b, backend.Copy{N: copyValues}, make([]backend.DType, 2)); err != nil {
		return p, err
	}
	p.Copy = copiedBytes(copyValues) / seconds
	return p, nil
}

// copiedBytes is the bytes that a copy of float32 values reads and writes.
func copiedBytes(values int) float64 { return 2 * 4 * float64(values) }

// Time is the fastest of a few runs of a Spec on random values, in seconds. types are its
// operands'.
func Time(ctx context.Context, b backend.Backend, spec backend.Spec, types []backend.DType) (float64, error) {
	var operands []backend.View
	for i, n := range backend.Sizes(spec) {
		v, err := backend.NewViewOf(b, n, types[i])
		if err == nil {
			err = b.Upload(v, random(n)) // memory that was never written is faster to read, and zeros to multiply
		}
		if err != nil {
			return 0, err
		}
		operands = append(operands, v)
	}
	program, err := b.Compile(spec, operands...)
	if err != nil {
		return 0, err
	}
	if program.Prepare != nil {
		program.Prepare()
	}
	fastest, total := math.Inf(1), 0.0
	for range timedRuns {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		seconds, err := backend.Time(b, program.Run)
		if err != nil {
			return 0, err
		}
		fastest = min(fastest, seconds[0])
		if total += seconds[0]; total >= timedFor {
			break
		}
	}
	return fastest, nil
}

// random values are uniform, from -1 to 1.
func random(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = r.Float32()*2 - 1
	}
	return x
}
