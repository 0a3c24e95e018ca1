package cpu

import (
	"runtime"

	"effnet/internal/backend"
)

// A Counter is a backend without memory, which computes nothing: Bytes of what is
// made on it is what the same takes in buffers of a Backend of as many threads. It
// counts neither scratch memory nor what launches prepare of weights.
type Counter struct {
	threads int
	bytes   *int64 // of all that Split gave
	maps    backend.DType
}

// NewCounter returns a Counter for that number of threads, 0 means GOMAXPROCS, of a
// Backend that keeps maps as a type.
func NewCounter(threads int, maps backend.DType) *Counter {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &Counter{threads, new(int64), maps}
}

// Bytes is what was allocated.
func (c *Counter) Bytes() int64 { return *c.bytes }

// counted is a buffer without memory.
type counted struct{ n int }

func (c *counted) Len() int { return c.n }

// Name implements backend.Backend, as do the others.
func (c *Counter) Name() string { return "cpu/counted" }

// Alloc counts a buffer of n values.
func (c *Counter) Alloc(n int) (backend.Buffer, error) {
	*c.bytes += 4 * int64(n)
	return &counted{n}, nil
}

// Upload does nothing.
func (c *Counter) Upload(backend.View, []float32) error { return nil }

// Send does nothing.
func (c *Counter) Send(backend.View, []byte) error { return nil }

// Download gives zeros.
func (c *Counter) Download(dst []float32, _ backend.View) error {
	clear(dst)
	return nil
}

// NewReader returns a Reader of zeros.
func (c *Counter) NewReader(int) (backend.Reader, error) { return nothing{}, nil }

// Compile checks the operands.
func (c *Counter) Compile(spec backend.Spec, operands ...backend.View) (backend.Program, error) {
	return backend.Program{Run: func() {}}, backend.Check(spec, operands)
}

// Types implements backend.Typer.
func (c *Counter) Types(spec backend.Spec, types []backend.DType) {
	backend.SetTypes(spec, c.maps, types)
}

// Sync does nothing.
func (c *Counter) Sync() error { return nil }

// Close does nothing.
func (c *Counter) Close() error { return nil }

// Threads implements backend.Splitter.
func (c *Counter) Threads() int { return c.threads }

// Split returns Counters whose buffers count as c's.
func (c *Counter) Split(n int) []backend.Backend {
	all := make([]backend.Backend, min(n, c.threads))
	for i := range all {
		all[i] = &Counter{1, c.bytes, c.maps}
	}
	return all
}

// Each calls the tasks one after the other.
func (c *Counter) Each(n int, task func(worker, i int)) {
	for i := range n {
		task(0, i)
	}
}

// nothing is a Reader of zeros.
type nothing struct{}

func (nothing) Begin(backend.View) error { return nil }
func (nothing) Ready() bool              { return true }
func (nothing) Take(dst []float32) error {
	clear(dst)
	return nil
}
