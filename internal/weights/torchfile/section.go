package torchfile

import (
	"fmt"
	"slices"
	"strings"

	"effnet/internal/named"
)

// Keys under which training programs save a state_dict; Read's comment lists them too.
var (
	averages = []string{"state_dict_ema", "model_ema", "ema_state_dict", "ema"}
	weights  = []string{"state_dict", "model_state_dict", "model", "net", "network", "weights"}
)

// counters end the names of tensors that count steps: batch normalisation's and
// that of torch.optim.swa_utils.AveragedModel.
var counters = []string{"num_batches_tracked", "n_averaged"}

// choose finds the state_dict in a file's object. The tensors have no data yet;
// views is parallel to them.
func choose(value any, plain bool) (file *File, views []*view, err error) {
	top := asDict(value)
	if _, isObject := value.(*object); top == nil || isObject && len(top.items) == 0 {
		return nil, nil, faultf(resave, "holds %s, not a dict of tensors", kind(value))
	}
	first, second := averages, weights
	if plain {
		first, second = weights, averages
	}
	file = &File{}
	found := top
	if !top.isState() {
		file.Section, found = top.section(slices.Concat(first, second), 0)
		if found == nil {
			file.Section, found = top.only()
		}
	}
	if found == nil && slices.ContainsFunc(top.items, item.isTensor) {
		found = top // with a counter or settings among the tensors
	}
	if found == nil {
		return nil, nil, faultf(resave, "has no dict of tensors; %s", top.keys())
	}
	file.Averages = slices.ContainsFunc(strings.Split(file.Section, "."), func(key string) bool { return slices.Contains(averages, key) })
	if file.Section != "" && file.Averages != plain {
		file.Other, _ = top.section(second, 0)
	}
	if file.Tensors, views, err = found.tensors(); err != nil {
		return nil, nil, err
	}
	file.note(top, found)
	return file, views, nil
}

// note lists what was not read.
func (f *File) note(top, found *dict) {
	for _, it := range found.items {
		if key, ok := it.key.(string); ok && !it.isTensor() && it.value != nil {
			f.Others = append(f.Others, key)
		}
	}
	taken, _, _ := strings.Cut(f.Section, ".")
	for _, it := range top.items {
		if key, ok := it.key.(string); ok && found != top && key != taken {
			f.Others = append(f.Others, key)
		}
	}
}

// asDict returns a dict, one of a class that isn't known too, the state_dict of a module,
// or nil.
func asDict(v any) *dict {
	switch v := v.(type) {
	case *dict:
		return v
	case *object:
		if len(v.items) == 0 {
			if d := v.stateDict(); len(d.items) > 0 {
				return d
			}
		}
		return &v.dict
	}
	return nil
}

func (it item) isTensor() bool {
	_, _, ok := pair[string, *view]([]any{it.key, it.value})
	return ok
}

// isState says whether a dict is of tensors under names: most of its values are.
func (d *dict) isState() bool {
	tensors := 0
	for _, it := range d.items {
		if it.isTensor() {
			tensors++
		}
	}
	return tensors > 0 && 2*tensors >= len(d.items)
}

// section returns the dict of tensors that the first of some keys leads to, perhaps by
// another of them, and these keys; nil if there is none.
func (d *dict) section(keys []string, depth int) (string, *dict) {
	if depth == maxSections {
		return "", nil
	}
	for _, name := range keys {
		i := slices.IndexFunc(d.items, func(it item) bool { return it.key == any(name) })
		if i < 0 {
			continue
		}
		inner := asDict(d.items[i].value)
		switch {
		case inner == nil:
		case inner.isState():
			return name, inner
		default:
			if below, found := inner.section(keys, depth+1); found != nil {
				return name + "." + below, found
			}
		}
	}
	return "", nil
}

// only returns the dict of tensors and its key where there is one and no other.
func (d *dict) only() (key string, found *dict) {
	for _, it := range d.items {
		inner, ok := it.value.(*dict)
		name, named := it.key.(string)
		switch {
		case !ok || !named || !inner.isState():
		case found != nil:
			return "", nil
		default:
			key, found = name, inner
		}
	}
	return key, found
}

// tensors lists what is in a state_dict, but for counters.
func (d *dict) tensors() (tensors []named.Tensor, views []*view, err error) {
	seen := map[string]bool{}
	for _, it := range d.items {
		name, v, ok := pair[string, *view]([]any{it.key, it.value})
		if !ok {
			continue
		}
		if seen[name] {
			return nil, nil, faultf("", "has %.80q twice", name)
		}
		seen[name] = true
		if slices.ContainsFunc(counters, func(c string) bool { return strings.HasSuffix(name, c) }) {
			continue
		}
		tensors = append(tensors, named.Tensor{Name: name, Shape: v.shapeOf()})
		views = append(views, v)
	}
	return tensors, views, nil
}

// keys says which keys a dict has, for a message.
func (d *dict) keys() string {
	if len(d.items) == 0 {
		return "it is empty"
	}
	const most = 12
	var b strings.Builder
	b.WriteString("it has ")
	for i, it := range d.items {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(d.items)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if key, ok := it.key.(string); ok {
			fmt.Fprintf(&b, "%.80q: %s", key, kind(it.value))
		} else {
			fmt.Fprintf(&b, "%s: %s", kind(it.key), kind(it.value))
		}
	}
	return b.String()
}

// kind names a value's type as Python does.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64, wide:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a str"
	case data:
		return "bytes"
	case tuple:
		return "a tuple"
	case *list:
		return "a list"
	case *dict:
		return "a dict"
	case *view:
		return "a tensor"
	case global:
		return "a name"
	case *object:
		return fmt.Sprintf("an object of %.100q", v.class)
	}
	return "an object"
}
