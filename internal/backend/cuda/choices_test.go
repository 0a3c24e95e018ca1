package cuda

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/backend"
)

// timedOn is a backend that times products, whose algorithms take the seconds that it lists.
func timedOn(t *testing.T, folder, library string, costs ...float64) (*Backend, *emulation) {
	t.Helper()
	b, e := onCPU(t)
	e.library, e.costs, b.folder = library, costs, folder
	b.choices, b.warning = newChoices(e, folder)
	return b, e
}

// costOf is what a product takes on a backend, in seconds.
func costOf(t *testing.T, b *Backend, e *emulation) float64 {
	t.Helper()
	spec := backend.MatMul{M: 3, N: 4, K: 5}
	var views []backend.View
	for _, o := range spec.Operands() {
		v, err := backend.NewView(b, o.Size)
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	p, err := b.Compile(spec, views...)
	if err != nil {
		t.Fatal(err)
	}
	before := e.spent
	p.Run()
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	return e.spent - before
}

// The fastest algorithm is taken, from then on without being timed, for the same card and
// the same library.
func TestChoices(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "cache")
	for i, c := range []struct {
		library string
		costs   []float64
		asked   int
		cost    float64
	}{
		{"one", []float64{2, 3, 1}, 1, 1},
		{"one", []float64{1, 3, 2}, 0, 2}, // the third, as before
		{"two", []float64{1, 3, 2}, 1, 1},
		{"three", []float64{1, 0.98}, 1, 1}, // that is noise
		{"one", []float64{4, 5}, 1, 4},      // there is no third any more
		{"one", []float64{4, 5}, 0, 4},
		{"four", []float64{7}, 1, 7},
	} {
		b, e := timedOn(t, folder, c.library, c.costs...)
		if cost := costOf(t, b, e); cost != c.cost || e.asked != c.asked || b.warning != nil {
			t.Errorf("case %d: a product of %v s, %d timed, warning %v", i, cost, e.asked, b.warning)
		}
		if cost := costOf(t, b, e); cost != c.cost || e.asked != c.asked {
			t.Errorf("case %d, again: a product of %v s, %d timed", i, cost, e.asked)
		}
	}
}

// A file that was cut short or changed is reported and replaced.
func TestSpoiltChoices(t *testing.T) {
	for name, spoil := range map[string]func(string) string{
		"cut short": func(text string) string { return text[:len(text)/2] },
		"changed":   func(text string) string { return strings.Replace(text, `"Best": 1`, `"Best": 2`, 1) },
		"empty":     func(string) string { return "" },
	} {
		folder := t.TempDir()
		b, e := timedOn(t, folder, "one", 2, 1)
		costOf(t, b, e)
		path := b.choices.path
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(spoil(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
		b, e = timedOn(t, folder, "one", 2, 1)
		if b.warning == nil || !strings.Contains(b.warning.Error(), path) {
			t.Errorf("%s: no warning: %v", name, b.warning)
		}
		if cost := costOf(t, b, e); cost != 1 || e.asked != 1 {
			t.Errorf("%s: a product of %v s, %d timed", name, cost, e.asked)
		}
		if again, err := os.ReadFile(path); err != nil || string(again) != string(text) {
			t.Errorf("%s: the file is %q (%v)", name, again, err)
		}
	}
}

// Where a product's operands do not fit the card a second time, nothing is timed.
func TestNoRoomToTime(t *testing.T) {
	b, e := timedOn(t, t.TempDir(), "one", 2, 1)
	e.limit = 1500
	if cost := costOf(t, b, e); cost != 2 || e.spent != 2 {
		t.Errorf("a product of %v s, %v s in all", cost, e.spent)
	}
}

// A run that is resumed has the choices of its beginning, whatever is kept or set.
func TestChoicesOfARun(t *testing.T) {
	folder := t.TempDir()
	b, e := timedOn(t, folder, "one", 2, 1)
	costOf(t, b, e)
	record := b.Choices()
	if err := os.Remove(b.choices.path); err != nil {
		t.Fatal(err)
	}
	b, e = timedOn(t, folder, "one", 1, 2)
	costOf(t, b, e) // and now the first is kept
	for _, set := range []bool{true, false} {
		b, e = timedOn(t, folder, "one", 1, 2)
		if !set {
			b.choices = nil
		}
		if note := b.Choose(record); note != "" || costOf(t, b, e) != 2 || e.asked != 0 || b.Choices() != record {
			t.Errorf("set %v: note %q, %d timed", set, note, e.asked)
		}
	}
	b, e = timedOn(t, t.TempDir(), "two", 1, 2)
	if note := b.Choose(record); !strings.Contains(note, "timed on emulation, one, and this is emulation, two") || costOf(t, b, e) != 1 || e.asked != 1 {
		t.Errorf("another card: note %q, %d timed", note, e.asked)
	}
	b, e = timedOn(t, t.TempDir(), "one", 2, 1)
	if note := b.Choose(""); !strings.Contains(note, ChoiceEnv) || costOf(t, b, e) != 0 || b.Choices() != "" { // not by an algorithm of ours
		t.Errorf("a run that timed nothing: note %q, %d timed", note, e.asked)
	}
}
