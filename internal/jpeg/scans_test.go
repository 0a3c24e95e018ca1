package jpeg

import (
	"bytes"
	"errors"
	"image"
	standard "image/jpeg"
	"slices"
	"testing"
)

// Pillow writes progressive files with one order of scans. These tests rewrite
// such files, without loss, in other orders, so the pixels must stay Pillow's.

// A script is the scans of a file.
type script struct {
	name        string
	progressive bool
	interval    int  // MCUs between restarts
	redefine    bool // other quantisation tables after each component's first scan
	longRuns    bool // that continue beyond the last block, which libjpeg accepts
	scans       []scripted
}

// scripted is one scan: components by number, coefficients, bits.
type scripted struct {
	of          []int
	first, last int
	high, low   int
}

// scripts are those for files of n components.
func scripts(n int) []script {
	all := []int{0, 1, 2}[:n]
	apart := script{name: "sequential, components apart"}
	bands := script{name: "bands, no bit kept back", progressive: true, interval: 3}
	single := script{name: "each coefficient apart", progressive: true}
	late := script{name: "bit by bit", progressive: true, interval: 5, scans: []scripted{{all, 0, 0, 0, 3}}}
	for c := range n {
		of := []int{c}
		apart.scans = append(apart.scans, scripted{of, 0, 63, 0, 0})
		bands.scans = append(bands.scans, scripted{of, 0, 0, 0, 0}, scripted{of, 1, 1, 0, 0},
			scripted{of, 2, 40, 0, 0}, scripted{of, 41, 63, 0, 0})
		late.scans = append(late.scans, scripted{of, 1, 63, 0, 4})
	}
	for low := 3; low >= 0; low-- {
		for c := n - 1; c >= 0; c-- {
			late.scans = append(late.scans, scripted{[]int{c}, 1, 63, low + 1, low})
		}
		if low < 3 {
			late.scans = append(late.scans, scripted{all, 0, 0, low + 1, low})
		}
	}
	single.scans = append(single.scans, scripted{all, 0, 0, 0, 1})
	for i := range 63 {
		k := 1 + 5*i%63 // in no order
		for c := range n {
			single.scans = append(single.scans, scripted{[]int{c}, k, k, 0, 2}, scripted{[]int{c}, k, k, 2, 1})
		}
	}
	for c := range n {
		single.scans = append(single.scans, scripted{[]int{c}, 1, 63, 1, 0}, scripted{[]int{c}, 0, 0, 1, 0})
	}
	restarts := apart
	restarts.name, restarts.interval = "sequential, components apart, restarts", 1
	tables := bands
	tables.name, tables.redefine = "bands, quantisation tables redefined", true
	long := late
	long.name, long.longRuns = "bit by bit, runs too long", true
	list := []script{apart, restarts, bands, late, single, tables, long}
	if n == 3 {
		list = append(list, script{name: "sequential, chroma together", interval: 2,
			scans: []scripted{{[]int{1, 2}, 0, 63, 0, 0}, {[]int{0}, 0, 63, 0, 0}}})
	}
	return list
}

func TestScripts(t *testing.T) {
	source, d := New(), New()
	for _, g := range goldenFiles(t) {
		if _, _, err := source.decode(g.File, everything); err != nil {
			t.Fatal(err)
		}
		if !source.progressive {
			continue // its coefficients were not kept
		}
		luma := lumaOf(g.File)
		for _, s := range scripts(len(source.components)) {
			w := writer{d: source, script: s}
			file := w.file()
			if luma != nil && !s.redefine && s.interval == 0 && !bytes.Equal(lumaOf(file), luma) {
				t.Fatalf("%s, %s: image/jpeg sees another image", g.Name, s.name)
			}
			_, pix, err := d.decode(file, everything)
			if err != nil {
				t.Fatalf("%s, %s: %v", g.Name, s.name, err)
			}
			if !bytes.Equal(pix, g.Pix) {
				t.Errorf("%s, %s: other pixels", g.Name, s.name)
			}
		}
	}
}

// lumaOf is what image/jpeg makes of the first component, nil if it refuses the
// file: where components lie apart it misplaces restarts.
func lumaOf(file []byte) []uint8 {
	m, err := standard.Decode(bytes.NewReader(file))
	if err != nil {
		return nil
	}
	if m, ok := m.(*image.YCbCr); ok {
		return m.Y
	}
	return m.(*image.Gray).Pix
}

// Impossible scans are damage.
func TestImpossibleScans(t *testing.T) {
	source, d := New(), New()
	if _, _, err := source.decode(largest(t, true).File, everything); err != nil {
		t.Fatal(err)
	}
	dc := scripted{[]int{0, 1, 2}, 0, 0, 0, 1}
	for _, c := range []struct {
		name  string
		scans []scripted
	}{
		{"two bits at once", []scripted{{[]int{0, 1, 2}, 0, 0, 0, 2}, {[]int{0, 1, 2}, 0, 0, 2, 0}}},
		{"AC together", []scripted{dc, {[]int{1, 2}, 1, 63, 0, 1}}},
		{"DC and AC together", []scripted{{[]int{0}, 0, 63, 0, 0}}},
		{"bands the wrong way round", []scripted{dc, {[]int{0}, 5, 4, 0, 1}}},
		{"no bits left", []scripted{{[]int{0}, 0, 0, 0, 14}}},
	} {
		w := writer{d: source, script: script{progressive: true, scans: c.scans}}
		if _, _, err := d.decode(w.file(), everything); !errors.Is(err, errHeader) {
			t.Errorf("%s: %v, want %v", c.name, err, errHeader)
		}
	}
}

// Time is bounded, whatever the scans.
func TestManyScans(t *testing.T) {
	source, d := New(), New()
	if _, _, err := source.decode(largest(t, true).File, everything); err != nil {
		t.Fatal(err)
	}
	scans := slices.Repeat([]scripted{{[]int{0}, 0, 0, 0, 0}}, maxScans+1)
	w := writer{d: source, script: script{progressive: true, scans: scans}}
	if _, _, err := d.decode(w.file(), everything); !errors.Is(err, errScans) {
		t.Errorf("%v, want %v", err, errScans)
	}
}

func TestRelease(t *testing.T) {
	d := New()
	d.components = []component{{coefficients: make([]int16, maxKept)}, {coefficients: make([]int16, maxKept+1)}}
	d.release()
	if d.components[0].coefficients == nil || d.components[1].coefficients != nil {
		t.Error("not what is more than maxKept, and only that, was freed")
	}
}

// A few bytes that claim a huge image get no memory for its coefficients.
func TestHugeClaim(t *testing.T) {
	file := bytes.Clone(largest(t, true).File)
	at := bytes.Index(file, []byte{0xff, markSOF2})
	copy(file[at+5:], []byte{0xff, 0xff, 0xff, 0xff})
	d := New()
	if _, err := d.Open(file); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode(nil, image.Rect(0, 0, 1, 1)); !errors.Is(err, errDamaged) || d.components[0].coefficients != nil {
		t.Errorf("%v, and memory for %d coefficients", err, len(d.components[0].coefficients))
	}
}
