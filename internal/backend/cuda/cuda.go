// Package cuda runs backend Specs on an NVIDIA GPU.
//
// Kernels are CUDA C++ (kernels/*.cu), compiled for the GPU that is found; matrix
// products are cuBLASLt's. All work goes through one stream, in order. Sums are in
// an order that shapes alone give, so a GPU's results are the same bits every time.
package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// device is what a Backend needs of a GPU. driver.Device is one.
type device interface {
	Name() string         // "NVIDIA H100 80GB HBM3"
	Architecture() string // "sm_90"
	Memory() (free, total int64, err error)
	Alloc(bytes int64) (driver.Pointer, error)
	Free(p driver.Pointer) error
	Upload(dst driver.Pointer, src []byte) error   // src may change when it returns
	Send(dst driver.Pointer, src []byte) error     // as Upload, but concurrent with what is queued
	Download(dst []byte, src driver.Pointer) error // waits for what was queued before
	NewReader(bytes int) (driver.Reader, error)    // of what is queued before its Begin
	Clear(dst driver.Pointer, bytes int64) error
	Copy(dst, src driver.Pointer, bytes int64) error
	Load(image []byte) error
	Function(name string) (driver.Function, error)
	// Launch queues a kernel. args point to the arguments' values, which are read
	// before it returns.
	Launch(f driver.Function, grid, block [3]uint32, shared uint32, args []unsafe.Pointer) error
	Matmul(m driver.Matmul) (driver.Product, error)
	MostRows() int                                      // of a Matmul's result; 0 for any
	Record(run func() error) (driver.Graph, error)      // what run queues, as one graph
	Time(queue []func()) (seconds []float64, err error) // of what each queues
	Sync() error
	Close() error
}

// Backend is a GPU. It is used by one goroutine at a time.
type Backend struct {
	device    device
	precision driver.Precision
	threads   int // of a block: MaxThreads of the kernels, or fewer

	mostValues int // of a product's matrix
	functions  map[string]driver.Function
	products   []driver.Product
	graphs     []driver.Graph
	readers    []driver.Reader
	memory     map[driver.Pointer]int64 // bytes of what is allocated
	unused     unused
	shared     backend.View   // see Share
	scratch    driver.Pointer // for what a launch keeps no longer than it runs
	room       int64          // bytes of scratch
	failed     error          // the first launch that failed
	careful    bool           // see CarefulEnv
	opened     int64          // bytes of the device that were free when it was opened
	counts     bool           // of NewCounter: no buffer is freed
}

// maxThreads is MaxThreads of the kernels.
const maxThreads = 256

// newBackend takes a device whose kernels are loaded.
func newBackend(d device, precision driver.Precision) *Backend {
	return &Backend{device: d, precision: precision, threads: maxThreads, mostValues: mostValues, functions: map[string]driver.Function{}, memory: map[driver.Pointer]int64{}}
}

// Name is "cuda" and the GPU's name.
func (b *Backend) Name() string { return "cuda/" + b.device.Name() }

// Describe says which GPU it is and what memory it has, for people.
func (b *Backend) Describe() (string, error) {
	free, total, err := b.device.Memory()
	if err != nil {
		return "", b.error("measure the memory", err)
	}
	return fmt.Sprintf("%s (%s), %.1f of %.1f GiB of memory free", b.device.Name(), b.device.Architecture(), gib(free), gib(total)), nil
}

// buffer is memory that is freed some time after nothing refers to it any more.
type buffer struct {
	at driver.Pointer
	n  int
}

func (b *buffer) Len() int { return b.n }

// unused is memory whose buffers are gone. Go's collector adds to it.
type unused struct {
	sync.Mutex
	list []driver.Pointer
}

func (u *unused) add(at driver.Pointer) {
	u.Lock()
	defer u.Unlock()
	u.list = append(u.list, at)
}

