package weights

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"effnet/internal/named"
	"effnet/internal/scale"
	"effnet/internal/weights/names"
)

// identify finds the convention and the network of a file.
func identify(f *file, o Overrides) (*Imported, error) {
	s, err := recognise(f, o.Plain)
	if err != nil {
		return nil, err
	}
	variant := o.Variant
	if o.Known != nil {
		variant = cmp.Or(variant, o.Known.Variant)
	}
	variants, err := candidates(s, variant)
	if err != nil {
		return nil, err
	}
	var best *match
	for _, arch := range variants {
		m := fit(s, arch, o.Headless)
		// A damaged b0 holds all of lite0: what explains the most tensors wins.
		if best == nil || m.found > best.found || m.found == best.found && m.lacks < best.lacks {
			best = m
		}
	}
	if best.problem == nil && len(best.leftOver) > 0 {
		best.problem = leftOver(best.arch.Name, best.leftOver)
	}
	if best.arch.Classes == 1 && !o.Headless {
		best.problem = cmp.Or[error](best.problem, hinted{errors.New("has a classifier of one output, a probability or a value, where classes need two or more"),
			"effnet finetune takes such a file, and gives it a new classifier"})
	}
	best.problem = cmp.Or(best.problem, checkLayers(f))
	if best.problem != nil {
		return nil, best.problem
	}
	imported := &Imported{Tensors: best.tensors, Unused: append(best.unused, f.unused...), Headless: best.head.weight == ""}
	return imported, describe(imported, f, s, best, o)
}

func has(tensors map[string]named.Tensor, name string) bool { _, ok := tensors[name]; return ok }

// candidates are the published networks whose stem has the file's channels, or
// the one that was asked for; all, if none has.
func candidates(s *source, variant string) ([]scale.Arch, error) {
	if variant != "" {
		a, err := scale.Variant(variant)
		return []scale.Arch{a}, err
	}
	shape := s.tensors[s.Stem].Shape
	channels := 0
	if len(shape) == 4 {
		channels = shape[3]
		if s.Torch {
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
	arch     scale.Arch
	tensors  []named.Tensor
	head     head
	unused   []string // what takes no part in the computation
	leftOver []string // what may
	found    int      // parts that are there
	lacks    int      // parts that are not, or have another shape
	problem  error    // the first part that is missing or has another shape
}

// fit looks for every tensor of a network among those of a file.
func fit(s *source, arch scale.Arch, headless bool) *match {
	m := &match{arch: arch}
	problem := func(err error) {
		m.problem = cmp.Or(m.problem, err)
		m.lacks++
	}
	h, headProblem := s.head(arch)
	if m.head = h; h.weight != "" {
		m.arch.Classes = h.outputs
	}
	used := map[string]bool{}
	for _, want := range m.arch.Tensors() {
		called := s.Of(arch, want)
		i := slices.IndexFunc(called, func(name string) bool { return has(s.tensors, name) })
		if want.Layer.Role == scale.ClassifierRole {
			if called, i = []string{h.name(want)}, 0; called[0] == "" {
				if headProblem != nil {
					problem(headProblem)
				} else if h.weight == "" && !headless {
					problem(missing(arch, want, s.Of(arch, want)))
				}
				m.tensors = append(m.tensors, zeros(want))
				continue
			}
		}
		if i < 0 {
			problem(missing(arch, want, called))
			continue
		}
		t := s.tensors[called[i]]
		used[t.Name] = true
		converted, ok := toTorch(s.Convention, want, t)
		if !ok {
			problem(hinted{fmt.Errorf("%s has the shape %v, where %s wants %v in PyTorch's order", t.Name, t.Shape, arch.Name, want.Shape),
				"a network of this family in another size; only published sizes are known"})
			continue
		}
		m.found++
		m.tensors = append(m.tensors, converted)
	}
	m.rest(s, used)
	return m
}

// rest sorts what is no part of the network into what is spare and what is not.
func (m *match) rest(s *source, used map[string]bool) {
	for _, t := range s.tensors {
		short, copied := s.copies[t.Name]
		switch {
		case used[t.Name], copied && used[s.tensors[short].Name]:
		case !copied && s.spare(t) || s.besides(t, used) || s.prepares(t):
			m.unused = append(m.unused, t.Name)
		default:
			m.leftOver = append(m.leftOver, t.Name)
		}
	}
	slices.Sort(m.unused)
	slices.Sort(m.leftOver)
}

// zeros is a tensor of a classifier that a file lacks.
func zeros(t scale.Tensor) named.Tensor {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return named.Tensor{Name: t.Name(), Shape: t.Shape, Data: make([]float32, n)}
}

// missing says that a file lacks a tensor, which its program calls one of some names.
func missing(arch scale.Arch, t scale.Tensor, called []string) error {
	switch {
	case len(called) == 0:
		return hinted{fmt.Errorf("is of a program that has no %s, which %s has", t.Name(), arch.Name), "it may be of another family of networks"}
	case t.Layer.Role == scale.ClassifierRole:
		return hinted{fmt.Errorf("has no classifier (%s)", called[0]), "effnet finetune takes weights without one; for the other commands take the whole file"}
	}
	return hinted{fmt.Errorf("lacks %s, which %s has", called[0], arch.Name), "it may be cut short, or of another family of networks"}
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
