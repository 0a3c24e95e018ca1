package cuda

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
	"effnet/internal/backend/cuda/emulated"
)

// emulation is a device on the processor: the kernels as g++ compiles them, in
// ordinary memory.
type emulation struct {
	memory  map[driver.Pointer][]byte
	kernels []compiled
	limit   int64                    // bytes of memory
	refuse  func(name string) error  // of a launch; nil for none
	lacks   func(driver.Matmul) bool // algorithms; nil for none
	rows    int                      // of a product; 0 for any
	late    error                    // of Sync
	leaks   int                      // products, graphs and readers that are not closed
	graph   *recording               // that is recorded; nil for none

	library string    // of products
	costs   []float64 // of a product's algorithms, in seconds; nil for one algorithm
	spent   float64   // by products, in seconds
	asked   int       // algorithms of how many products
}

// threads of a block here: fibers are slow, and kernels must work with any number
// that is a multiple of a warp's.
const emulatedThreads = 64

// compiled is a kernel, by its number in a library.
type compiled struct {
	name   string
	number int32
	launch func(kernel int32, grid, block *uint32, args *unsafe.Pointer)
}

var (
	build     sync.Once
	kernels   []compiled
	buildFail error
)

// newEmulation compiles the kernels, once. It skips the test where there is no g++.
func newEmulation(t testing.TB) *emulation {
	t.Helper()
	if !emulated.Available() {
		t.Skip("the kernels of CUDA are not run: install gcc and g++")
	}
	build.Do(func() {
		sources, err := Sources()
		for _, text := range sources {
			if err == nil {
				err = addKernels(text)
			}
		}
		buildFail = err
	})
	if buildFail != nil {
		t.Fatal(buildFail)
	}
	return &emulation{memory: map[driver.Pointer][]byte{}, kernels: kernels, limit: 4 << 30}
}

func (e *emulation) Name() string         { return "emulation" }
func (e *emulation) Architecture() string { return "none" }
func (e *emulation) Load([]byte) error    { return nil }
func (e *emulation) Sync() error          { return e.late }
func (e *emulation) Close() error {
	if len(e.memory) > 0 || e.leaks != 0 {
		return fmt.Errorf("%d allocations, %d products, graphs and readers are left", len(e.memory), e.leaks)
	}
	return nil
}

func (e *emulation) Memory() (free, total int64, err error) {
	free = e.limit
	for _, m := range e.memory {
		free -= int64(len(m))
	}
	return free, e.limit, nil
}

func (e *emulation) Alloc(bytes int64) (driver.Pointer, error) {
	if free, _, _ := e.Memory(); bytes > free {
		return 0, errors.New("out of memory")
	}
	const align = 256
	raw := make([]byte, bytes+align)
	skip := align - int(uintptr(unsafe.Pointer(unsafe.SliceData(raw)))%align)
	p := driver.Pointer(uintptr(unsafe.Pointer(&raw[skip])))
	for i := range raw {
		raw[i] = 0xff // NaNs
	}
	e.memory[p] = raw
	return p, nil
}

func (e *emulation) Free(p driver.Pointer) error {
	if e.memory[p] == nil {
		return fmt.Errorf("no memory begins at %x", p)
	}
	delete(e.memory, p)
	return nil
}

// bytes is memory at an address.
func (e *emulation) bytes(p driver.Pointer, n int64) ([]byte, error) {
	for at, m := range e.memory {
		end := driver.Pointer(uintptr(unsafe.Pointer(unsafe.SliceData(m)))) + driver.Pointer(len(m))
		if p >= at && p+driver.Pointer(n) <= end {
			base := at - driver.Pointer(uintptr(unsafe.Pointer(unsafe.SliceData(m))))
			return m[base+p-at:][:n], nil
		}
	}
	return nil, fmt.Errorf("%d bytes at %x are not allocated", n, p)
}

func (e *emulation) Upload(dst driver.Pointer, src []byte) error {
	m, err := e.bytes(dst, int64(len(src)))
	copy(m, src)
	return err
}

