package train

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/optim"
	"effnet/internal/scale"
)

func fineTuned(t *testing.T, variant string, f FineTune) *run {
	t.Helper()
	arch, err := scale.Variant(variant)
	if err != nil {
		t.Fatal(err)
	}
	b := cpu.NewWith(kernel.Available()[0], 1)
	t.Cleanup(func() { b.Close() })
	net, err := model.New(arch, b)
	if err != nil {
		t.Fatal(err)
	}
	return &run{Options: Options{Arch: arch, FineTune: f}, net: net}
}

// shareOf is the share of the learning rate that a parameter has; 0 if it is in no
// group, NaN if it is in more than one.
func shareOf(groups []optim.Group, p model.Param) float64 {
	share := 0.0
	for _, g := range groups {
		switch {
		case p.Offset+p.Len() <= g.From || p.Offset >= g.From+g.N:
		case share != 0 || p.Offset < g.From || p.Offset+p.Len() > g.From+g.N || g.Decay != p.Decayed():
			return math.NaN()
		default:
			share = g.Scale
		}
	}
	return share
}

func TestLayerDecayIsTimms(t *testing.T) {
	text, err := os.ReadFile("testdata/layer_decay.json")
	if err != nil {
		t.Fatal(err)
	}
	networks := map[string]map[string]float64{}
	if err := json.Unmarshal(text, &networks); err != nil {
		t.Fatal(err)
	}
	for _, variant := range []string{"b0", "mobilenetv3-small"} {
		want := networks[variant]
		r := fineTuned(t, variant, FineTune{LayerDecay: 0.8})
		groups := r.groups(model.Frozen{})
		if len(want) != len(r.net.Params) {
			t.Errorf("%s: %d parameters, want %d", variant, len(r.net.Params), len(want))
		}
		for _, p := range r.net.Params {
			if got := shareOf(groups, p); math.Abs(got-want[p.Name]) > 1e-12 {
				t.Errorf("%s: %s has %v of the learning rate, want %v", variant, p.Name, got, want[p.Name])
			}
		}
	}
}

// Frozen weights are in no group, the classifier has its multiple, and what thaws
// counts its steps from there.
func TestGroups(t *testing.T) {
	f := FineTune{Frozen: model.Frozen{Stages: 2}, UnfreezeEpoch: 3, HeadLR: 10}
	r := fineTuned(t, "mobilenetv3-small", f)
	for _, p := range r.net.Params {
		want := 1.0
		switch layer := p.Layer.Name; {
		case layer == "classifier":
			want = 10
		case layer == "conv_stem" || layer == "bn1" || strings.HasPrefix(layer, "blocks.0.") || strings.HasPrefix(layer, "blocks.1."):
			want = 0
		}
		if got := shareOf(r.groups(f.frozen(2)), p); got != want {
			t.Errorf("%s has %v of the learning rate, want %v", p.Name, got, want)
		}
		if got := shareOf(r.groups(f.frozen(3)), p); got != max(want, 1) {
			t.Errorf("thawed: %s has %v of the learning rate, want %v", p.Name, got, max(want, 1))
		}
	}
	r.unfrozen = 70
	for _, g := range r.groups(f.frozen(3)) {
		for _, p := range r.net.Params {
			if p.Offset == g.From && f.Frozen.Param(p) != (g.Since == 70) {
				t.Errorf("%s counts its steps from %d", p.Name, g.Since)
			}
		}
	}
}

// A classifier follows its classes' names.
func TestHeadFor(t *testing.T) {
	tensors := []named.Tensor{{Name: "conv_stem.weight", Shape: []int{1}, Data: []float32{9}},
		{Name: "classifier.weight", Shape: []int{3, 2}, Data: []float32{1, 2, 3, 4, 5, 6}}, {Name: "classifier.bias", Shape: []int{3}, Data: []float32{7, 8, 9}}}
	from := []string{"1", "2", "10"}
	same, moved := HeadFor(tensors, from, from)
	if moved || len(same) != 3 {
		t.Errorf("the same classes: %d tensors, moved %v", len(same), moved)
	}
	head, moved := HeadFor(tensors, from, []string{"1", "10", "2"})
	if !moved || !slices.Equal(head[1].Data, []float32{1, 2, 5, 6, 3, 4}) || !slices.Equal(head[2].Data, []float32{7, 9, 8}) || tensors[2].Data[1] != 8 {
		t.Errorf("moved %v, to %v; there were %v", moved, head, tensors)
	}
	for _, other := range [][]string{{"1", "2"}, {"1", "2", "3"}, {"1", "2", "2"}} {
		if head, moved := HeadFor(tensors, from, other); moved || len(head) != 1 {
			t.Errorf("%q: %d tensors, moved %v", other, len(head), moved)
		}
	}
}
