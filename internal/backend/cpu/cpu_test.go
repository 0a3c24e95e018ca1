package cpu_test

import (
	"math"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
)

// Every kernel set does what the suite asks of it.
func TestBackend(t *testing.T) {
	var backends []backend.Backend
	for _, set := range kernel.Available() {
		b := cpu.NewWith(set, 2)
		defer b.Close()
		backends = append(backends, b)
	}
	backendtest.Test(t, 1e-5, backends...)
}

// Every kernel set does so with maps of bfloat16.
func TestHalfMaps(t *testing.T) {
	var backends []backend.Typer
	for _, set := range kernel.Available() {
		b := cpu.NewWith(set, 2)
		defer b.Close()
		b.Keep(backend.BFloat16)
		backends = append(backends, b)
	}
	backendtest.TestHalf(t, backend.BFloat16, backendtest.Specs(), backends...)
}

// The best kernel set is asked for all cases, the others, which cut launches by the same
// code, for the light ones.
func TestSameBitsWithAnyNumberOfThreads(t *testing.T) {
	for k, set := range kernel.Available() {
		specs := backendtest.Light()
		if k == 0 {
			specs = backendtest.Specs()
		}
		for i, spec := range specs {
			testSameBits(t, set, spec, backendtest.Operands(spec, uint64(i)), backend.Float32)
		}
		for i, spec := range backendtest.Light() {
			testSameBits(t, set, spec, backendtest.Operands(spec, uint64(i)), backend.BFloat16)
		}
	}
}

// testSameBits fails where a Spec's results differ between numbers of threads, with maps
// of a type.
func testSameBits(t *testing.T, set *kernel.Set, spec backend.Spec, operands [][]float32, maps backend.DType) {
	t.Helper()
	var first [][]float32
	for _, threads := range []int{1, 2, 5} {
		b := cpu.NewWith(set, threads)
		b.Keep(maps)
		got, _ := backendtest.RunHalf(t, b, maps, spec, operands, false)
		b.Close()
		if first == nil {
			first = got
			continue
		}
		for o := range got {
			for j := range got[o] {
				if math.Float32bits(got[o][j]) != math.Float32bits(first[o][j]) {
					t.Fatalf("%s %T%+v: operand %d differs between 1 and %d threads", set.Name, spec, spec, o, threads)
				}
			}
		}
	}
}

func TestAllocRefusesNonsense(t *testing.T) {
	b := cpu.NewWith(kernel.Available()[0], 1)
	defer b.Close()
	for _, n := range []int{-1, 1 << 37, 1 << 60} {
		if _, err := b.Alloc(n); err == nil {
			t.Errorf("Alloc(%d) did not fail", n)
		}
	}
}

// In place must give what a separate output gives.
func TestInPlace(t *testing.T) {
	b := cpu.NewWith(kernel.Available()[0], 2)
	defer b.Close()
	for i, spec := range backendtest.Specs() {
		for _, in := range backend.InPlace(spec) {
			v := backendtest.Operands(spec, uint64(i))
			want, err := backendtest.Run(b, spec, v)
			if err != nil {
				t.Fatal(err)
			}
			views := make([]backend.View, len(v))
			for o := range v {
				views[o], _ = backend.NewView(b, len(v[o]))
				if err := b.Upload(views[o], v[o]); err != nil {
					t.Fatal(err)
				}
			}
			last := len(v) - 1
			views[last] = views[in]
			program, err := b.Compile(spec, views...)
			if err != nil {
				t.Fatal(err)
			}
			program.All()
			got := make([]float32, len(v[last]))
			if err := b.Download(got, views[last]); err != nil {
				t.Fatal(err)
			}
			if e := backendtest.RelError(got, want[last]); e != 0 {
				t.Errorf("%T%+v in place of operand %d: relative error %g", spec, spec, in, e)
			}
		}
	}
}

func TestPeaks(t *testing.T) {
	for _, set := range kernel.Available() {
		b := cpu.NewWith(set, 2)
		defer b.Close()
		if f := b.PeakFLOPS(); !(f > 1e8 && f < 1e13) {
			t.Errorf("%s: %g operations a second", set.Name, f)
		} else {
			t.Logf("%s: %.1f GFLOP/s", set.Name, f/1e9)
		}
	}
	b := cpu.NewWith(kernel.Available()[0], 2)
	defer b.Close()
	bytes, err := b.CopyBandwidth()
	if err != nil {
		t.Fatal(err)
	}
	if !(bytes > 1e8 && bytes < 1e13) {
		t.Errorf("%g bytes a second", bytes)
	}
	t.Logf("copy: %.1f GB/s", bytes/1e9)
}