func (u *unused) take() []driver.Pointer {
	u.Lock()
	defer u.Unlock()
	list := u.list
	u.list = nil
	return list
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
		runtime.AddCleanup(buf, b.unused.add, at)
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

// reclaim frees the memory of buffers that are gone.
func (b *Backend) reclaim() error {
	list := b.unused.take()
	if len(list) == 0 {
		return nil
	}
	err := b.device.Sync()
	for _, at := range list {
		if b.memory[at] > 0 {
			delete(b.memory, at)
			err = errors.Join(err, b.device.Free(at))
		}
	}
	return err
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }

func (b *Backend) error(op string, err error) error {
	return &backend.Error{Device: b.Name(), Op: op, Err: err}
}

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

// Upload implements backend.Backend.
func (b *Backend) Upload(dst backend.View, src []float32) error {
	if len(src) != dst.Len {
		return fmt.Errorf("cuda: upload of %d values to %d", len(src), dst.Len)
	}
	if b.failed != nil || len(src) == 0 {
		return b.failed
	}
	if err := b.device.Upload(address(dst), kinds[dst.DType].encode(src)); err != nil {
		return b.error("upload", err)
	}
	return nil
}

// Send implements backend.Backend.
func (b *Backend) Send(dst backend.View, src []byte) error {
	if most := 4 * dst.DType.Room(dst.Len); len(src) > most {
		return fmt.Errorf("cuda: %d bytes for a place of %d", len(src), most)
	}
	if b.failed != nil || len(src) == 0 {
		return b.failed
	}
	if err := b.device.Send(address(dst), src); err != nil {
		return b.error("upload", err)
	}
	return nil
}

// Download implements backend.Backend.
func (b *Backend) Download(dst []float32, src backend.View) error {
	if len(dst) != src.Len {
		return fmt.Errorf("cuda: download of %d values from %d", len(dst), src.Len)
	}
	if b.failed != nil || len(dst) == 0 {
		return b.failed
	}
	raw, decode := backend.Bytes(dst), kinds[src.DType].decode
	if decode != nil {
		raw = make([]byte, src.DType.Size()*len(dst))
	}
	if err := b.device.Download(raw, address(src)); err != nil {
		return b.error("download", err)
	}
	if decode != nil {
		decode(dst, raw)
	}
	return nil
}

// fail keeps the first error of a launch.
func (b *Backend) fail(op string, err error) {
	if err != nil && b.failed == nil {
		b.failed = b.error(op, err)
	}
}

// Sync implements backend.Backend.
func (b *Backend) Sync() error {
	b.fail("wait", b.device.Sync())
	return b.failed
}

// CarefulEnv is set to have every launch waited for, so that one that fails is named:
// otherwise a failure is found by whatever waits next.
const CarefulEnv = "EFFNET_CUDA_CAREFUL"

// Record implements backend.Recorder.
func (b *Backend) Record(run func()) (backend.Launch, error) {
	if b.careful {
		return run, nil // nothing can be waited for in a recording
	}
	graph, err := b.device.Record(func() error { run(); return b.failed })
	if err != nil {
		return nil, b.error("record a graph", err)
	}
	b.graphs = append(b.graphs, graph)
	return func() { b.fail("launch a graph", graph.Launch()) }, nil
}

// Time implements backend.Timer.
func (b *Backend) Time(launches []backend.Launch) ([]float64, error) {
	queue := make([]func(), len(launches))
	for i, launch := range launches {
		queue[i] = launch
	}
	seconds, err := b.device.Time(queue)
	if b.fail("time launches", err); b.failed != nil {
		return nil, b.failed
	}
	return seconds, nil
}

// Close frees everything.
func (b *Backend) Close() error {
	err := b.device.Sync()
	for _, g := range b.graphs {
		err = errors.Join(err, g.Close())
	}
	for _, r := range b.readers {
		err = errors.Join(err, r.Close())
	}
	for _, p := range b.products {
		err = errors.Join(err, p.Close())
	}
	for at := range b.memory {
		err = errors.Join(err, b.device.Free(at))
	}
	b.graphs, b.readers, b.products, b.memory = nil, nil, nil, nil
	if err = errors.Join(err, b.device.Close()); err != nil {
		return b.error("close", err)
	}
	return nil
}
