//go:build linux && (amd64 || arm64) && !static

package driver

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"effnet/internal/backend/cuda/emulated"

	"github.com/ebitengine/purego"
)

// fake is a set of libraries, and what controls them.
type fake struct {
	*Libraries
	fail       func(name string, code, after int32)
	wait       func(microseconds int32)
	left, blas func() int32 // handles that did not come back
}

// newFake compiles the libraries to a folder of their own, the driver with flags
// too. It skips the test where there is no gcc.
func newFake(t *testing.T, flags ...string) *fake {
	t.Helper()
	if !emulated.Available() {
		t.Skip("the driver package is not tested: install gcc and g++")
	}
	dir := t.TempDir()
	if err := emulated.Libraries(dir, nil, flags...); err != nil {
		t.Fatal(err)
	}
	f := &fake{Libraries: find([]string{dir})}
	for _, l := range []*Library{&f.Driver, &f.NVRTC, &f.CublasLt} {
		if err := l.Err(); err != nil {
			t.Fatal(err)
		}
	}
	purego.RegisterLibFunc(&f.fail, f.Driver.handle, "fake_fail")
	purego.RegisterLibFunc(&f.wait, f.Driver.handle, "fake_wait")
	purego.RegisterLibFunc(&f.left, f.Driver.handle, "fake_left")
	purego.RegisterLibFunc(&f.blas, f.CublasLt.handle, "fake_left")
	return f
}

// open opens the device, and checks at the end that all handles came back.
func (f *fake) open(t *testing.T) *Device {
	t.Helper()
	d, err := Open(f.Libraries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.Close()
		if f.left() != 0 || f.blas() != 0 {
			t.Errorf("%d handles of the driver and %d of cuBLASLt did not come back", f.left(), f.blas())
		}
	})
	return d
}

func alloc(t *testing.T, d *Device, bytes int) Pointer {
	t.Helper()
	p, err := d.Alloc(int64(bytes))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Free(p) })
	return p
}

func TestDevice(t *testing.T) {
	d := newFake(t).open(t)
	free, total, err := d.Memory()
	if d.Name() != "Fake GPU" || d.Architecture() != "sm_90" || free != 1<<30 || total != 2<<30 || err != nil {
		t.Errorf("%s, %s, %d of %d, %v", d.Name(), d.Architecture(), free, total, err)
	}
}

// smallStaging gives a device so little pinned memory that copies of a few bytes
// use it again and again. It returns its size.
func smallStaging(t *testing.T, d *Device) int {
	t.Helper()
	const n = stagingParts * 1024
	if err := errors.Join(d.staging.close(), d.staging.open(n), d.arrival.close(), d.arrival.open(n)); err != nil {
		t.Fatal(err)
	}
	return n
}

// What goes up comes down, at sizes about those of the staging memory and its parts.
func TestCopies(t *testing.T) {
	d := newFake(t).open(t)
	all := smallStaging(t, d)
	part := all / stagingParts
	for _, n := range []int{1, 5, part - 1, part, part + 1, all - 1, all, all + 1, 7*all + 13} {
		src := make([]byte, n)
		for i := range src {
			src[i] = byte(i*7 + i>>8)
		}
		p, q := alloc(t, d, n+1), alloc(t, d, n+1)
		want := bytes.Clone(src)
		if err := d.Upload(p+1, src); err != nil {
			t.Fatal(err)
		}
		clear(src) // it may change
		if err := d.Copy(q, p+1, int64(n)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		if err := d.Download(got, q); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: another content, %v", n, err)
		}
		if err := d.Clear(q, int64(n)); err != nil {
			t.Fatal(err)
		}
		if err := d.Download(got, q); err != nil || !bytes.Equal(got, make([]byte, n)) {
			t.Errorf("%d bytes: not cleared, %v", n, err)
		}
	}
}

// Many uploads of all sizes, none waited for: pinned memory is not written again
// before the copy from it is done, though it is used many times over.
func TestUploadsFollowEachOther(t *testing.T) {
	d := newFake(t).open(t)
	all := smallStaging(t, d)
	var where []Pointer
	var want [][]byte
	for i := range 500 {
		src := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1+i*37%(all/2))
		p := alloc(t, d, len(src))
		if err := d.Upload(p, src); err != nil {
			t.Fatal(err)
		}
		where, want = append(where, p), append(want, bytes.Clone(src))
		clear(src)
	}
	for i, p := range where {
		got := make([]byte, len(want[i]))
		if err := d.Download(got, p); err != nil || !bytes.Equal(got, want[i]) {
			t.Fatalf("upload %d: another content, %v", i, err)
		}
	}
}