func (e *emulation) Send(dst driver.Pointer, src []byte) error { return e.Upload(dst, src) }

// slowReader is a driver.Reader that is never ready before it is asked for.
type slowReader struct {
	e     *emulation
	bytes []byte
	ready *bool
}

func (e *emulation) NewReader(bytes int) (driver.Reader, error) {
	e.leaks++
	return slowReader{e, make([]byte, bytes), new(bool)}, nil
}

func (r slowReader) Begin(src driver.Pointer) error {
	*r.ready = false
	return r.e.Download(r.bytes, src)
}
func (r slowReader) Ready() bool { return *r.ready }
func (r slowReader) Take(dst []byte) error {
	*r.ready = true
	copy(dst, r.bytes)
	return nil
}
func (r slowReader) Close() error { r.e.leaks--; return nil }

func (e *emulation) Download(dst []byte, src driver.Pointer) error {
	m, err := e.bytes(src, int64(len(dst)))
	copy(dst, m)
	return err
}

func (e *emulation) Clear(dst driver.Pointer, bytes int64) error {
	return e.queue(func() error {
		m, err := e.bytes(dst, bytes)
		clear(m)
		return err
	})
}

func (e *emulation) Copy(dst, src driver.Pointer, bytes int64) error {
	return e.queue(func() error {
		from, err := e.bytes(src, bytes)
		if err != nil {
			return err
		}
		return e.Upload(dst, slices.Clone(from))
	})
}

func (e *emulation) Function(name string) (driver.Function, error) {
	i := slices.IndexFunc(e.kernels, func(k compiled) bool { return k.name == name })
	if i < 0 {
		return 0, fmt.Errorf("no kernel %s", name)
	}
	return driver.Function(i), nil
}

func (e *emulation) Launch(f driver.Function, grid, block [3]uint32, shared uint32, args []unsafe.Pointer) error {
	if e.refuse != nil {
		if err := e.refuse(e.kernels[f].name); err != nil {
			return err
		}
	}
	if threads := block[0] * block[1] * block[2]; threads == 0 || int(threads) > Threads(e.kernels[f].name) || grid[0]*grid[1]*grid[2] == 0 || grid[1] > 65535 || grid[2] > 65535 || block[2] > 64 || shared != 0 {
		return fmt.Errorf("%s: a launch of %v blocks of %v threads", e.kernels[f].name, grid, block)
	}
	k := e.kernels[f]
	if e.graph != nil { // it has the arguments as they are now
		now := make([]unsafe.Pointer, len(args))
		for i, arg := range args {
			value := *(*shape)(arg)
			now[i] = unsafe.Pointer(&value)
		}
		args = now
	}
	return e.queue(func() error {
		k.launch(k.number, &grid[0], &block[0], &args[0])
		return nil
	})
}

// product is Matmul by plain loops.
type product struct {
	e    *emulation
	m    driver.Matmul
	cost float64
}

func (e *emulation) MostRows() int { return e.rows }

func (e *emulation) Matmul(m driver.Matmul) (driver.Product, error) {
	if e.lacks != nil && e.lacks(m) {
		return nil, &driver.NoAlgorithm{Matmul: m}
	}
	if e.rows > 0 && m.M > e.rows && !m.TransA {
		return nil, fmt.Errorf("a product of %d rows", m.M)
	}
	e.leaks++
	return product{e: e, m: m}, nil
}

func (e *emulation) Products() string { return e.library }

// Algorithms are told apart by their first word.
func (e *emulation) Algorithms(m driver.Matmul, most int) (all []driver.Algorithm, err error) {
	if e.lacks != nil && e.lacks(m) {
		return nil, &driver.NoAlgorithm{Matmul: m}
	}
	e.asked++
	for i := range min(max(len(e.costs), 1), most) {
		all = append(all, driver.Algorithm{Words: [8]uint64{uint64(i)}})
	}
	return all, nil
}

