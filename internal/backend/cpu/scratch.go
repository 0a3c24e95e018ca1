package cpu

import "effnet/internal/backend"

// layout plans a launch's part of the scratch memory, which all launches share.
type layout struct{ size int }

// slot is an array of equally long pieces of scratch memory.
type slot struct{ at, stride, each int }

// take adds count pieces of each values, every one on a cache line of its own.
func (l *layout) take(count, each int) slot {
	s := slot{l.size, (each + line - 1) / line * line, each}
	l.size += count * s.stride
	return s
}

// of is piece i. The scratch memory may move while launches are compiled, so
// this is for launches that run.
func (s slot) of(b *Backend, i int) []float32 { return b.scratch[s.at+i*s.stride:][:s.each] }

// reserve makes sure that launches find n values of scratch memory. What is in
// them does not outlive a launch.
func (b *Backend) reserve(n int) {
	if n > len(b.scratch) {
		b.scratch = alloc(n)
	}
}

// sumSlots returns a launch of dst = the sum of n pieces, in their order.
func (b *Backend) sumSlots(dst []float32, parts slot, n int) backend.Launch {
	chunks := blocks(len(dst), 1)
	task := func(_, i int) {
		from, to := span(len(dst), chunks, i)
		sum := dst[from:to]
		copy(sum, parts.of(b, 0)[from:to])
		for k := 1; k < n; k++ {
			b.set.Add(sum, sum, parts.of(b, k)[from:to])
		}
	}
	return func() { b.pool.run(chunks, task) }
}

// sumSlotsTransposed is sumSlots of pieces [rows,cols] for dst [cols,rows].
func (b *Backend) sumSlotsTransposed(dst []float32, parts slot, n, rows, cols int) backend.Launch {
	const group = line // rows that share dst's cache lines
	task := func(_, i int) {
		from, to := i*group, min((i+1)*group, rows)
		sum := parts.of(b, 0)[from*cols : to*cols]
		for k := 1; k < n; k++ {
			b.set.Add(sum, sum, parts.of(b, k)[from*cols:to*cols])
		}
		for c := range cols {
			for r := from; r < to; r++ {
				dst[c*rows+r] = sum[(r-from)*cols+c]
			}
		}
	}
	return func() { b.pool.run((rows+group-1)/group, task) }
}
