package cpu

// layout plans a launch's part of the scratch memory, which all launches share.
type layout struct{ size int }

// slot is an array of equally long pieces of scratch memory.
type slot struct{ at, stride, each int }

// take adds count pieces of so many values, each on a cache line of its own.
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
