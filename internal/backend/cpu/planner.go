package cpu

import (
	"runtime"

	"effnet/internal/backend"
)

// A Planner is a backend without memory, which computes nothing: Bytes of what is
// made on it is what the same takes in buffers of a Backend of as many threads. It
// counts neither scratch memory nor what launches prepare of weights.
type Planner struct {
	threads int
	bytes   *int64 // of all that Split gave
}

// NewPlanner returns a Planner for so many threads; 0 means GOMAXPROCS.
func NewPlanner(threads int) *Planner {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &Planner{threads, new(int64)}
}

// Bytes is what was allocated.
func (p *Planner) Bytes() int64 { return *p.bytes }

// planned is a buffer's length.
type planned int

func (n planned) Len() int { return int(n) }

// Name implements backend.Backend, as do the others.
func (p *Planner) Name() string { return "cpu/planned" }

// Alloc counts a buffer of n values.
func (p *Planner) Alloc(n int) (backend.Buffer, error) {
	*p.bytes += 4 * int64(n)
	return planned(n), nil
}

// Upload does nothing.
func (p *Planner) Upload(backend.View, []float32) error { return nil }

// Stage does nothing.
func (p *Planner) Stage(backend.View, []byte) error { return nil }

// Download gives zeros.
func (p *Planner) Download(dst []float32, _ backend.View) error {
	clear(dst)
	return nil
}

// NewReader returns a Reader of zeros.
func (p *Planner) NewReader(int) (backend.Reader, error) { return nothing{}, nil }

// Compile checks the operands.
func (p *Planner) Compile(spec backend.Spec, operands ...backend.View) (backend.Program, error) {
	return backend.Program{Run: func() {}}, backend.Check(spec, operands)
}

// Sync does nothing.
func (p *Planner) Sync() error { return nil }

// Close does nothing.
func (p *Planner) Close() error { return nil }

// Threads implements backend.Splitter.
func (p *Planner) Threads() int { return p.threads }

// Split returns Planners whose buffers count as p's.
func (p *Planner) Split(n int) []backend.Backend {
	all := make([]backend.Backend, min(n, p.threads))
	for i := range all {
		all[i] = &Planner{1, p.bytes}
	}
	return all
}

// Each calls the tasks one after the other.
func (p *Planner) Each(n int, task func(worker, i int)) {
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
