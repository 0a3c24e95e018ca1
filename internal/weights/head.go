package weights

import (
	"fmt"
	"slices"
	"strings"

	"effnet/internal/named"
	"effnet/internal/scale"
)

// A head is where a file has the classifier: the dense layer on the pooled features,
// whatever it is called.
type head struct {
	weight, bias string // names in source.tensors; "" for what is not there
	outputs      int
	because      string // what is to be said of it, "" for the usual
}

// name is where the file has a tensor of the classifier.
func (h head) name(t scale.Tensor) string {
	if t.Leaf == "bias" {
		return h.bias
	}
	return h.weight
}

// head finds the classifier of a network, which is the tensors of the others.
func (s *source) head(arch scale.Arch) (head, error) {
	weight, bias := classifier(arch)
	usual := s.Of(arch, weight)[0]
	biases := s.Of(arch, bias)[0]
	rows, columns := 0, 1 // of the weight's shape: outputs, features
	if !s.Torch {
		rows, columns = 1, 0
	}
	fits := func(t named.Tensor) bool {
		return len(t.Shape) == 2 && t.Shape[columns] == weight.Shape[1] && t.Shape[rows] > 0
	}
	if t, ok := s.tensors[usual]; ok && fits(t) {
		h := head{weight: usual, outputs: t.Shape[rows]}
		return s.withBias(h, biases), nil
	}
	taken := map[string]bool{}
	for _, t := range arch.Tensors() {
		for _, name := range s.Of(arch, t) {
			taken[name] = true
		}
	}
	leaf := usual[strings.LastIndexAny(usual, "./"):]
	var found []string
	for name, t := range s.tensors {
		if fits(t) && !taken[name] && strings.HasSuffix(name, leaf) && !s.spare(t) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return head{}, nil
	case 1:
	default:
		return head{}, hinted{fmt.Errorf("has more than one layer that could be the classifier: %s and %s", s.tensors[found[0]].Name, s.tensors[found[1]].Name),
			"a network with a hidden layer or several heads is not one of those that are known; save it with one dense layer after the pooling"}
	}
	t := s.tensors[found[0]]
	h := head{weight: found[0], outputs: t.Shape[rows], because: fmt.Sprintf("the dense layer %s", strings.TrimSuffix(t.Name, leaf))}
	return s.withBias(h, strings.TrimSuffix(found[0], leaf)+biases[strings.LastIndexAny(biases, "./"):]), nil
}

// withBias adds the bias, which may be missing.
func (s *source) withBias(h head, name string) head {
	if t, ok := s.tensors[name]; ok && len(t.Shape) == 1 {
		h.bias = name
		return h
	}
	if h.because == "" {
		whole := s.tensors[h.weight].Name
		h.because = "the dense layer " + whole[:strings.LastIndexAny(whole, "./")]
	}
	h.because += ", without a bias: zeros"
	return h
}

// classifier returns the tensors of a network's classifier.
func classifier(arch scale.Arch) (weight, bias scale.Tensor) {
	for _, t := range arch.Tensors() {
		switch {
		case t.Layer.Role != scale.ClassifierRole:
		case t.Leaf == "bias":
			bias = t
		default:
			weight = t
		}
	}
	return weight, bias
}
