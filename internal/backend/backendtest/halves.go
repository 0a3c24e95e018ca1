package backendtest

import (
	"slices"
	"testing"

	"effnet/internal/backend"
)

// MapsRead are the operands of a Spec that are maps and read.
func MapsRead(spec backend.Spec) (maps []int) {
	for i, o := range spec.Operands() {
		if o.Role.Map() && o.Role.Reads() {
			maps = append(maps, i)
		}
	}
	return maps
}

// RunHalf is Run with the maps that a Spec reads of a type, to which it rounds them in
// operands, and what it writes as b.Types says; otherwise, with its last result of the
// other type.
func RunHalf(t *testing.T, b backend.Typer, maps backend.DType, spec backend.Spec, operands [][]float32, otherwise bool) (got [][]float32, types []backend.DType) {
	t.Helper()
	types = make([]backend.DType, len(operands))
	for _, i := range MapsRead(spec) {
		types[i] = maps
	}
	b.Types(spec, types)
	if last := len(types) - 1; otherwise {
		types[last] = backend.Float32 + maps - types[last]
	}
	views := make([]backend.View, len(operands))
	for i, o := range operands {
		v, err := backend.NewViewOf(b, len(o), types[i])
		if err == nil {
			err = b.Upload(v, o)
		}
		if err == nil && types[i] == maps && spec.Operands()[i].Role.Reads() {
			err = b.Download(o, v)
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

// TestHalf runs those of Specs that have maps with maps of a type of 16 bits: what is
// written as one is the reference's value rounded, and sums lose nothing. Of some Specs the
// last result is also made of the other kind than Types says. The reference is computed
// once for all backends.
func TestHalf(t *testing.T, maps backend.DType, specs []backend.Spec, backends ...backend.Typer) {
	t.Helper()
	checked := map[bool]int{}
	Each(t, backends[0], specs, func(t *testing.T, i int, spec backend.Spec) (worst float64) {
		operands := spec.Operands()
		if !slices.ContainsFunc(operands, func(o backend.Operand) bool { return o.Role.Map() }) {
			return 0
		}
		h := halfCase{spec: spec, maps: maps, given: Operands(spec, uint64(i))}
		for _, b := range backends {
			worst = max(worst, h.run(t, b, false))
			if i%5 == 0 {
				worst = max(worst, h.run(t, b, true))
			}
		}
		checked[operands[len(operands)-1].Role.Map()]++
		return worst
	})
	if checked[true] < 100 || checked[false] < 100 {
		t.Errorf("%v Specs were checked", checked)
	}
}

// FusedLimit is the relative error that a fused Spec's results may have with maps of 16
// bits: what is between its steps is rounded too. A single value may be a small difference
// of large ones.
func FusedLimit(spec backend.Spec) float64 {
	operands := spec.Operands()
	if operands[len(operands)-1].Size == 1 {
		return 1. / 8
	}
	return 1. / 32
}

// halfCase is a Spec of TestHalf.
type halfCase struct {
	spec  backend.Spec
	maps  backend.DType
	given [][]float32
	want  [][]float32 // once the first run has rounded what is given
}

// run compares a backend with the reference, with the last result of the other kind if
// otherwise, and returns the largest relative error.
func (h *halfCase) run(t *testing.T, b backend.Typer, otherwise bool) float64 {
	t.Helper()
	operands, last := h.spec.Operands(), len(h.given)-1
	out := operands[last].Role.Map()
	got, types := RunHalf(t, b, h.maps, h.spec, h.given, otherwise)
	half := types[last] == h.maps
	if half != (out != otherwise) {
		t.Errorf("%s: %T%+v: the result is %v", b.Name(), h.spec, h.spec, types[last])
	}
	limit := 5e-5
	if out || half {
		limit = 1. / 256 // half of the last of 8 bits, and a little
	}
	switch h.spec.(type) {
	case backend.ConvGradInput:
		limit *= 2 // what patches give may be rounded before it is summed
	case backend.NormPool: // one kernel
	case backend.Fused:
		limit = FusedLimit(h.spec)
	}
	if h.want == nil {
		h.want = reference(t, h.spec, h.given)
	}
	return compare(t, b.Name()+": ", h.spec, got, h.want, limit)
}
