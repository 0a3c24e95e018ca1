// Package backend defines what a device must be able to do: hold float32
// buffers and run Specs, the small set of operations an EfficientNet's forward
// pass, backward pass and update are made of.
package backend

import (
	"fmt"
	"time"
	"unsafe"
)

// Backend runs Specs on one device. Buffers belong to the backend that made
// them. A Backend is used by one goroutine at a time.
type Backend interface {
	Name() string
	// Alloc returns a buffer of n float32, zeroed.
	Alloc(n int) (Buffer, error)
	// Upload copies src to the start of dst.
	Upload(dst View, src []float32) error
	// Send is Upload of bytes, from the start of dst on, while launches before it may
	// still be under way: those must not use dst. Launches after it see them.
	Send(dst View, src []byte) error
	// Download copies src to dst.
	Download(dst []float32, src View) error
	// NewReader returns a Reader of n values.
	NewReader(n int) (Reader, error)
	// Compile prepares one operation on fixed operands, in the order the
	// Spec's comment gives. An unsupported Spec or an operand of the wrong
	// size is an error here, never in a launch.
	Compile(spec Spec, operands ...View) (Program, error)
	// Sync waits for every launch so far and returns the first error of any.
	Sync() error
	Close() error
}

// Launch runs a compiled Spec once. It allocates nothing.
type Launch func()

// Program is a compiled Spec.
type Program struct {
	// Prepare makes what Run needs of the operands that hold weights and
	// statistics: of a folded Spec all but the maps. It must run after they
	// change and before Run, and may allocate. nil: there is nothing to make.
	Prepare func()
	Run     Launch
	// Launched is what Run launches on a device of its own; nil where that is the
	// processor.
	Launched []Launched
}

// Launched is one launch on a device and what it asks of it: multiply-adds, two FLOPs
// each, and the bytes that it reads and writes of the device's memory, each counted once.
type Launched struct {
	Name          string
	FLOPs         int64
	Reads, Writes int64
}

// All prepares, then runs: for operands that change from run to run.
func (p Program) All() {
	if p.Prepare != nil {
		p.Prepare()
	}
	p.Run()
}

// Splitter is a Backend that can run several launches at the same time.
type Splitter interface {
	Backend
	// Split returns n backends, at most Threads, of one thread each. They
	// share memory with this one, and what Prepare makes with each other: of
	// programs compiled alike by all, it is enough to prepare one.
	Split(n int) []Backend
	Threads() int
	// Each calls task(worker, i) once for every i in 0..n, one call at a time
	// for each worker in 0..Threads, and returns when all are done.
	Each(n int, task func(worker, i int))
}

// Recorder is a Backend that can keep a sequence of launches and do all of it at
// once, which costs less than one by one.
type Recorder interface {
	Backend
	// Record returns what run launches, without doing it. run does nothing else.
	Record(run func()) (Launch, error)
}

// Timer is a Backend that knows how long its launches take.
type Timer interface {
	Backend
	// Time launches each of some launches once, in order, and returns how long each took
	// by the device's clock, in seconds. It waits for them.
	Time(launches []Launch) ([]float64, error)
}

// Time is b's Timer, if it is one; else it waits for each launch by itself, and the time
// until then is the launch's.
func Time(b Backend, launches ...Launch) ([]float64, error) {
	if timer, ok := b.(Timer); ok {
		return timer.Time(launches)
	}
	seconds := make([]float64, len(launches))
	for i, launch := range launches {
		start := time.Now()
		launch()
		if err := b.Sync(); err != nil {
			return nil, err
		}
		seconds[i] = time.Since(start).Seconds()
	}
	return seconds, nil
}

// Typer is a Backend that keeps some values in another type than float32.
type Typer interface {
	Backend
	// Types says of which types a Spec's operands are: types has those that are
	// read, and Types sets those that are written.
	Types(spec Spec, types []DType)
}

// Sharer is a Backend whose programs run one after the other, and may share memory.
type Sharer interface {
	Backend
	// Share returns memory for n values, which is part of what others were given.
	// What it holds lasts until the next program of any of them.
	Share(n int) (View, error)
}

// Chooser is a Backend that times several ways to do the same and takes the fastest. Another
// way gives other last bits: a run keeps what was chosen, so that it resumes to the same.
type Chooser interface {
	Backend
	// Choices is what was chosen so far, as text; "" if nothing is timed.
	Choices() string
	// Choose has what Choices returned be taken, before anything is compiled; "" has nothing
	// timed. It returns what somebody should know; "" for nothing.
	Choose(choices string) (note string)
}

// Reader brings values from a device while that does what is launched later.
type Reader interface {
	// Begin has the values of src copied after the launches so far, as they are then.
	// What was read before must have been taken.
	Begin(src View) error
	// Ready says whether Take has nothing to wait for.
	Ready() bool
	// Take waits for the values and copies them.
	Take(dst []float32) error
}

// Buffer is device memory. It can be compared: only the same memory is equal.
type Buffer interface {
	Len() int // float32 values
}

// View is a run of values of a buffer.
type View struct {
	Buffer Buffer
	Offset int // in float32 values of the buffer
	Len    int // values
	DType  DType
}

// Slice returns the part of v from offset on, of n values. It begins where a float32
// would: of bfloat16 the offset is even.
func (v View) Slice(offset, n int) View {
	v.Offset, v.Len = v.Offset+v.DType.Room(offset), n
	return v
}

// NewView allocates a buffer of n float32 and returns all of it.
func NewView(b Backend, n int) (View, error) { return NewViewOf(b, n, Float32) }

// NewViewOf is NewView for values of a type.
func NewViewOf(b Backend, n int, t DType) (View, error) {
	buf, err := b.Alloc(t.Room(n))
	if err != nil {
		return View{}, err
	}
	return View{Buffer: buf, Len: n, DType: t}, nil
}

// Bytes is the memory of values.
func Bytes(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// Error says that a device could not do what was asked: no memory, no such
// device, a failed launch.
type Error struct {
	Device string
	Op     string // what was asked
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Device, e.Op, e.Err) }
func (e *Error) Unwrap() error { return e.Err }
