package cuda

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// buffer is memory that is freed some time after nothing refers to it any more.
type buffer struct {
	at driver.Pointer
	n  int
}

func (b *buffer) Len() int { return b.n }

// handle is the number of a product, a graph or a reader.
type handle int

// owned is one of them, which is closed some time after nothing refers to this any more.
type owned[T io.Closer] struct{ it T }

// own has b close it.
func own[T io.Closer](b *Backend, it T) *owned[T] {
	o := &owned[T]{it}
	b.handles++
	b.open[b.handles] = it
	runtime.AddCleanup(o, b.unused.addHandle, b.handles)
	return o
}

// unused is what nothing refers to any more: the memory of buffers, and handles. Go's
// collector adds to it.
type unused struct {
	sync.Mutex
	memory  []driver.Pointer
	handles []handle
}

func (u *unused) addMemory(at driver.Pointer) {
	u.Lock()
	defer u.Unlock()
	u.memory = append(u.memory, at)
}

func (u *unused) addHandle(h handle) {
	u.Lock()
	defer u.Unlock()
	u.handles = append(u.handles, h)
}

func (u *unused) take() (memory []driver.Pointer, handles []handle) {
	u.Lock()
	defer u.Unlock()
	memory, handles = u.memory, u.handles
	u.memory, u.handles = nil, nil
	return memory, handles
}

// scratch is memory for what a launch keeps no longer than it runs. Launches share it, and
// look up where it is, but graphs are recorded with its address.
type scratch struct {
	*buffer
	bytes    int64
	recorded bool // its address, in a graph
}

func noScratch() scratch { return scratch{buffer: &buffer{}} }

// recordedIn is the memory, which a graph was recorded with.
func (s *scratch) recordedIn() *buffer {
	s.recorded = true
	return s.buffer
}

// grow makes the scratch larger. The old one is freed at once, or when the graphs that
// were recorded with its address are gone.
func (b *Backend) grow(bytes int64) error {
	switch old := b.scratch; {
	case old.bytes == 0:
	case old.recorded:
		runtime.AddCleanup(old.buffer, b.unused.addMemory, old.at)
	default:
		if err := errors.Join(b.device.Sync(), b.device.Free(old.at)); err != nil {
			return b.error("free memory", err)
		}
		delete(b.memory, old.at)
	}
	b.scratch = noScratch()
	at, err := b.alloc(bytes)
	if err == nil {
		b.scratch = scratch{buffer: &buffer{at, int(bytes / 4)}, bytes: bytes}
	}
	return err
}

// address of a view's first value.
func address(v backend.View) driver.Pointer {
	return v.Buffer.(*buffer).at + driver.Pointer(4*v.Offset)
}

// Alloc implements backend.Backend.
func (b *Backend) Alloc(n int) (backend.Buffer, error) {
	at, err := b.alloc(4 * int64(n))
	if err == nil {
		err = b.device.Clear(at, 4*int64(n))
	}
	if err != nil {
		return nil, err
	}
	buf := &buffer{at, n}
	if !b.counts {
		runtime.AddCleanup(buf, b.unused.addMemory, at)
	}
	return buf, nil
}

// Share implements backend.Sharer. Who got a smaller part before keeps that.
func (b *Backend) Share(n int) (v backend.View, err error) {
	if n > b.shared.Len {
		b.shared = backend.View{} // free, if nobody else has it
		if v, err = backend.NewView(b, n); err != nil {
			return v, err
		}
		b.shared = v
	}
	return b.shared.Slice(0, n), nil
}

// alloc allocates bytes that are freed by Close, if not before.
func (b *Backend) alloc(bytes int64) (at driver.Pointer, err error) {
	bytes = max(bytes, 4)
	for range 4 {
		if err = b.reclaim(); err == nil {
			at, err = b.allocate(bytes)
		}
		if err == nil {
			break
		}
		runtime.GC() // what it finds may be enough; cleanups come a moment after
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		return 0, b.error(fmt.Sprintf("allocate %.2f GiB", gib(bytes)), err)
	}
	b.memory[at] = bytes
	return at, nil
}

// allocate allocates if there is room for the bytes.
func (b *Backend) allocate(bytes int64) (driver.Pointer, error) {
	free, _, err := b.device.Memory()
	if err != nil {
		return 0, err
	}
	if bytes > free {
		return 0, fmt.Errorf("only %.2f GiB are free (lower --batch-size or --img-size)", gib(free))
	}
	return b.device.Alloc(bytes)
}

// reclaim closes and frees what nothing refers to.
func (b *Backend) reclaim() error {
	memory, handles := b.unused.take()
	if len(memory)+len(handles) == 0 {
		return nil
	}
	err := b.device.Sync()
	for _, h := range handles {
		if it, ok := b.open[h]; ok {
			delete(b.open, h)
			err = errors.Join(err, it.Close())
		}
	}
	for _, at := range memory {
		if b.memory[at] > 0 {
			delete(b.memory, at)
			err = errors.Join(err, b.device.Free(at))
		}
	}
	return err
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }

// Bytes is how much memory is allocated.
func (b *Backend) Bytes() int64 {
	sum := int64(driver.WorkspaceBytes)
	for _, bytes := range b.memory {
		sum += (bytes + alignment - 1) / alignment * alignment
	}
	return sum
}

// Free is the bytes of the GPU's memory that are free.
func (b *Backend) Free() (int64, error) {
	free, _, err := b.device.Memory()
	if err != nil {
		return 0, b.error("measure the memory", err)
	}
	return free, nil
}

// Used is how much less of the device's memory is free than when it was opened, in
// bytes: what is allocated, and what the driver and its libraries took for themselves.
// Other processes' counts too.
func (b *Backend) Used() (int64, error) {
	free, _, err := b.device.Memory()
	if err != nil {
		return 0, b.error("measure the memory", err)
	}
	return b.opened - free, nil
}
