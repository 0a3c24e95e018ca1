package cuda

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
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

// reads are the maps that a Spec reads.
func reads(spec backend.Spec) (maps []int) {
	for i, o := range spec.Operands() {
		if o.Role.Map() && o.Role.Reads() {
			maps = append(maps, i)
		}
	}
	return maps
}

// runHalf is backendtest.Run with the maps that a Spec reads in bf16, and what it
// writes as Types says, or not.
func runHalf(t *testing.T, b *Backend, spec backend.Spec, operands [][]float32, otherwise bool) (got [][]float32, types []backend.DType) {
	t.Helper()
	types = make([]backend.DType, len(operands))
	for _, i := range reads(spec) {
		types[i] = backend.BFloat16
		rounded(operands[i])
	}
	b.Types(spec, types)
	if last := len(types) - 1; otherwise {
		types[last] = backend.Float32 + backend.BFloat16 - types[last]
	}
	views := make([]backend.View, len(operands))
	for i, o := range operands {
		v, err := backend.NewViewOf(b, len(o), types[i])
		if err == nil {
			err = b.Upload(v, o)
		}
		if err != nil {
			t.Fatal(err)
		}
		views[i] = v
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
		got = append(got, values)
	}
	return got, types
}

// Every Spec that has maps, with bf16 ones.
func TestHalfMaps(t *testing.T) {
	b, _ := onCPU(t)
	b.precision = driver.BF16
	testHalf(t, b)
}

// testHalf runs the suite with bf16 maps: what is written as bf16 is the reference's
// value rounded, and sums lose nothing. Results are by turns of the kind that Types
// says and of the other.
func testHalf(t *testing.T, b *Backend) {
	t.Helper()
	checked := map[bool]int{}
	backendtest.Each(t, b, backendtest.Specs(), func(t *testing.T, i int, spec backend.Spec) float64 {
		operands := spec.Operands()
		out := operands[len(operands)-1].Role.Map()
		if !slices.ContainsFunc(operands, func(o backend.Operand) bool { return o.Role.Map() }) || prepares(spec) {
			return 0
		}
		want := backendtest.Operands(spec, uint64(i))
		otherwise := i%2 == 1
		got, types := runHalf(t, b, spec, want, otherwise)
		last := len(want) - 1
		half := types[last] == backend.BFloat16
		if half != (out != otherwise) {
			t.Errorf("%T%+v: the result is %v", spec, spec, types[last])
		}
		limit := 5e-5
		if out || half {
			limit = 1. / 256 // half of the last of 8 bits, and a little
		}
		switch spec.(type) {
		case backend.NormPool: // one kernel
		case backend.Fused:
			limit = 1. / 32 // what is between its steps is rounded too
		}
		checked[out]++
		return backendtest.Compare(t, spec, got, want, limit)
	})
	if checked[true] < 100 || checked[false] < 100 {
		t.Errorf("%v Specs were checked", checked)
	}
}

// Every float32 goes to a bf16 map as the nearest value there, ties to even, and a NaN
// stays one, whatever its payload.
func TestUploadHalf(t *testing.T) {
	b, _ := onCPU(t)
	var values, want []float32
	for _, c := range [][2]uint32{
		{0x3f800000, 0x3f800000}, {0x3f808000, 0x3f800000}, {0x3f818000, 0x3f820000}, {0x3f808001, 0x3f810000},
		{0x7f7fffff, 0x7f800000}, {0x7f800000, 0x7f800000}, {0xff800000, 0xff800000}, {0x80000001, 0x80000000},
		{0x7f800001, 0x7fc00000}, {0x7f80ffff, 0x7fc00000}, {0xff800001, 0xffc00000}, {0x7fffffff, 0x7fff0000}, {0x7fc00000, 0x7fc00000},
	} {
		values, want = append(values, math.Float32frombits(c[0])), append(want, math.Float32frombits(c[1]))
	}
	v, err := backend.NewViewOf(b, len(values), backend.BFloat16)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, len(values))
	if err := errors.Join(b.Upload(v, values), b.Download(got, v)); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Errorf("%08x becomes %08x, want %08x", math.Float32bits(values[i]), math.Float32bits(got[i]), math.Float32bits(want[i]))
		}
	}
}

// A network trains with bf16 maps nearly as on the CPU.
func TestNetworkTrainsInHalf(t *testing.T) {
	b, _ := onCPU(t)
	b.precision = driver.BF16
	host, err := cpu.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	compareTraining(t, b, host, 3, 0.15)
}
