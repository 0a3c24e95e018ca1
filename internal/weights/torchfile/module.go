package torchfile

// stateDict is the state_dict of an object that is a module: torch.save(model) writes a
// module's attributes, of which _parameters and _buffers have its tensors and _modules the
// modules inside it. It is empty for any other object.
func (o *object) stateDict() *dict {
	if o.parts == nil {
		o.parts = &dict{}
		w := walk{found: o.parts, left: maxModule}
		if w.module("", o, 0); w.left < 0 {
			o.parts = &dict{}
		}
	}
	return o.parts
}

// walk collects the tensors of modules, which may hold themselves: it gives up, with left
// below zero, after some.
type walk struct {
	found *dict
	left  int
}

func (w *walk) module(prefix string, o *object, depth int) {
	attributes, ok := o.state.(*dict)
	if depth == maxDepth {
		w.left = -1
	}
	if !ok || w.left < 0 {
		return
	}
	for _, part := range attributes.items {
		inside, ok := part.value.(*dict)
		if !ok {
			continue
		}
		for _, it := range inside.items {
			name, ok := it.key.(string)
			if w.left--; len(prefix)+len(name) > maxGlobal {
				w.left = -1
			}
			if w.left < 0 {
				return
			}
			if !ok {
				continue
			}
			switch part.key {
			case "_parameters", "_buffers":
				if it.isTensor() {
					w.found.items = append(w.found.items, item{prefix + name, it.value})
				}
			case "_modules":
				if m, ok := it.value.(*object); ok {
					w.module(prefix+name+".", m, depth+1)
				}
			}
		}
	}
}
