package scale

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every published network has the tensors that timm's has, by name and shape, and as many
// trained values.
func TestTensorsAreTimms(t *testing.T) {
	text, err := os.ReadFile("testdata/timm.json") // of tools/golden/shapes.py
	if err != nil {
		t.Fatal(err)
	}
	var timm map[string]struct {
		Timm   string
		Params int64
		SHA256 string
	}
	if err := json.Unmarshal(text, &timm); err != nil {
		t.Fatal(err)
	}
	for _, v := range Variants() {
		want, ok := timm[v.Name]
		if !ok {
			t.Errorf("testdata has no %s", v.Name)
			continue
		}
		a, err := v.Arch()
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, x := range a.Tensors() {
			sides := make([]string, len(x.Shape))
			for i, n := range x.Shape {
				sides[i] = strconv.Itoa(n)
			}
			lines = append(lines, fmt.Sprintf("%s %s\n", x.Name(), strings.Join(sides, ",")))
		}
		slices.Sort(lines)
		sum := sha256.Sum256([]byte(strings.Join(lines, "")))
		if got := Count(a).Params; got != want.Params || hex.EncodeToString(sum[:]) != want.SHA256 {
			t.Errorf("%s: %d parameters, want %d, or other tensors than timm's %s", v.Name, got, want.Params, want.Timm)
		}
	}
}

// A layer reads layers before it, whose results have the channels and the side that it says.
func TestLayersFollowEachOther(t *testing.T) {
	for _, v := range Variants() {
		a, err := v.Arch()
		if err != nil {
			t.Fatal(err)
		}
		layers, seen := a.Layers(), map[string]bool{}
		for i, l := range layers {
			if seen[l.Name] {
				t.Errorf("%s: two layers are called %s", v.Name, l.Name)
			}
			seen[l.Name] = true
			from := Layer{Out: 3, Side: a.Resolution}
			if l.Inputs[0] != Images {
				if l.Inputs[0] >= i {
					t.Fatalf("%s: %s reads a layer that comes later", v.Name, l.Name)
				}
				from = layers[l.Inputs[0]]
			}
			if from.Out != l.In || from.Side != l.From {
				t.Errorf("%s: %s reads %d channels of %d px, not %d of %d", v.Name, l.Name, from.Out, from.Side, l.In, l.From)
			}
			for _, other := range l.Inputs[1:] {
				x := layers[other]
				if other >= i || x.Out != l.Out || l.Op == Add && x.Side != l.Side || l.Op == Gate && x.Side != 1 {
					t.Errorf("%s: %s reads %d channels of %d px too", v.Name, l.Name, x.Out, x.Side)
				}
			}
		}
		if last := layers[len(layers)-1]; last.Role != ClassifierRole || last.Out != a.Classes {
			t.Errorf("%s ends in %+v", v.Name, last)
		}
	}
}

// Rows of one stage are deepened together, the last first: timm's _scale_stage_depth.
func TestDeepenJoinedRows(t *testing.T) {
	for _, c := range []struct {
		repeats []int
		depth   float64
		round   bool
		want    []int
	}{
		{[]int{1, 1}, 1, false, []int{1, 1}}, {[]int{1, 1}, 1.2, false, []int{1, 2}}, {[]int{1, 1, 2}, 1.5, false, []int{1, 2, 3}},
		{[]int{1, 2}, 2, false, []int{2, 4}}, {[]int{4}, 1.1, false, []int{5}}, {[]int{4}, 1.1, true, []int{4}}, {[]int{5}, 0.5, true, []int{2}},
		{[]int{1}, 0.3, true, []int{1}},
	} {
		rows := make([]Stage, len(c.repeats))
		for i, r := range c.repeats {
			rows[i] = Stage{Repeats: r, Joined: i > 0}
		}
		Baseline{RoundRepeats: c.round}.deepen(rows, c.depth)
		for i, row := range rows {
			if row.Repeats != c.want[i] {
				t.Errorf("%v times %v: row %d has %d, want %v", c.repeats, c.depth, i, row.Repeats, c.want)
			}
		}
	}
}
