package named

import (
	"errors"
	"slices"
	"testing"
)

func TestLookup(t *testing.T) {
	a := Tensor{"a", []int{2, 1}, []float32{1, 2}}
	short := Tensor{"short", []int{3}, []float32{1, 2}}
	l, err := NewLookup([]Tensor{a, short, {Name: "c"}, {Name: "d"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Take("a", 2, 1); err != nil || !slices.Equal(got, a.Data) {
		t.Errorf("a is %v, %v", got, err)
	}
	for _, c := range []struct {
		want, name string
		shape      []int
	}{
		{"tensor a is missing", "a", []int{2, 1}}, // taken already
		{"tensor b is missing", "b", nil},
		{"tensor short has 2 values for shape [3]", "short", []int{3}},
		{"tensor c has shape [], want [1]", "c", []int{1}},
	} {
		_, err := l.Take(c.name, c.shape...)
		if m := (*Mismatch)(nil); !errors.As(err, &m) || m.Reason != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if err := l.Rest(); err == nil || err.Error() != "tensor d does not belong to the network" {
		t.Error(err)
	}
	if _, err := NewLookup([]Tensor{a, a}); err == nil || err.Error() != "tensor a appears twice" {
		t.Error(err)
	}
}
