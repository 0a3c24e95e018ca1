package torchfile

import (
	"fmt"
	"slices"
	"strings"

	"effnet/internal/named"
)

// sections are the keys under which training programs save a state_dict, those of
// running averages first; Read's comment lists them too.
var sections = []string{
	"state_dict_ema", "model_ema", "ema_state_dict", "ema",
	"state_dict", "model_state_dict", "model", "net", "network", "weights",
}

// wrappers are the prefixes that DataParallel and torch.compile put on names.
var wrappers = []string{"module.", "_orig_mod."}

// counters end the names of tensors that count steps: batch normalisation's and
// that of torch.optim.swa_utils.AveragedModel.
var counters = []string{"num_batches_tracked", "n_averaged"}

// choose finds the state_dict in a file's object. The tensors have no data yet;
// views is parallel to them.
func choose(object any) (file *File, views []*view, err error) {
	top, ok := object.(*dict)
	if !ok {
		return nil, nil, faultf(resave, "holds %s, not a dict of tensors", kind(object))
	}
	section, found := "", top
	if !top.isState() {
		if section, found = top.section(); found == nil {
			return nil, nil, faultf(resave, "has no dict of tensors; %s", top.keys())
		}
	}
	file = &File{Section: section}
	if file.Tensors, views, err = found.tensors(); err != nil {
		return nil, nil, err
	}
	for _, it := range top.items {
		if key, ok := it.key.(string); ok && found != top && key != section {
			file.Others = append(file.Others, key)
		}
	}
	return file, views, nil
}

// isState says whether a dict has tensors under names and nothing else.
func (d *dict) isState() bool {
	for _, it := range d.items {
		if _, _, ok := pair[string, *view]([]any{it.key, it.value}); !ok {
			return false
		}
	}
	return len(d.items) > 0
}

// section returns the first of sections that leads to a dict of tensors, or nil.
func (d *dict) section() (string, *dict) {
	for _, name := range sections {
		i := slices.IndexFunc(d.items, func(it item) bool { return it.key == any(name) })
		if i < 0 {
			continue
		}
		if inner, ok := d.items[i].value.(*dict); ok && inner.isState() {
			return name, inner
		}
	}
	return "", nil
}

// tensors lists what is in a state_dict, but for counters.
func (d *dict) tensors() (tensors []named.Tensor, views []*view, err error) {
	seen := map[string]bool{}
	for _, it := range d.items {
		name, v, _ := pair[string, *view]([]any{it.key, it.value})
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
	unwrap(tensors)
	return tensors, views, nil
}

// unwrap removes the wrappers that all names begin with.
func unwrap(tensors []named.Tensor) {
	for i := 0; i < len(wrappers); i++ {
		lacks := func(t named.Tensor) bool { return !strings.HasPrefix(t.Name, wrappers[i]) }
		if len(tensors) == 0 || slices.ContainsFunc(tensors, lacks) {
			continue
		}
		for k := range tensors {
			tensors[k].Name = strings.TrimPrefix(tensors[k].Name, wrappers[i])
		}
		i = -1 // from the first again: they come in any order
	}
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
	switch v.(type) {
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
	}
	return "an object"
}
