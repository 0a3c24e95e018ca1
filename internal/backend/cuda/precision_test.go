package cuda

import (
	"encoding/binary"
	"math"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cuda/driver"
)

// rounded makes values what bf16 holds of them.
func rounded(v []float32) {
	b := halves(v)
	for i := range v {
		v[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
	}
}

// runHalf is backendtest.Run with the maps that a Spec reads in bf16.
func runHalf(t *testing.T, b *Backend, spec backend.Spec, operands [][]float32) (got [][]float32, half []bool) {
	t.Helper()
	in, _ := maps(spec)
	views := make([]backend.View, len(operands))
	for i, o := range operands {
		v, err := backend.NewView(b, len(o))
		if err == nil {
			err = b.Upload(v, o)
		}
		if err != nil {
			t.Fatal(err)
		}
		views[i] = v
	}
	for _, i := range in {
		rounded(operands[i])
		if err := b.device.Upload(address(views[i]), halves(operands[i])); err != nil {
			t.Fatal(err)
		}
		b.halves[address(views[i])] = true
	}
	program, err := b.Compile(spec, views...)
	if err != nil {
		t.Fatalf("%T%+v: %v", spec, spec, err)
	}
	program.All()
	for _, v := range views {
		values := make([]float32, v.Len)
		if err := b.Download(values, v); err != nil {
			t.Fatal(err)
		}
		got, half = append(got, values), append(half, b.halves[address(v)])
	}
	return got, half
}

// Every Spec that has maps, with bf16 ones: what is written as bf16 is the reference's
// value rounded, and sums lose nothing.
func TestHalfMaps(t *testing.T) {
	b, _ := emulated(t)
	b.precision = driver.BF16
	checked := map[bool]int{}
	for i, spec := range backendtest.Specs() {
		in, out := maps(spec)
		if in == nil && !out || prepares(spec) {
			continue
		}
		want := backendtest.Operands(spec, uint64(i))
		got, half := runHalf(t, b, spec, want)
		if err := backend.Reference(spec, want); err != nil {
			t.Fatal(err)
		}
		last := len(want) - 1
		if half[last] != out {
			t.Errorf("%T%+v: the result is bf16: %v", spec, spec, half[last])
		}
		limit := 5e-5
		if out {
			limit = 1. / 256 // half of the last of 8 bits, and a little
		}
		checked[out]++
		for o := range want {
			if e := backendtest.RelError(got[o], want[o]); !(e <= limit) {
				t.Errorf("%T%+v: operand %d: relative error %.2g", spec, spec, o, e)
			}
		}
	}
	if checked[true] < 100 || checked[false] < 100 {
		t.Errorf("%v Specs were checked", checked)
	}
}

// A network trains with bf16 maps nearly as on the CPU.
func TestNetworkTrainsInHalf(t *testing.T) {
	b, _ := emulated(t)
	b.precision = driver.BF16
	host, err := cpu.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	compareTraining(t, b, host, 3, 0.15)
	if len(b.halves) < 20 {
		t.Errorf("%d maps were bf16", len(b.halves))
	}
}

// What lay at an address does not decide what is there later.
func TestHalvesEnd(t *testing.T) {
	b, _ := emulated(t)
	b.precision = driver.BF16
	v, err := backend.NewView(b, 8)
	if err != nil {
		t.Fatal(err)
	}
	b.halves[address(v)] = true
	if err := b.Upload(v, make([]float32, 8)); err != nil || b.halves[address(v)] {
		t.Errorf("an upload leaves it bf16, %v", err)
	}
	b.halves[address(v)] = true
	w, err := backend.NewView(b, 64)
	if err != nil {
		t.Fatal(err)
	}
	pool := backend.GlobalAvgPoolGrad{GlobalAvgPool: backend.GlobalAvgPool{N: 1, Area: 1, C: 8}}
	spread, err := b.Compile(pool, w.Slice(0, 8), v)
	if err != nil || !b.halves[address(v)] {
		t.Errorf("a gradient spread there is not bf16, %v", err)
	}
	if _, err := b.Compile(backend.ColumnSum{Rows: 8, Cols: 8}, w, v); err != nil || b.halves[address(v)] {
		t.Errorf("a sum leaves it bf16, %v", err)
	}
	if err := b.Upload(w.Slice(0, 8), []float32{1, 2, 3, 4, 5, 6, 7, 8}); err != nil {
		t.Fatal(err)
	}
	spread.Run() // and is read before the sum is there
	got := make([]float32, 8)
	if err := b.Download(got, v); err != nil || got[0] != 1 || got[7] != 8 {
		t.Errorf("between two launches it is %v, %v", got, err)
	}
}
