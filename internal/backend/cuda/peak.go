package cuda

import (
	"math"
	"math/rand/v2"
	"time"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// Peaks measures the floating-point operations a second of a large matrix product in
// the backend's precision, and the bytes a second, read and written, of a large copy.
// It allocates up to 1.5 GiB for a moment.
func (b *Backend) Peaks() (flops, copied float64, err error) { return b.peaks(8192, 128<<20) }

// peaks is Peaks of matrices of side x side and of a copy of so many values.
func (b *Backend) peaks(side, values int) (flops, copied float64, err error) {
	half := b.precision == driver.BF16
	seconds, err := b.time(backend.MatMul{M: side, N: side, K: side, TransA: true}, []bool{half, half, false})
	if err != nil {
		return 0, 0, err
	}
	flops = 2 * math.Pow(float64(side), 3) / seconds
	seconds, err = b.time(backend.Copy{N: values}, []bool{false, false})
	return flops, float64(2*4*values) / seconds, err
}

// time is the seconds of the fastest of a few runs of a Spec, on random values: a GPU
// multiplies zeros faster.
func (b *Backend) time(spec backend.Spec, half []bool) (float64, error) {
	rng := rand.New(rand.NewPCG(1, 1))
	views := make([]backend.View, len(half))
	for i, n := range spec.Sizes() {
		v, err := backend.NewView(b, backend.Room(n, half[i]))
		if err != nil {
			return 0, err
		}
		v.Len, v.Half = n, half[i]
		values := make([]float32, n)
		for k := range values {
			values[k] = rng.Float32() - 0.5
		}
		if err := b.Upload(v, values); err != nil {
			return 0, err
		}
		views[i] = v
	}
	program, err := b.Compile(spec, views...)
	if err != nil {
		return 0, err
	}
	best := math.Inf(1)
	for range 10 {
		start := time.Now()
		program.All()
		if err := b.Sync(); err != nil {
			return 0, err
		}
		best = min(best, time.Since(start).Seconds())
	}
	return best, nil
}
