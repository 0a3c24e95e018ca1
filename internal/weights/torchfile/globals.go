package torchfile

import (
	"errors"
	"fmt"
)

// global is a Python object that a pickle refers to by name.
type global struct {
	name  string
	dtype *dtype                        // of a storage's class
	call  func(args tuple) (any, error) // nil for what is not called: its results are inert objects
}

// globals are those that mean something here. Everything else, argparse.Namespace or
// os.system, is a name and nothing more.
var globals = map[string]global{
	"collections.OrderedDict": {call: newDict},
	"collections.Counter":     {call: newDict},
	"collections.defaultdict": {call: defaultDict},
	"builtins.dict":           {call: newDict},
	"__builtin__.dict":        {call: newDict},
	"torch.Size":              {call: size},

	"torch._utils._rebuild_tensor":    {call: rebuildTensor},
	"torch._utils._rebuild_tensor_v2": {call: rebuildTensor},
	"torch._utils._rebuild_parameter": {call: rebuildParameter},

	"torch._utils._rebuild_parameter_with_state": {call: rebuildParameter},
	"torch._tensor._rebuild_from_type_v2":        {call: rebuildFromType},

	"torch.DoubleStorage":          {dtype: &float64s},
	"torch.FloatStorage":           {dtype: &float32s},
	"torch.HalfStorage":            {dtype: &float16s},
	"torch.BFloat16Storage":        {dtype: &bfloat16s},
	"torch.LongStorage":            {dtype: &int64s},
	"torch.IntStorage":             {dtype: &int32s},
	"torch.ShortStorage":           {dtype: &int16s},
	"torch.CharStorage":            {dtype: &int8s},
	"torch.ByteStorage":            {dtype: &uint8s},
	"torch.BoolStorage":            {dtype: &bools},
	"torch.UntypedStorage":         {dtype: &uint8s},
	"torch.storage.UntypedStorage": {dtype: &uint8s},
}

// newDict makes an empty dict, whose items follow, or takes over those of another or of a
// list of pairs, which is how Python 2 wrote it. Nothing is copied, so that no file makes
// more of a few items.
func newDict(args tuple) (any, error) {
	if len(args) == 0 {
		return &dict{}, nil
	}
	switch from := args[0].(type) {
	case *dict:
		return from, nil
	case *list:
		pairs := from.items
		from.items = nil
		return fromPairs(pairs)
	}
	return &dict{}, nil
}

func fromPairs(pairs []any) (*dict, error) {
	made := &dict{}
	for _, entry := range pairs {
		var two []any
		switch e := entry.(type) {
		case tuple:
			two = e
		case *list:
			two = e.items
		}
		if len(two) != 2 {
			return nil, errors.New("not a list of pairs")
		}
		made.items = append(made.items, item{two[0], two[1]})
	}
	return made, nil
}

// defaultDict makes an empty dict; its argument is what would make missing values.
func defaultDict(tuple) (any, error) { return &dict{}, nil }

// rebuildFromType gets a function, a class, the function's arguments and attributes.
func rebuildFromType(args tuple) (any, error) {
	if len(args) < 3 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	function, ok := args[0].(global)
	inner, okArgs := args[2].(tuple)
	if !ok || !okArgs {
		return nil, errors.New("not a function and its arguments")
	}
	if function.name == "torch._tensor._rebuild_from_type_v2" {
		return nil, errors.New("calls itself")
	}
	return function.result(inner)
}

// size is a tuple by another name.
func size(args tuple) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	dims, ok := args[0].(tuple)
	if !ok {
		return nil, errors.New("not a tuple")
	}
	return dims, nil
}

// rebuildTensor makes a *view of storage, storage_offset, size and stride.
// requires_grad, backward_hooks and metadata may follow and do not matter.
func rebuildTensor(args tuple) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	if unknown, ok := args[0].(*object); ok {
		return unknown, nil // of numbers that are no weights: complex, quantised
	}
	s, ok := args[0].(*storage)
	offset, okOffset := args[1].(int64)
	shape, okShape := ints(args[2])
	strides, okStrides := ints(args[3])
	if !ok || !okOffset || !okShape || !okStrides {
		return nil, errors.New("not a storage, an offset, sizes and strides")
	}
	v := &view{storage: s, offset: offset, shape: shape, strides: strides}
	return v, v.check()
}

// rebuildParameter gets a tensor and what training needs besides it.
func rebuildParameter(args tuple) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no arguments")
	}
	switch args[0].(type) {
	case *view, *object:
		return args[0], nil
	}
	return nil, errors.New("not a tensor")
}

// result is what a call of g gives: of a function that isn't known, an object that holds
// nothing.
func (g global) result(args tuple) (any, error) {
	switch {
	case g.call != nil:
		return g.call(args)
	case g.dtype != nil:
		return nil, errors.New("a call of what is no function")
	}
	return &object{class: g.name}, nil
}

// ints returns a tuple of at most maxRank integers.
func ints(v any) ([]int64, bool) {
	t, ok := v.(tuple)
	if !ok || len(t) > maxRank {
		return nil, false
	}
	out := make([]int64, len(t))
	for i := range t {
		if out[i], ok = t[i].(int64); !ok {
			return nil, false
		}
	}
	return out, true
}

// persistent returns the *storage that an identifier stands for: the tuple
// ("storage", class, key, device, number of values) and, in the old format, a
// view that has been None since 2017.
func (m *machine) persistent(id any) any {
	t, _ := id.(tuple)
	if len(t) != 5 && (len(t) != 6 || t[5] != nil) {
		m.failf("an object outside the pickle that is not a storage")
		return nil
	}
	kind, class, ok := pair[string, global](t[:2])
	key, n, okKey := pair[string, int64]([]any{t[2], t[4]})
	if ok && okKey && kind == "storage" && class.dtype == nil {
		return &object{class: class.name}
	}
	if !ok || !okKey || kind != "storage" {
		m.failf("an object outside the pickle that is not a storage")
		return nil
	}
	if n < 0 || n > maxFloats {
		m.failf("storage %.80q of %d values", key, n)
		return nil
	}
	s, ok := m.storages[key]
	if !ok {
		s = &storage{key: key, dtype: class.dtype, n: n}
		m.storages[key] = s
	}
	if s.dtype != class.dtype || s.n != n {
		m.failf("storage %.80q is first %d values of %s, then %d of %s", key, s.n, s.dtype.name, n, class.dtype.name)
	}
	return s
}
