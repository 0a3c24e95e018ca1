// Package cpu runs backend Specs on the CPU.
//
// Work is cut into blocks whose size depends on shapes alone, and what blocks
// sum is combined in their order: the results are the same bits whatever the
// number of threads.
package cpu

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// Backend is the CPU. It is used by one goroutine at a time.
type Backend struct {
	set     *kernel.Set
	pool    *pool
	scratch []float32 // as large as the hungriest launch needs
	shared  prepared  // with the other backends of a Split; nil for none

	maps        backend.DType   // that maps are kept in
	temporaries []*buffer       // of launches that do not know it
	narrow      [][]kernel.BF16 // of each worker: rows of a product
}

// New returns a CPU backend with that number of threads, 0 means GOMAXPROCS, and the
// kernels of kernel.Auto.
func New(threads int) (*Backend, error) {
	set, err := kernel.Find(kernel.Auto)
	if err != nil {
		return nil, err
	}
	return NewWith(set, threads), nil
}

// NewWith is New with the kernels of set.
func NewWith(set *kernel.Set, threads int) *Backend {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &Backend{set: set, pool: newPool(threads)}
}

// Name is "cpu" and the kernel set.
func (b *Backend) Name() string { return "cpu/" + b.set.Name }

// Threads is the number of threads that share a launch.
func (b *Backend) Threads() int { return b.pool.threads }

type buffer struct{ values []float32 }

func (b *buffer) Len() int { return len(b.values) }

// Alloc implements backend.Backend. The memory starts on a cache line and a
// kernel may read kernel.Tail values past its end.
func (b *Backend) Alloc(n int) (backend.Buffer, error) {
	if free := freeMemory(); n < 0 || int64(n) > free/4 {
		return nil, &backend.Error{Device: "cpu", Op: fmt.Sprintf("allocate %.1f GiB", float64(n)*4/(1<<30)),
			Err: fmt.Errorf("only %.1f GiB are free (lower --batch-size or --img-size)", float64(free)/(1<<30))}
	}
	return &buffer{alloc(n)}, nil
}

// freeMemory is the bytes that can be had without swapping, as Linux estimates
// them; elsewhere, no bound. To ask for more ends in a kill, not in an error.
func freeMemory() int64 {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	_, rest, _ := strings.Cut(string(info), "MemAvailable:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return math.MaxInt64
	}
	return kib << 10
}

func alloc(n int) []float32 {
	raw := make([]float32, n+kernel.Tail+line)
	adviseHuge(raw)
	skip := 0
	if at := uintptr(unsafe.Pointer(unsafe.SliceData(raw))) / 4 % line; at != 0 {
		skip = line - int(at)
	}
	return raw[skip : skip+n : skip+n+kernel.Tail]
}

func values(v backend.View) []float32 {
	return v.Buffer.(*buffer).values[v.Offset : v.Offset+v.Len]
}

// Upload implements backend.Backend.
func (b *Backend) Upload(dst backend.View, src []float32) error {
	if len(src) != dst.Len {
		return fmt.Errorf("cpu: upload of %d values to %d", len(src), dst.Len)
	}
	if dst.DType != backend.Float32 {
		b.upload(dst, src)
		return nil
	}
	copy(values(dst), src)
	return nil
}

// Send implements backend.Backend.
func (b *Backend) Send(dst backend.View, src []byte) error {
	if len(src) > 4*dst.Len {
		return fmt.Errorf("cpu: %d bytes for a place of %d", len(src), 4*dst.Len)
	}
	copy(backend.Bytes(values(dst)), src)
	return nil
}

// Download implements backend.Backend.
func (b *Backend) Download(dst []float32, src backend.View) error {
	if len(dst) != src.Len {
		return fmt.Errorf("cpu: download of %d values from %d", len(dst), src.Len)
	}
	if src.DType != backend.Float32 {
		b.download(dst, src)
		return nil
	}
	copy(dst, values(src))
	return nil
}

