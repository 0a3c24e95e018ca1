// Package cuda runs backend Specs on an NVIDIA GPU.
//
// Kernels are CUDA C++ (kernels/*.cu), compiled for the GPU that is found; matrix
// products are cuBLASLt's. All work goes through one stream, in order. Sums are in
// an order that shapes alone give, so a GPU's results are the same bits every time.
package cuda

import (
	"errors"
	"fmt"
	"io"
	"runtime"
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
	Products() string // by what products are computed, and its version
	Matmul(m driver.Matmul) (driver.Product, error)
	Algorithms(m driver.Matmul, most int) ([]driver.Algorithm, error) // Matmul's first
	MatmulBy(m driver.Matmul, by driver.Algorithm) (driver.Product, error)
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
	open       map[handle]io.Closer     // products, graphs and readers
	handles    handle                   // the last
	memory     map[driver.Pointer]int64 // bytes of what is allocated
	unused     unused
	shared     backend.View // see Share
	scratch    scratch
	choices    *choices // nil: products are cuBLASLt's own choice
	folder     string   // that keeps choices; "" for none
	warning    error    // of Open
	failed     error    // the first launch that failed
	careful    bool     // see CarefulEnv
	opened     int64    // bytes of the device that were free when it was opened
	counts     bool     // of NewCounter: no buffer is freed
}

// maxThreads is MaxThreads of the kernels.
const maxThreads = 256

// newBackend takes a device whose kernels are loaded.
func newBackend(d device, precision driver.Precision) *Backend {
	return &Backend{device: d, precision: precision, threads: maxThreads, mostValues: mostValues, functions: map[string]driver.Function{},
		open: map[handle]io.Closer{}, scratch: noScratch(), memory: map[driver.Pointer]int64{}}
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

func (b *Backend) error(op string, err error) error {
	return &backend.Error{Device: b.Name(), Op: op, Err: err}
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
	o, scratch := own(b, graph), b.scratch.recordedIn()
	return func() {
		b.fail("launch a graph", o.it.Launch())
		runtime.KeepAlive(scratch)
	}, nil
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
	for _, it := range b.open {
		err = errors.Join(err, it.Close())
	}
	for at := range b.memory {
		err = errors.Join(err, b.device.Free(at))
	}
	b.open, b.memory = nil, nil
	if err = errors.Join(err, b.device.Close()); err != nil {
		return b.error("close", err)
	}
	return nil
}