// Staged bytes are there for what comes after, and not before: the fake library copies
// a stream's bytes when something waits for them.
func TestStage(t *testing.T) {
	d := newFake(t).open(t)
	all := smallStaging(t, d)
	n := 2*all + 3
	p, q := alloc(t, d, n), alloc(t, d, n)
	if err := errors.Join(d.Clear(p, int64(n)), d.Sync()); err != nil {
		t.Fatal(err)
	}
	src, got := bytes.Repeat([]byte{1, 2, 3}, n/3+1)[:n], make([]byte, n)
	if err := errors.Join(d.Send(p, src), d.Copy(q, p, int64(n)), d.Download(got, q)); err != nil || !bytes.Equal(got, src) {
		t.Errorf("another content, %v", err)
	}
	if err := d.Send(p, nil); err != nil {
		t.Error(err)
	}
	d.recording = true
	if err := d.Send(p, src); err == nil {
		t.Error("staged into a recording")
	}
	d.recording = false
}

// A batch that is staged waits for no copy of the other stream, which is behind all that
// is queued there.
func TestStreamsDoNotWaitForEachOther(t *testing.T) {
	fake := newFake(t)
	d := fake.open(t)
	all := smallStaging(t, d)
	p, q, src := alloc(t, d, all), alloc(t, d, all), make([]byte, all)
	if err := errors.Join(d.Sync(), d.Upload(p, src)); err != nil {
		t.Fatal(err)
	}
	fake.fail("cuEventSynchronize", 999, 0) // whoever waits
	if err := d.Send(q, src); err != nil {
		t.Errorf("a staged batch waits for an upload: %v", err)
	}
	if err := d.Send(q, src); err == nil {
		t.Error("its own memory is used again at once")
	}
	fake.fail("", 0, 0)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
}

// Time is of what each function queues, in order, and its events come back.
func TestTime(t *testing.T) {
	fake := newFake(t)
	d := fake.open(t)
	var order []int
	queue := make([]func(), 5)
	for i := range queue {
		queue[i] = func() {
			order = append(order, i)
			if i == 3 {
				time.Sleep(5 * time.Millisecond) // the fake's work is the host's
			}
		}
	}
	before := fake.left()
	seconds, err := d.Time(queue)
	if err != nil || len(seconds) != 5 || fmt.Sprint(order) != "[0 1 2 3 4]" {
		t.Fatalf("%v, %v, in order %v", seconds, err, order)
	}
	for i, s := range seconds {
		if s < 0 || i == 3 && s < 0.005 {
			t.Errorf("%d took %v s", i, s)
		}
	}
	fake.fail("cuEventElapsedTime", 999, 2)
	if _, err := d.Time(queue); err == nil {
		t.Error("a time that is not known is no error")
	}
	if fake.left() != before {
		t.Errorf("%d events did not come back", fake.left()-before)
	}
}

// A Reader has the bytes that were there when it began, while later work continues.
func TestReader(t *testing.T) {
	d := newFake(t).open(t)
	r, err := d.NewReader(5)
	if err != nil {
		t.Fatal(err)
	}
	p, got := alloc(t, d, 5), make([]byte, 5)
	for round := range 3 {
		want := bytes.Repeat([]byte{byte(round + 1)}, 5)
		if err := errors.Join(d.Upload(p, want), r.Begin(p)); err != nil {
			t.Fatal(err)
		}
		if r.Ready() {
			t.Error("it is ready before anything waited")
		}
		if err := d.Upload(p, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		if err := r.Take(got); err != nil || !bytes.Equal(got, want) || !r.Ready() {
			t.Errorf("round %d: %v, %v, ready: %v", round, got, err, r.Ready())
		}
	}
	d.recording = true
	if err := r.Begin(p); err == nil {
		t.Error("read from a recording")
	}
	d.recording = false
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// A context is current on a thread, and a goroutine that waits may continue on another.
func TestThreads(t *testing.T) {
	fake := newFake(t)
	d := fake.open(t)
	fake.wait(200)
	done := make(chan struct{})
	var busy sync.WaitGroup
	defer busy.Wait()
	defer close(done)
	for range 2 * runtime.GOMAXPROCS(0) { // they take the threads' turns
		busy.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					runtime.Gosched()
				}
			}
		})
	}
	p := alloc(t, d, 4)
	for range 200 {
		if err := d.Download(make([]byte, 4), p); err != nil {
			t.Fatal(err)
		}
	}
}

