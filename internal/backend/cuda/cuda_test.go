package cuda

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
)

func TestBackend(t *testing.T) {
	b, _ := onCPU(t)
	backendtest.Test(t, 2e-5, b)
}

// Kernels do not depend on how many threads a block has.
func TestBlocksOfAnySize(t *testing.T) {
	b, _ := onCPU(t)
	for i, spec := range backendtest.Specs() {
		if i%7 > 0 { // fibers take their time
			continue
		}
		want := backendtest.Operands(spec, uint64(i))
		b.threads = maxThreads
		got, err := backendtest.Run(b, spec, want)
		if err != nil {
			t.Fatalf("%T%+v: %v", spec, spec, err)
		}
		if err := backend.Reference(spec, want); err != nil {
			t.Fatal(err)
		}
		for o := range want {
			if e := backendtest.RelError(got[o], want[o]); !(e <= 2e-5) {
				t.Errorf("%T%+v: operand %d: relative error %.2g", spec, spec, o, e)
			}
		}
	}
}

// Runs give the same bits, whatever the order of blocks and threads: the emulation's
// changes with each launch, so of these three runs one goes the other way.
func TestSameBits(t *testing.T) {
	b, _ := onCPU(t)
	other := backend.Add{N: 4}
	for i, spec := range backendtest.Light() {
		if i%3 > 0 {
			continue
		}
		var before [][]float32
		operands := backendtest.Operands(spec, uint64(i))
		for run := range 3 {
			if run == 2 {
				if _, err := backendtest.Run(b, other, backendtest.Operands(other, 1)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := backendtest.Run(b, spec, operands)
			if err != nil {
				t.Fatal(err)
			}
			if before != nil && !slices.EqualFunc(before, got, slices.Equal) {
				t.Errorf("%T%+v: run %d has other bits", spec, spec, run)
			}
			before = got
		}
	}
}

// A launch that fails is an error of whatever waits for it, and later launches do
// not hide it.
func TestFailedLaunch(t *testing.T) {
	b, e := onCPU(t)
	v, err := backend.NewView(b, 4)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Compile(backend.Add{N: 4}, v, v, v)
	if err != nil {
		t.Fatal(err)
	}
	e.refuse = func(string) error { return errors.New("cuLaunchKernel: CUDA_ERROR_LAUNCH_FAILED") }
	p.Run()
	e.refuse = nil
	p.Run()
	for what, err := range map[string]error{"Sync": b.Sync(), "Upload": b.Upload(v, make([]float32, 4)), "Download": b.Download(make([]float32, 4), v)} {
		var device *backend.Error
		if !errors.As(err, &device) || err.Error() != "cuda/emulation: backend.Add{N:4}: kernel add, [1 1 1] blocks of [64 1 1] threads: cuLaunchKernel: CUDA_ERROR_LAUNCH_FAILED" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A launch whose failure shows only when it is waited for is named where each is.
func TestCareful(t *testing.T) {
	b, e := onCPU(t)
	b.careful = true
	v, err := backend.NewView(b, 4)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Compile(backend.Add{N: 4}, v, v, v)
	if err != nil {
		t.Fatal(err)
	}
	launch, err := b.Record(func() { p.Run() })
	if err != nil {
		t.Fatal(err)
	}
	e.late = errors.New("cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS")
	launch()
	e.late = nil
	if err := b.Sync(); err == nil || !strings.Contains(err.Error(), "backend.Add{N:4}: kernel add, [1 1 1] blocks of [64 1 1] threads, arguments [") || !strings.Contains(err.Error(), "CUDA_ERROR_ILLEGAL_ADDRESS") {
		t.Error(err)
	}
}

// What does not fit is refused with the numbers; what nothing refers to any more
// makes room.
func TestMemory(t *testing.T) {
	b, e := onCPU(t)
	e.limit = 1 << 20
	_, err := b.Alloc(1 << 20)
	var device *backend.Error
	if !errors.As(err, &device) || !strings.Contains(err.Error(), "only 0.00 GiB are free (lower --batch-size or --img-size)") {
		t.Errorf("4 MiB of 1: %v", err)
	}
	for i := range 20 {
		if _, err := b.Alloc(100_000); err != nil { // two fit
			t.Fatalf("allocation %d: %v", i, err)
		}
	}
	p := copying(t, b)
	for range 3 { // a program keeps its operands
		runtime.GC()
		time.Sleep(time.Millisecond)
		if err := b.reclaim(); err != nil {
			t.Fatal(err)
		}
		p.Run()
	}
	if err := b.Sync(); err != nil {
		t.Error(err)
	}
}

func TestRecord(t *testing.T) {
	b, _ := onCPU(t)
	v, err := backend.NewView(b, 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Upload(v, []float32{1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	p, err := b.Compile(backend.Add{N: 4}, v, v, v)
	if err != nil {
		t.Fatal(err)
	}
	launch, err := b.Record(func() { p.Run(); p.Run() })
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 4)
	for _, want := range []float32{1, 4, 16} {
		if err := b.Download(got, v); err != nil || got[0] != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
		launch()
	}
}

// copying is a program whose operands nothing else refers to.
func copying(t *testing.T, b *Backend) backend.Program {
	v, err := backend.NewView(b, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Compile(backend.Copy{N: 50_000}, v.Slice(0, 50_000), v.Slice(50_000, 50_000))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What squeeze-and-excitation does to a map is one pass with the normalisation
// beside it.
func TestGatesAreMerged(t *testing.T) {
	norm := backend.Norm{Eps: 1e-3, Act: backend.Swish}
	c := backend.ConvShape{N: 2, H: 4, W: 4, In: 8, Kernel: 3, Stride: 1, Top: 1, Left: 1, OutH: 4, OutW: 4, Out: 8}
	for _, spec := range []struct {
		backend.Fused
		fewer int
	}{
		{backend.NormMatMul{M: 32, N: 4, K: 8, Read: backend.Gated, Norm: norm, Area: 16}, 1},
		{backend.ProjectGrad{M: 32, N: 4, K: 8, Read: backend.Gated, Norm: norm, Area: 16}, 1},
		{backend.DepthwiseGrad{ConvShape: c, Read: backend.Normed, Norm: norm, Out: norm, Gated: true}, 3},
		{backend.NormMatMul{M: 32, N: 4, K: 8, Read: backend.Normed, Norm: norm, Area: 16}, 0},
		{backend.FoldedMatMul{M: 32, N: 4, K: 8, Norm: norm, Area: 16, Gated: true}, 0},
	} {
		if got, want := len(gated(spec.Unfused())), len(spec.Unfused())-spec.fewer; got != want {
			t.Errorf("%T: %d steps, want %d", spec.Fused, got, want)
		}
	}
}