func (e *emulation) MatmulBy(m driver.Matmul, by driver.Algorithm) (driver.Product, error) {
	if by.Words[0] >= uint64(len(e.costs)) {
		return nil, &driver.NoAlgorithm{Matmul: m}
	}
	p, err := e.Matmul(m)
	if err == nil {
		p = product{e, m, e.costs[by.Words[0]]}
	}
	return p, err
}

func (p product) Close() error { p.e.leaks--; return nil }

func (p product) Run(a, b, bias, shortcut, c driver.Pointer) error {
	return p.e.queue(func() error { return p.multiply(a, b, bias, shortcut, c) })
}

func (p product) multiply(a, b, bias, shortcut, c driver.Pointer) error {
	p.e.spent += p.cost
	m := p.m
	rows, stride := m.M, max(m.K, m.StrideA)
	if m.TransA {
		rows, stride = m.K, max(m.M, m.StrideA)
	}
	last := m.K // values of A's last row
	if m.TransA {
		last = m.M
	}
	x, err1 := p.e.factor(a, (rows-1)*stride+last, m.In)
	y, err2 := p.e.factor(b, m.K*m.N, m.In)
	add, more := make([]float32, m.N), make([]float32, m.M*m.N)
	var err3, err4 error
	if m.Bias {
		add, err3 = p.e.factor(bias, m.N, m.Out)
	}
	if m.Residual {
		more, err4 = p.e.factor(shortcut, m.M*m.N, m.Out)
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	z := make([]float32, m.M*m.N)
	for i := range m.M {
		for j := range m.N {
			sum := float64(add[j]) + float64(more[i*m.N+j])
			for k := range m.K {
				u, v := i*stride+k, k*m.N+j
				if m.TransA {
					u = k*stride + i
				}
				if m.TransB {
					v = j*m.K + k
				}
				sum += float64(x[u]) * float64(y[v])
			}
			z[i*m.N+j] = float32(sum)
		}
	}
	return p.e.Upload(c, kinds[dtypeOf(m.Out)].encode(z))
}

// factor reads a matrix.
func (e *emulation) factor(p driver.Pointer, n int, t driver.Type) ([]float32, error) {
	dtype := dtypeOf(t)
	raw, err := e.bytes(p, int64(dtype.Size()*n))
	if err != nil {
		return nil, err
	}
	v := make([]float32, n)
	if decode := kinds[dtype].decode; decode != nil {
		decode(v, raw)
	} else {
		copy(backend.Bytes(v), raw)
	}
	return v, nil
}

// dtypeOf is the type of a matrix's values.
func dtypeOf(matrix driver.Type) backend.DType {
	for t, kind := range kinds {
		if kind.matrix == matrix {
			return backend.DType(t)
		}
	}
	panic(fmt.Sprintf("no values are %v", matrix))
}

// recording does again what was queued while it was recorded.
type recording struct {
	e   *emulation
	all []func() error
}

// queue does something, or records it.
func (e *emulation) queue(do func() error) error {
	if e.graph != nil {
		e.graph.all = append(e.graph.all, do)
		return nil
	}
	return do()
}

// Time says that everything but products takes a microsecond.
func (e *emulation) Time(queue []func()) ([]float64, error) {
	seconds := make([]float64, len(queue))
	for i, run := range queue {
		before := e.spent
		run()
		seconds[i] = 1e-6 + e.spent - before
	}
	return seconds, nil
}

func (e *emulation) Record(run func() error) (driver.Graph, error) {
	e.leaks++
	g := &recording{e: e}
	e.graph = g
	defer func() { e.graph = nil }()
	return g, run()
}

func (r *recording) Launch() error {
	for _, do := range r.all {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}
func (r *recording) Close() error { r.e.leaks--; return nil }

// onCPU is a Backend on it.
func onCPU(t testing.TB) (*Backend, *emulation) {
	e := newEmulation(t)
	b := newBackend(e, driver.FP32)
	b.threads = emulatedThreads
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, e
}