// taken is a backend.Reader. Launches are done when they return, so it copies at once.
type taken []float32

// NewReader implements backend.Backend.
func (b *Backend) NewReader(n int) (backend.Reader, error) { return make(taken, n), nil }

func (r taken) Begin(src backend.View) error {
	if src.Len != len(r) {
		return fmt.Errorf("cpu: a reader of %d values for %d", len(r), src.Len)
	}
	copy(r, values(src))
	return nil
}
func (r taken) Ready() bool              { return true }
func (r taken) Take(dst []float32) error { copy(dst, r); return nil }

// Sync implements backend.Backend; launches are done when they return.
func (b *Backend) Sync() error { return nil }

// Close stops the threads.
func (b *Backend) Close() error {
	b.pool.close()
	return nil
}

// Compile implements backend.Backend.
func (b *Backend) Compile(spec backend.Spec, operands ...backend.View) (backend.Program, error) {
	if err := backend.Check(spec, operands); err != nil {
		return backend.Program{}, err
	}
	if slices.ContainsFunc(operands, func(o backend.View) bool { return o.DType != backend.Float32 }) {
		return b.compileTyped(spec, operands)
	}
	v := make([][]float32, len(operands))
	for i, o := range operands {
		v[i] = values(o)
	}
	switch s := spec.(type) {
	case backend.FoldedMatMul:
		return b.foldedMatMul(s, floatOperands(v)), nil
	case backend.FoldedConv:
		return b.foldedConv(s, floatOperands(v)), nil
	case backend.FoldedDepthwise:
		return b.foldedDepthwise(s, floatOperands(v)), nil
	case backend.SqueezeExcite:
		return b.squeezeExcite(s, v), nil
	case backend.Linear:
		return b.linear(s, v), nil
	}
	if run := b.compile(spec, v); run != nil {
		return backend.Program{Run: run}, nil
	}
	if s, ok := spec.(backend.Fused); ok {
		return backend.CompileUnfused(b, s, operands...)
	}
	return backend.Program{}, fmt.Errorf("cpu: no kernel for %T", spec)
}

// compile compiles what has nothing to prepare; nil for what there is no kernel for.
func (b *Backend) compile(spec backend.Spec, v [][]float32) backend.Launch {
	switch s := spec.(type) {
	case backend.MatMul:
		return b.matMul(s, v)
	case backend.Conv:
		return b.conv(s, v)
	case backend.ConvGradInput:
		return b.convGradInput(s, v)
	case backend.ConvGradWeight:
		return b.convGradWeight(s, v)
	case backend.Depthwise:
		return b.normDepthwise(s.ConvShape, nil, v[0], v[1], v[2], nil)
	case backend.DepthwiseGradInput:
		return b.depthwiseGradInput(s, v)
	case backend.DepthwiseGradWeight:
		return b.depthwiseGradWeight(s, v)
	case backend.BatchStats:
		return b.batchStats(s, v)
	case backend.NormAct:
		return b.normAct(s, v)
	case backend.NormActGradSums:
		return b.normActGradSums(s, v)
	case backend.NormActGradInput:
		return b.normActGradInput(s, v)
	case backend.ColumnSum:
		return b.columnSum(s, v)
	case backend.NormMatMul:
		return b.normMatMul(s, v)
	case backend.NormDepthwise:
		return b.compileNormDepthwise(s, v)
	case backend.NormPool:
		return b.normPool(s, v)
	case backend.ProjectGrad:
		return b.projectGrad(s, v)
	case backend.GateGrads:
		return b.gateGrads(s, v)
	case backend.GatedGradSums:
		return b.gatedGradSums(s, v)
	case backend.DepthwiseGrad:
		return b.normDepthwiseGrad(s, floatOperands(v))
	case backend.ExpandGrad:
		return b.expandGrad(s, v)
	default:
		return b.compileElementwise(spec, v)
	}
}
