package cuda

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"effnet/internal/backend/cuda/driver"

	"github.com/ebitengine/purego"
)

// emulation is a device on the processor: the kernels as g++ compiles them, in
// ordinary memory.
type emulation struct {
	memory map[driver.Pointer][]byte
	names  []string
	launch func(kernel int32, grid, block *uint32, args *unsafe.Pointer)
	limit  int64                   // bytes of memory
	refuse func(name string) error // of a launch; nil for none
	leaks  int                     // products and graphs that are not closed
}

// threads of a block here: fibers are slow, and kernels must work with any number
// that is a multiple of a warp's.
const emulatedThreads = 64

var (
	build     sync.Once
	library   uintptr
	kernels   []string
	buildFail error
)

// newEmulation compiles the kernels, once. It skips the test where there is no g++.
func newEmulation(t testing.TB) *emulation {
	t.Helper()
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no g++: the kernels of CUDA are not run (install g++)")
	}
	build.Do(func() { library, kernels, buildFail = buildKernels() })
	if buildFail != nil {
		t.Fatal(buildFail)
	}
	e := &emulation{memory: map[driver.Pointer][]byte{}, names: kernels, limit: 4 << 30}
	purego.RegisterLibFunc(&e.launch, library, "launch")
	return e
}

var (
	signature = regexp.MustCompile(`extern "C" void kernel_(\w+)\(([^)]*)\)`)
	parameter = regexp.MustCompile(`^(.*?)(\w+)$`)
)

// buildKernels compiles the kernels with a function that launches each by its
// number. What was compiled before is in the temporary folder.
func buildKernels() (library uintptr, names []string, err error) {
	text, err := source()
	if err != nil {
		return 0, nil, err
	}
	header, err := os.ReadFile("testdata/emulate.h")
	if err != nil {
		return 0, nil, err
	}
	text = strings.ReplaceAll(text, "extern \"C\" __global__ void ", "extern \"C\" void kernel_") // names that C has too
	var glue, table strings.Builder
	for _, m := range signature.FindAllStringSubmatchIndex(text, -1) {
		name := text[m[2]:m[3]]
		var args []string
		for i, p := range strings.Split(text[m[4]:m[5]], ",") {
			kind := parameter.FindStringSubmatch(strings.TrimSpace(p))[1]
			args = append(args, fmt.Sprintf("*(%s*)a[%d]", strings.TrimSpace(kind), i))
		}
		fmt.Fprintf(&glue, "static void call_%s(void** a) { kernel_%s(%s); }\n", name, name, strings.Join(args, ", "))
		fmt.Fprintf(&table, "{call_%s, %v},", name, waits(text, m[1]))
		names = append(names, name)
	}
	all := string(header) + text + glue.String() + "static struct { void (*call)(void**); bool waits; } table[] = {" + table.String() + "};\n" +
		`extern "C" void launch(int k, const unsigned* grid, const unsigned* block, void** args) { run(table[k].call, table[k].waits, grid, block, args); }`
	sum := sha256.Sum256([]byte(all))
	object := filepath.Join(os.TempDir(), "effnet-emulation-"+hex.EncodeToString(sum[:8])+".so")
	if _, err := os.Stat(object); err != nil {
		cmd := exec.CommandContext(context.Background(), "g++", "-x", "c++", "-std=c++17", "-O2", "-fPIC", "-shared", "-U_FORTIFY_SOURCE", "-ffp-contract=off", "-w", "-o", object+".new", "-")
		cmd.Stdin = strings.NewReader(all)
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, nil, fmt.Errorf("g++: %w\n%s", err, out)
		}
		if err := os.Rename(object+".new", object); err != nil {
			return 0, nil, err
		}
	}
	library, err = purego.Dlopen(object, purego.RTLD_NOW)
	return library, names, err
}

