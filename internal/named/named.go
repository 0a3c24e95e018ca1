// Package named has the type of named arrays, which networks, checkpoints and the
// readers and writers of other formats exchange.
package named

import (
	"fmt"
	"slices"
)

// Tensor is a named array in C order.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32 // nil where only names and shapes are asked for
}

// Mismatch says how tensors differ from the expected ones.
type Mismatch struct{ Reason string }

func (m *Mismatch) Error() string { return m.Reason }

func mismatch(format string, args ...any) *Mismatch {
	return &Mismatch{fmt.Sprintf(format, args...)}
}

// Lookup finds a network's tensors by their names, each once. Its errors are
// *Mismatch.
type Lookup struct {
	tensors []Tensor
	left    map[string]Tensor // not taken yet
}

// NewLookup is for tensors in any order. Two of one name are an error.
func NewLookup(tensors []Tensor) (*Lookup, error) {
	l := &Lookup{tensors, make(map[string]Tensor, len(tensors))}
	for _, t := range tensors {
		if _, twice := l.left[t.Name]; twice {
			return nil, mismatch("tensor %s appears twice", t.Name)
		}
		l.left[t.Name] = t
	}
	return l, nil
}

// Take returns a tensor's values, which must have this shape.
func (l *Lookup) Take(name string, shape ...int) ([]float32, error) {
	t, ok := l.left[name]
	delete(l.left, name)
	n := 1
	for _, d := range shape {
		n *= d
	}
	switch {
	case !ok:
		return nil, mismatch("tensor %s is missing", name)
	case !slices.Equal(t.Shape, shape):
		return nil, mismatch("tensor %s has shape %v, want %v", name, t.Shape, shape)
	case len(t.Data) != n:
		return nil, mismatch("tensor %s has %d values for shape %v", name, len(t.Data), shape)
	}
	return t.Data, nil
}

// Rest returns an error that names the first tensor, in the order given, that was not
// taken, or nil if all were.
func (l *Lookup) Rest() error {
	for _, t := range l.tensors {
		if _, left := l.left[t.Name]; left {
			return mismatch("tensor %s does not belong to the network", t.Name)
		}
	}
	return nil
}
