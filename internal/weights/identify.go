package weights

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"effnet/internal/named"
	"effnet/internal/scale"
	"effnet/internal/weights/names"
)

// identify finds the convention and the network of a file.
func identify(f *file, o Overrides) (*Imported, error) {
	c, tensors, err := recognise(f)
	if err != nil {
		return nil, err
	}
	variants, err := candidates(c, tensors, o.Variant)
	if err != nil {
		return nil, err
	}
	var best *match
	for _, arch := range variants {
		m := fit(c, arch, tensors)
		// A damaged b0 holds all of lite0: what explains the most tensors wins.
		if best == nil || m.found > best.found || m.found == best.found && m.problem == nil {
			best = m
		}
	}
	if best.problem != nil {
		return nil, best.problem
	}
	best.unused = append(best.unused, f.unused...)
	imported := &Imported{Tensors: best.tensors, Unused: best.unused}
	describe(imported, f, c, best.arch)
	return imported, nil
}

// recognise finds whose names a file has, and returns its tensors by the names
// that the convention gives them: without a TensorFlow scope, and averages of
// weights instead of the weights.
func recognise(f *file) (names.Convention, map[string]named.Tensor, error) {
	tensors := map[string]named.Tensor{}
	for _, t := range f.tensors {
		tensors[t.Name] = t
	}
	for _, c := range names.All {
		for _, t := range f.tensors {
			scope, found := strings.CutSuffix(t.Name, c.Stem)
			switch {
			case !found:
				continue
			case c.Mark != "" && !has(tensors, c.Mark):
				continue
			case scope == "":
				return c, tensors, nil
			case c.Program == names.TPU.Program && strings.HasSuffix(scope, "/"):
				return c, unscope(tensors, scope), nil
			}
		}
	}
	first := make([]string, 0, 3)
	for _, t := range f.tensors[:min(3, len(f.tensors))] {
		first = append(first, fmt.Sprintf("%.60q", t.Name))
	}
	return names.Convention{}, nil, hinted{fmt.Errorf("has no weights of an EfficientNet: of its %d tensors (%s ...) none is a stem", len(f.tensors), strings.Join(first, ", ")),
		"names are read as timm, torchvision, lukemelas, Keras and tensorflow/tpu give them"}
}

func has(tensors map[string]named.Tensor, name string) bool { _, ok := tensors[name]; return ok }

// unscope takes a scope off the names and prefers running averages.
func unscope(tensors map[string]named.Tensor, scope string) map[string]named.Tensor {
	const average = "/ExponentialMovingAverage"
	short := map[string]named.Tensor{}
	for name, t := range tensors {
		_, averaged := tensors[name+average]
		if !averaged { // also everything outside the scope
			short[strings.TrimSuffix(strings.TrimPrefix(name, scope), average)] = t
		}
	}
	return short
}

// candidates are the published networks whose stem has the file's channels, or
// the one that was asked for; all, if none has.
func candidates(c names.Convention, tensors map[string]named.Tensor, variant string) ([]scale.Arch, error) {
	if variant != "" {
		a, err := scale.Variant(variant)
		return []scale.Arch{a}, err
	}
	shape := tensors[c.Stem].Shape
	channels := 0
	if len(shape) == 4 {
		channels = shape[3]
		if c.Torch {
			channels = shape[0]
		}
	}
	var all, alike []scale.Arch
	for _, v := range scale.Variants() {
		a, err := v.Arch()
		if err != nil {
			return nil, err
		}
		if all = append(all, a); a.Stem == channels {
			alike = append(alike, a)
		}
	}
	if alike == nil {
		return all, nil
	}
	return alike, nil
}

// A match is how a file's tensors fit a network.
type match struct {
	arch    scale.Arch
	tensors []named.Tensor
	unused  []string
	found   int   // parts that are there
	problem error // the first part that is missing or has another shape
}

// fit looks for every tensor of a network among those of a file.
func fit(c names.Convention, arch scale.Arch, tensors map[string]named.Tensor) *match {
	m := &match{arch: arch}
	m.arch.Classes = outputs(c, arch, tensors)
	used := map[string]bool{}
	problem := func(err error) { m.problem = cmp.Or(m.problem, err) }
	for _, want := range m.arch.Tensors() {
		called := c.Of(arch, want)
		i := slices.IndexFunc(called, func(name string) bool { return has(tensors, name) })
		if i < 0 {
			problem(missing(arch, want, called))
			continue
		}
		t := tensors[called[i]]
		used[called[i]] = true
		converted, ok := toTorch(c, want, t)
		if !ok {
			problem(hinted{fmt.Errorf("%s has the shape %v, where %s wants %v in PyTorch's order", t.Name, t.Shape, arch.Name, want.Shape),
				"a network of this family in another size; only published ones are known"})
			continue
		}
		m.found++
		m.tensors = append(m.tensors, converted)
	}
	for name, t := range tensors {
		if !used[name] {
			m.unused = append(m.unused, t.Name)
		}
	}
	slices.Sort(m.unused)
	return m
}

// missing says that a file lacks a tensor, which its program calls one of some names.
func missing(arch scale.Arch, t scale.Tensor, called []string) error {
	switch {
	case len(called) == 0:
		return hinted{fmt.Errorf("is of a program that has no %s, which %s has", t.Name(), arch.Name), "it may be of another family of networks"}
	case t.Layer.Role == scale.ClassifierRole:
		return hinted{fmt.Errorf("has no classifier (%s)", called[0]), "weights without their top are not read; take the whole file"}
	}
	return hinted{fmt.Errorf("lacks %s, which %s has", called[0], arch.Name), "it may be cut short, or of another family of networks"}
}

// outputs is how many classes the classifier has; 1 if there is none.
func outputs(c names.Convention, arch scale.Arch, tensors map[string]named.Tensor) int {
	all := arch.Tensors()
	bias := slices.IndexFunc(all, func(t scale.Tensor) bool { return t.Layer.Role == scale.ClassifierRole && t.Leaf == "bias" })
	for _, name := range c.Of(arch, all[bias]) {
		if t, ok := tensors[name]; ok && len(t.Data) > 0 {
			return len(t.Data)
		}
	}
	return 1
}

// toTorch returns a tensor by timm's name and in PyTorch's layout; ok is false if its
// shape is not that of the network's.
func toTorch(c names.Convention, want scale.Tensor, t named.Tensor) (out named.Tensor, ok bool) {
	out = named.Tensor{Name: want.Name(), Shape: want.Shape, Data: t.Data}
	if !slices.Equal(t.Shape, c.Shape(want)) {
		return out, false
	}
	if !c.Torch {
		out.Data = transpose(t.Data, want.Shape, names.Axes(want))
	}
	return out, true
}

// transpose returns values of a shape in C order, of which src has the axes in
// the order that axes gives.
func transpose(src []float32, shape, axes []int) []float32 {
	stride := make([]int, len(shape)) // of src, by the result's axis
	step := 1
	for _, axis := range slices.Backward(axes) {
		stride[axis] = step
		step *= shape[axis]
	}
	dst := make([]float32, len(src))
	index := make([]int, len(shape))
	at := 0
	for i := range dst {
		dst[i] = src[at]
		for k := len(shape) - 1; k >= 0; k-- {
			index[k]++
			at += stride[k]
			if index[k] < shape[k] {
				break
			}
			at -= stride[k] * shape[k]
			index[k] = 0
		}
	}
	return dst
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func hintOf(err error) string {
	if h, ok := err.(hinted); ok { //nolint:errorlint // never wrapped
		return h.hint
	}
	return ""
}
