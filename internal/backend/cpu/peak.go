package cpu

import (
	"fmt"
	"math"
	"time"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// PeakFLOPS measures the floating-point operations a second of all threads at
// once, on values in registers, with the instructions of the kernel set, in the type that
// maps are kept in. It takes a fifth of a second.
func (b *Backend) PeakFLOPS() float64 {
	const rounds = 1_000_000 // some milliseconds: the threads' start is nothing compared with it
	flops, peak := make([]int, b.pool.threads), b.set.Peak
	if b.maps == backend.BFloat16 {
		peak = b.set.PeakPairs
	}
	work := func(_, i int) {
		c := make([]float32, kernel.PeakValues)
		for k := range c {
			c[k] = 1e-3 / float32(k+1)
		}
		flops[i] = peak(c, rounds)
	}
	seconds := fastest(200*time.Millisecond, func() { b.pool.run(b.pool.threads, work) })
	total := 0
	for _, n := range flops {
		total += n
	}
	return float64(total) / seconds
}

// CopyBandwidth measures the bytes a second, those read and those written, that
// all threads copy between arrays which no cache holds. It allocates 256 MiB and
// takes a quarter of a second.
func (b *Backend) CopyBandwidth() (bytesPerSecond float64, err error) {
	const n = 32 << 20 // values of an array
	all, err := b.Alloc(2 * n)
	if err != nil {
		return 0, fmt.Errorf("measure the copy bandwidth: %w", err)
	}
	x := all.(*buffer).values
	for i := range x {
		x[i] = 1 // memory that nobody wrote to is not there yet
	}
	work := func(_, i int) {
		from, to := span(n, b.pool.threads, i)
		copy(x[n+from:n+to], x[from:to])
	}
	seconds := fastest(250*time.Millisecond, func() { b.pool.run(b.pool.threads, work) })
	return 2 * 4 * n / seconds, nil
}

// fastest runs f once, then again and again for so long, and returns the seconds
// of its fastest run.
func fastest(length time.Duration, f func()) float64 {
	f()
	best := math.Inf(1)
	for start := time.Now(); time.Since(start) < length; {
		t := time.Now()
		f()
		best = min(best, time.Since(t).Seconds())
	}
	return best
}
