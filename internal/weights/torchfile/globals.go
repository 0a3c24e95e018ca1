package torchfile

import (
	"errors"
	"fmt"
)

// global is a Python object that a pickle may refer to by name.
type global struct {
	name  string
	dtype *dtype                        // of a storage's class
	call  func(args tuple) (any, error) // nil for what is not called
}

// globals are all that a pickle may refer to.
var globals = map[string]global{
	"collections.OrderedDict": {call: orderedDict},
	"torch.Size":              {call: size},

	"torch._utils._rebuild_tensor":    {call: rebuildTensor},
	"torch._utils._rebuild_tensor_v2": {call: rebuildTensor},
	"torch._utils._rebuild_parameter": {call: rebuildParameter},

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

	// As values, beside the weights.
	"torch.float64":  {},
	"torch.float32":  {},
	"torch.float16":  {},
	"torch.bfloat16": {},
	"torch.int64":    {},
	"torch.int32":    {},
	"torch.int16":    {},
	"torch.int8":     {},
	"torch.uint8":    {},
	"torch.bool":     {},
}

// orderedDict makes an empty dict; its items follow.
func orderedDict(args tuple) (any, error) {
	if len(args) > 0 {
		return nil, errors.New("has arguments")
	}
	return &dict{}, nil
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

// rebuildParameter gets a tensor and what training needs beside it.
func rebuildParameter(args tuple) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no arguments")
	}
	v, ok := args[0].(*view)
	if !ok {
		return nil, errors.New("not a tensor")
	}
	return v, nil
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
	if !ok || !okKey || kind != "storage" || class.dtype == nil {
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
