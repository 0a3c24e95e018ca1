package weights

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"effnet/internal/checkpoint"
	"effnet/internal/model"
	"effnet/internal/scale"
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
		m, err := fit(c, arch, tensors)
		if err != nil {
			return nil, err
		}
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
func recognise(f *file) (convention, map[string]checkpoint.Tensor, error) {
	tensors := map[string]checkpoint.Tensor{}
	for _, t := range f.tensors {
		tensors[t.Name] = t
	}
	for _, c := range conventions {
		for _, t := range f.tensors {
			scope, found := strings.CutSuffix(t.Name, c.stem)
			switch {
			case !found:
				continue
			case scope == "":
				return c, tensors, nil
			case c.program == "tensorflow/tpu" && strings.HasSuffix(scope, "/"):
				return c, unscope(tensors, scope), nil
			}
		}
	}
	first := make([]string, 0, 3)
	for _, t := range f.tensors[:min(3, len(f.tensors))] {
		first = append(first, fmt.Sprintf("%.60q", t.Name))
	}
	return convention{}, nil, hinted{fmt.Errorf("has no weights of an EfficientNet: of its %d tensors (%s ...) none is a stem", len(f.tensors), strings.Join(first, ", ")),
		"names are read as timm, torchvision, lukemelas, Keras and tensorflow/tpu give them"}
}

// unscope takes a scope off the names and prefers running averages.
func unscope(tensors map[string]checkpoint.Tensor, scope string) map[string]checkpoint.Tensor {
	const average = "/ExponentialMovingAverage"
	short := map[string]checkpoint.Tensor{}
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
func candidates(c convention, tensors map[string]checkpoint.Tensor, variant string) ([]scale.Arch, error) {
	if variant != "" {
		a, err := scale.Variant(variant)
		return []scale.Arch{a}, err
	}
	shape := tensors[c.stem].Shape
	channels := 0
	if len(shape) == 4 {
		channels = shape[3]
		if c.torch {
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
	tensors []checkpoint.Tensor
	unused  []string
	found   int   // parts that are there
	problem error // the first part that is missing or has another shape
}

// fit looks for every part of a network among tensors.
func fit(c convention, arch scale.Arch, tensors map[string]checkpoint.Tensor) (*match, error) {
	blocks := map[[2]int]*scale.Block{}
	for _, b := range arch.Blocks() {
		blocks[[2]int{b.Stage, b.Index}] = &b
	}
	m := &match{arch: arch}
	m.arch.Classes = outputs(c, tensors)
	layout, err := model.Layout(m.arch)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	problem := func(err error) { m.problem = cmp.Or(m.problem, err) }
	for _, want := range layout {
		p, err := parse(want.Name, arch, blocks)
		if err != nil {
			return nil, err
		}
		names := c.names(p)
		i := slices.IndexFunc(names, func(name string) bool { _, ok := tensors[name]; return ok })
		if i < 0 {
			problem(missing(arch, p, names[0]))
			continue
		}
		t := tensors[names[i]]
		used[names[i]] = true
		converted, ok := toTorch(c, p, t, want.Shape)
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
	return m, nil
}

func missing(arch scale.Arch, p part, name string) error {
	if p.role == classifier {
		return hinted{fmt.Errorf("has no classifier (%s)", name), "weights without their top are not read; take the whole file"}
	}
	return hinted{fmt.Errorf("lacks %s, which %s has", name, arch.Name), "it may be cut short, or of another family of networks"}
}

// outputs is how many classes the classifier has; 1 if there is none.
func outputs(c convention, tensors map[string]checkpoint.Tensor) int {
	for _, name := range c.names(part{timm: "classifier.bias", role: classifier, leaf: "bias"}) {
		if t, ok := tensors[name]; ok && len(t.Data) > 0 {
			return len(t.Data)
		}
	}
	return 1
}

// toTorch returns a tensor by timm's name and in PyTorch's layout; ok is false if
// its shape is not that one.
func toTorch(c convention, p part, t checkpoint.Tensor, want []int) (out checkpoint.Tensor, ok bool) {
	out = checkpoint.Tensor{Name: p.timm, Shape: want, Data: t.Data}
	if c.torch || len(want) == 1 {
		return out, slices.Equal(t.Shape, want)
	}
	// [K,K,In,Out] or, depthwise, [K,K,C,1], or [In,Out].
	stored := make([]int, 0, 4)
	for _, axis := range tensorFlowAxes(p, len(want)) {
		stored = append(stored, want[axis])
	}
	if !slices.Equal(t.Shape, stored) {
		return out, false
	}
	out.Data = transpose(t.Data, want, tensorFlowAxes(p, len(want)))
	return out, true
}

// tensorFlowAxes says which of PyTorch's axes each of TensorFlow's is.
func tensorFlowAxes(p part, rank int) []int {
	switch {
	case rank == 2:
		return []int{1, 0}
	case p.role == depthwise: // [C,1,K,K]
		return []int{2, 3, 0, 1}
	}
	return []int{2, 3, 1, 0} // [Out,In,K,K]
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