// launch adds v to n values with the fake's kernel.
func launch(d *Device, f Function, p Pointer, v float32, n int32) error {
	return d.Launch(f, [3]uint32{2, 3, 4}, [3]uint32{5, 6, 7}, 8, []unsafe.Pointer{unsafe.Pointer(&p), unsafe.Pointer(&v), unsafe.Pointer(&n)})
}

func floats(t *testing.T, d *Device, p Pointer, n int) []float32 {
	t.Helper()
	b := make([]byte, 4*n)
	if err := d.Download(b, p); err != nil {
		t.Fatal(err)
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), n)
}

func TestKernelsAndGraphs(t *testing.T) {
	fake := newFake(t)
	d := fake.open(t)
	image, err := Compile(fake.Libraries, "k.cu", "add scale", "--gpu-architecture=sm_90")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Load(image); err != nil {
		t.Fatal(err)
	}
	f, err := d.Function("scale")
	if err != nil {
		t.Fatal(err)
	}
	p := alloc(t, d, 12)
	if err := d.Clear(p, 12); err != nil {
		t.Fatal(err)
	}
	if err := launch(d, f, p, 1.5, 3); err != nil {
		t.Fatal(err)
	}
	v, n := float32(0), int32(0)
	args := []unsafe.Pointer{unsafe.Pointer(&p), unsafe.Pointer(&v), unsafe.Pointer(&n)}
	if allocs := testing.AllocsPerRun(100, func() {
		if err := d.Launch(f, [3]uint32{2, 3, 4}, [3]uint32{5, 6, 7}, 8, args); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("a launch allocates %v times", allocs)
	}
	g, err := d.Record(func() error {
		for _, v := range []float32{1, 10} {
			if err := launch(d, f, p, v, 2); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(floats(t, d, p, 3)); got != "[1.5 1.5 1.5]" {
		t.Errorf("recording did %s", got)
	}
	for range 2 {
		if err := g.Launch(); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(floats(t, d, p, 3)); got != "[23.5 23.5 1.5]" {
		t.Errorf("two launches of a graph give %s", got)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	for what, run := range map[string]func() error{
		"upload":   func() error { return d.Upload(p, []byte{1}) },
		"download": func() error { return d.Download([]byte{1}, p) },
		"wait":     d.Sync,
	} {
		if _, err := d.Record(run); err == nil || err.Error() != "cannot "+what+" while a graph is recorded" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := d.Function("nothing"); err == nil || err.Error() != "no kernel nothing is loaded" {
		t.Errorf("a kernel that is not there: %v", err)
	}
	if err := d.Load([]byte("text")); err == nil || !strings.HasPrefix(err.Error(), "cuModuleLoadData: CUDA_ERROR_INVALID_IMAGE") {
		t.Errorf("a bad image: %v", err)
	}
}

// Row-major products by a column-major library.
func TestMatmul(t *testing.T) {
	d := newFake(t).open(t)
	for i := range 32 {
		m := Matmul{M: 3, N: 4, K: 5, TransA: i&1 > 0, TransB: i&2 > 0, Bias: i&4 > 0, Residual: i&16 > 0, Align: 4, Precision: []Precision{FP32, TF32, BF16, FP32}[i>>2&3]}
		if i&8 > 0 {
			m.Align, m.StrideA = 16, 8
		}
		values := func(n int) []float32 {
			v := make([]float32, n)
			for k := range v {
				v[k] = float32((k*7+i)%11) - 5
			}
			return v
		}
		a, b, bias, shortcut := values(m.M*m.K), values(m.K*m.N), values(m.N), values(m.M*m.N)
		place := func(v []float32) Pointer {
			p := alloc(t, d, 4*len(v))
			if err := errors.Join(d.Upload(p, unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))), d.Sync()); err != nil {
				t.Fatal(err)
			}
			return p
		}
		c, from := alloc(t, d, 4*m.M*m.N), place(shortcut)
		if i&3 == 3 { // the sum takes the shortcut's place
			c = from
		}
		product, err := d.Matmul(m)
		if err != nil {
			t.Fatal(err)
		}
		inMemory, columns := a, m.K
		if m.TransA {
			columns = m.M
		}
		if m.StrideA > 0 {
			inMemory = strided(a, columns, m.StrideA)
		}
		if err := product.Run(place(inMemory), place(b), place(bias), from, c); err != nil {
			t.Fatal(err)
		}
		got := floats(t, d, c, m.M*m.N)
		for r := range m.M {
			for s := range m.N {
				want := float32(0)
				if m.Bias {
					want = bias[s]
				}
				if m.Residual {
					want += shortcut[r*m.N+s]
				}
				for k := range m.K {
					x, y := a[r*m.K+k], b[k*m.N+s]
					if m.TransA {
						x = a[k*m.M+r]
					}
					if m.TransB {
						y = b[s*m.K+k]
					}
					want += x * y
				}
				if math.Abs(float64(got[r*m.N+s]-want)) > 1e-5 {
					t.Fatalf("%+v: [%d,%d] is %v, want %v", m, r, s, got[r*m.N+s], want)
				}
			}
		}
		if err := product.Close(); err != nil {
			t.Fatal(err)
		}
	}
	halfProduct(t, d)
	if _, err := d.Matmul(Matmul{M: 1, N: 1, K: 1, Align: 4, Precision: "fp8"}); err == nil {
		t.Error("fp8 is allowed")
	}
	if _, err := d.Matmul(Matmul{M: 1, N: 77, K: 1, Align: 4, Precision: FP32}); err == nil || !strings.Contains(err.Error(), "cublasLtMatmulAlgoGetHeuristic: CUBLAS_STATUS_INTERNAL_ERROR") {
		t.Errorf("an algorithm that is none: %v", err)
	}
}

// strided is a matrix of rows and columns whose rows begin stride values apart, NaN
// between them.
func strided(v []float32, columns, stride int) []float32 {
	var all []float32
	for len(v) > 0 {
		all = append(all, v[:columns]...)
		v = v[columns:]
		for len(v) > 0 && len(all)%stride > 0 {
			all = append(all, float32(math.NaN()))
		}
	}
	return all
}

// Where cuBLASLt has no algorithm as a product is asked for, there may be one that
// multiplies in float32, or for other addresses; the fake's results of 78 to 81 columns
// are such.
func TestProductsThatFewAlgorithmsDo(t *testing.T) {
	d := newFake(t).open(t)
	for _, in := range []Type{Float32, BFloat16} {
		for columns, bias := range map[int]bool{78: true, 79: true, 80: false} {
			product, err := d.Matmul(Matmul{M: 2, N: columns, K: 3, Bias: bias, In: in, Align: 16, Precision: BF16})
			if err != nil {
				t.Errorf("%d columns: %v", columns, err)
				continue
			}
			if err := product.Close(); err != nil {
				t.Error(err)
			}
		}
		for columns, bias := range map[int]bool{80: true, 81: false} {
			_, err := d.Matmul(Matmul{M: 2, N: columns, K: 3, Bias: bias, In: in, Align: 16, Precision: BF16})
			var none *NoAlgorithm
			if !errors.As(err, &none) || none.N != columns || none.Align != 16 {
				t.Errorf("%d columns: %v", columns, err)
			}
		}
	}
}

// Each of a product's algorithms can be kept and used again, and one that the library does
// not know is none. Which is fast is found by the device's clock.
func TestAlgorithms(t *testing.T) {
	d := newFake(t).open(t)
	m := Matmul{M: 2, N: 3, K: 4, Bias: true, Align: 16, Precision: FP32}
	for most, want := range map[int]int{1: 1, 2: 2, 8: 3} {
		if all, err := d.Algorithms(m, most); err != nil || len(all) != want {
			t.Errorf("%d algorithms of %d: %v", len(all), most, err)
		}
	}
	all, err := d.Algorithms(m, 8)
	if err != nil {
		t.Fatal(err)
	}
	memory := alloc(t, d, 1024)
	if err := d.Clear(memory, 1024); err != nil {
		t.Fatal(err)
	}
	var queue []func()
	for _, by := range all {
		p, err := d.MatmulBy(m, by)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		queue = append(queue, func() { err = errors.Join(err, p.Run(memory, memory, memory, memory, memory+512)) })
	}
	seconds, timeErr := d.Time(queue)
	if err = errors.Join(err, timeErr); err != nil || seconds[2] > seconds[0] || seconds[0] > seconds[1] {
		t.Errorf("algorithms take %v s: %v", seconds, err)
	}
	all[0].Words[7] = 0
	var none *NoAlgorithm
	if _, err := d.MatmulBy(m, all[0]); !errors.As(err, &none) {
		t.Errorf("a changed algorithm: %v", err)
	}
	if got := d.Products(); got != "cuBLASLt 130100" {
		t.Errorf("products by %s", got)
	}
}

// Libraries before 12.1 take fewer rows.
func TestMostRows(t *testing.T) {
	for flag, want := range map[string]int{"-DBLAS_VERSION=120003": 65535 * 32, "-DBLAS_VERSION=120100": 0} {
		if got := newFake(t, flag).open(t).MostRows(); got != want {
			t.Errorf("%s: %d rows, want %d", flag, got, want)
		}
	}
}

// halfProduct multiplies bf16 matrices, whose values are whole numbers; a bf16 result
// takes a bias and a shortcut in bf16.
func halfProduct(t *testing.T, d *Device) {
	t.Helper()
	half := func(v ...float32) Pointer {
		p, b := alloc(t, d, 2*len(v)), make([]byte, 2*len(v))
		for i, x := range v {
			binary.LittleEndian.PutUint16(b[2*i:], uint16(math.Float32bits(x)>>16))
		}
		if err := errors.Join(d.Upload(p, b), d.Sync()); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, out := range []bool{false, true} {
		result := map[bool]Type{true: BFloat16}[out]
		product, err := d.Matmul(Matmul{M: 2, N: 2, K: 3, In: BFloat16, Out: result, Bias: out, Residual: out, Align: 4, Precision: BF16})
		if err != nil {
			t.Fatal(err)
		}
		c := alloc(t, d, 16)
		if err := product.Run(half(1, 2, 3, 4, 5, 6), half(1, 0, 0, 1, 1, 1), half(100, 200), half(10, 20, 30, 40), c); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(floats(t, d, c, 4)); !out && got != "[4 5 10 11]" {
			t.Errorf("a product of halves is %s", got)
		}
		raw := make([]byte, 8)
		if err := d.Download(raw, c); err != nil {
			t.Fatal(err)
		}
		for i, want := range []float32{114, 225, 140, 251} {
			if got := math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16); out && got != want {
				t.Errorf("value %d of a product of halves as halves, bias and shortcut is %v, want %v", i, got, want)
			}
		}
		if err := product.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever fails is named, and nothing is left behind.
func TestFailures(t *testing.T) {
	fake := newFake(t)
	for _, c := range []struct {
		name  string
		code  int32
		after int32
		want  string
	}{
		{"cuInit", 100, 0, "the driver finds no GPU"},
		{"cuDevicePrimaryCtxRetain", 2, 0, "cuDevicePrimaryCtxRetain: CUDA_ERROR_OUT_OF_MEMORY"},
		{"cuStreamCreate", 2, 0, "cuStreamCreate: CUDA_ERROR_OUT_OF_MEMORY"},
		{"cuMemHostAlloc", 2, 0, "cuMemHostAlloc: CUDA_ERROR_OUT_OF_MEMORY"},
		{"cuEventCreate", 999, 9, "cuEventCreate: error 999"},
		{"cuMemAlloc_v2", 2, 0, "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY"},
	} {
		fake.fail(c.name, c.code, c.after)
		if _, err := Open(fake.Libraries); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
		fake.fail("", 0, 0) // a lost device is found again
		if fake.left() != 0 || fake.blas() != 0 {
			t.Fatalf("%s: %d and %d handles are left", c.name, fake.left(), fake.blas())
		}
	}
	d := fake.open(t)
	if _, err := d.Alloc(2 << 30); err == nil || err.Error() != "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY" {
		t.Errorf("too much memory: %v", err)
	}
	p := alloc(t, d, 4)
	fake.fail("cuStreamEndCapture", 719, 0)
	if _, err := d.Record(func() error { return nil }); err == nil || !strings.Contains(err.Error(), "cuStreamEndCapture: CUDA_ERROR_LAUNCH_FAILED") {
		t.Errorf("a recording that fails: %v", err)
	}
	fake.fail("cuStreamSynchronize", 700, 0)
	if err := d.Sync(); err == nil || !strings.HasPrefix(err.Error(), "cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (the GPU's work was lost") {
		t.Errorf("a device that is lost: %v", err)
	}
	if err := d.Upload(p, []byte{1, 2}); err == nil || !strings.Contains(err.Error(), "CUDA_ERROR_ILLEGAL_ADDRESS") {
		t.Errorf("after that: %v", err)
	}
}

func TestOldDriversAndMissingFunctions(t *testing.T) {
	if _, err := Open(newFake(t, "-DVERSION=11080").Libraries); err == nil || !strings.Contains(err.Error(), "the driver is for CUDA 11.8: 12.0 or later is needed") {
		t.Errorf("an old driver: %v", err)
	}
	if _, err := Open(newFake(t, "-DWITHOUT_cuGraphLaunch").Libraries); err == nil || !strings.Contains(err.Error(), "libcuda.so.1 has no cuGraphLaunch: CUDA 12.0 or later is needed") {
		t.Errorf("a driver without a function: %v", err)
	}
	if l := newFake(t, "-DVERSION=12040"); strings.Contains(strings.Join(l.NVRTC.Files, " "), ".13") {
		t.Errorf("for a driver of CUDA 12, %v are looked for", l.NVRTC.Files)
	}
}

func TestNoLibraries(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "libcuda.so.1"), []byte("text"), 0o666); err != nil {
		t.Fatal(err)
	}
	l := find([]string{dir, filepath.Join(dir, "none")})
	_, err := Open(l)
	for _, want := range []string{"libcuda.so.1 not found (could not open " + filepath.Join(dir, "libcuda.so.1"), "install NVIDIA's driver", LibrariesEnv} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if where, want := l.Driver.Where(), "looked in "+dir+", "+filepath.Join(dir, "none"); where != want {
		t.Errorf("%s, want %s", where, want)
	}
}

func TestCompile(t *testing.T) {
	l := newFake(t).Libraries
	if image, err := Compile(l, "k.cu", "x", "--gpu-architecture=sm_90"); err != nil || string(image) != "kernels:x" {
		t.Errorf("%q, %v", image, err)
	}
	if image, err := Compile(l, "k.cu", "x", "--gpu-architecture=compute_90"); err != nil || string(image) != "ptx\x00" {
		t.Errorf("%q, %v", image, err)
	}
	if _, err := Compile(l, "k.cu", "#error", "--gpu-architecture=sm_90"); err == nil || err.Error() != "k.cu: nvrtcCompileProgram: NVRTC_ERROR_COMPILATION\nline 1: #error" {
		t.Errorf("%v", err)
	}
	if _, err := Compile(l, "k.cu", "x"); err == nil {
		t.Error("no architecture is allowed")
	}
}

// NVIDIA's own libraries, where there are any, have every function that is used.
func TestRealLibraries(t *testing.T) {
	l := Find()
	for _, c := range []struct {
		library *Library
		bind    func(*Library) error
	}{
		{&l.Driver, func(l *Library) error { _, err := bindCUDA(l); return err }},
		{&l.NVRTC, func(l *Library) error { _, err := bindNVRTC(l); return err }},
		{&l.CublasLt, func(l *Library) error { _, err := bindCublasLt(l); return err }},
	} {
		t.Run(c.library.Name, func(t *testing.T) {
			if err := c.library.Err(); err != nil {
				t.Skipf("%s is not tested: %v", c.library.Name, err)
			}
			if err := c.bind(c.library); err != nil {
				t.Error(err)
			}
			t.Log(c.library.Path, c.library.Version)
		})
	}
}

// The tag "static" omits what makes a binary need a loader.
func TestStatic(t *testing.T) {
	for tags, want := range map[string]bool{"": true, "static": false} {
		file := filepath.Join(t.TempDir(), "effnet")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", tags, "-o", file, "effnet/cmd/effnet")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		f, err := elf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		interpreter := false
		for _, p := range f.Progs {
			interpreter = interpreter || p.Type == elf.PT_INTERP
		}
		f.Close()
		if interpreter != want {
			t.Errorf("tags %q: needs a loader is %v, want %v", tags, interpreter, want)
		}
	}
}
