package vm

import (
	"slices"
	"testing"

	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
)

// A profile has every launch in order, took time and changes no output.
func TestProfile(t *testing.T) {
	n := newNet(t)
	b := cpu.NewWith(kernel.Available()[0], 2)
	defer b.Close()
	m, err := New(n.g, n.outputs, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	want := n.read(m)
	timings, err := m.Profile(2)
	if err != nil {
		t.Fatal(err)
	}
	if !sameBits(n.read(m), want) {
		t.Error("a profile changes the outputs")
	}

	specs := m.Specs()
	if len(timings) != len(m.programs) || len(specs) != len(m.programs) {
		t.Fatalf("%d timings and %d Specs of %d launches", len(timings), len(specs), len(m.programs))
	}
	var sum float64
	var ops []string
	for i, x := range timings {
		if x.Spec != specs[i] || x.Node != m.steps[i].out[0].node || x.Seconds < 0 {
			t.Errorf("timing %d is %+v", i, x)
		}
		sum += x.Seconds
		ops = append(ops, x.Op)
	}
	if !(sum > 0 && sum < 60) {
		t.Errorf("%v seconds", sum)
	}
	// The last three are no op's own Spec: a fused one, Gorgonia's add and a kept
	// view.
	for _, name := range []string{"Conv2D", "Conv2DGradInput", "NormAct", "ExpandGrad", "Add", "Copy"} {
		if !slices.Contains(ops, name) {
			t.Errorf("no %s in %v", name, ops)
		}
	}
}

func TestProfileNeedsARun(t *testing.T) {
	if _, err := (&Machine{}).Profile(0); err == nil {
		t.Error("Profile(0) did not fail")
	}
}