// waits tells whether the kernel whose signature ends there may wait for others.
func waits(text string, at int) bool {
	end := strings.Index(text[at:], "\n}\n")
	return regexp.MustCompile(`reduce<|columnTotals|joinColumns|blockTotal|rowSums|__syncthreads|depthwiseTaps`).MatchString(text[at:][:end])
}

func (e *emulation) Name() string         { return "emulation" }
func (e *emulation) Architecture() string { return "none" }
func (e *emulation) Load([]byte) error    { return nil }
func (e *emulation) Sync() error          { return nil }
func (e *emulation) Close() error {
	if len(e.memory) > 0 || e.leaks != 0 {
		return fmt.Errorf("%d allocations, %d products and graphs are left", len(e.memory), e.leaks)
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

func (e *emulation) Download(dst []byte, src driver.Pointer) error {
	m, err := e.bytes(src, int64(len(dst)))
	copy(dst, m)
	return err
}

func (e *emulation) Clear(dst driver.Pointer, bytes int64) error {
	m, err := e.bytes(dst, bytes)
	clear(m)
	return err
}

func (e *emulation) Copy(dst, src driver.Pointer, bytes int64) error {
	from, err := e.bytes(src, bytes)
	if err != nil {
		return err
	}
	return e.Upload(dst, slices.Clone(from))
}

func (e *emulation) Function(name string) (driver.Function, error) {
	i := slices.Index(e.names, name)
	if i < 0 {
		return 0, fmt.Errorf("no kernel %s", name)
	}
	return driver.Function(i), nil
}

func (e *emulation) Launch(f driver.Function, grid, block [3]uint32, shared uint32, args []unsafe.Pointer) error {
	if e.refuse != nil {
		if err := e.refuse(e.names[f]); err != nil {
			return err
		}
	}
	if threads := block[0] * block[1] * block[2]; threads == 0 || threads > maxThreads || grid[0]*grid[1]*grid[2] == 0 || grid[1] > 65535 || grid[2] > 65535 || shared != 0 {
		return fmt.Errorf("%s: a launch of %v blocks of %v threads", e.names[f], grid, block)
	}
	e.launch(int32(f), &grid[0], &block[0], &args[0])
	return nil
}

// product is Matmul by plain loops.
type product struct {
	e *emulation
	m driver.Matmul
}

func (e *emulation) Matmul(m driver.Matmul) (driver.Product, error) {
	e.leaks++
	return product{e, m}, nil
}

func (p product) Close() error { p.e.leaks--; return nil }

func (p product) Run(a, b, bias, c driver.Pointer) error {
	m := p.m
	x, err1 := p.e.floats(a, m.M*m.K)
	y, err2 := p.e.floats(b, m.K*m.N)
	z, err3 := p.e.floats(c, m.M*m.N)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	add := make([]float32, m.N)
	if m.Bias {
		var err error
		if add, err = p.e.floats(bias, m.N); err != nil {
			return err
		}
	}
	for i := range m.M {
		for j := range m.N {
			sum := float64(add[j])
			for k := range m.K {
				u, v := i*m.K+k, k*m.N+j
				if m.TransA {
					u = k*m.M + i
				}
				if m.TransB {
					v = j*m.K + k
				}
				sum += float64(x[u]) * float64(y[v])
			}
			z[i*m.N+j] = float32(sum)
		}
	}
	return nil
}

func (e *emulation) floats(p driver.Pointer, n int) ([]float32, error) {
	m, err := e.bytes(p, 4*int64(n))
	if err != nil || n == 0 {
		return nil, err
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&m[0])), n), nil
}

// recording runs again what was recorded.
type recording struct {
	e   *emulation
	run func() error
}

func (e *emulation) Record(run func() error) (driver.Graph, error) {
	e.leaks++
	return recording{e, run}, nil
}

func (r recording) Launch() error { return r.run() }
func (r recording) Close() error  { r.e.leaks--; return nil }

// emulated is a Backend on it.
func emulated(t testing.TB) (*Backend, *emulation) {
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
