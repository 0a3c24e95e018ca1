package config

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/scale"
	"effnet/internal/words"
)

// Error is what is wrong with a configuration, one problem an element.
type Error []string

func (e Error) Error() string { return "config: " + strings.Join(e, "\nconfig: ") }

// Decode is Merge of settings without a name.
func Decode(settings map[string]any) (Config, error) {
	m, err := Merge(Layer{Values: settings})
	return m.Config, err
}

var defaults = func() (c Config) {
	values := map[string]any{}
	for _, s := range table {
		if s.Default != "" {
			values[s.Key] = s.Default
		}
	}
	if problems := c.set(values); problems != nil {
		panic(problems) // a tag's; any test tells
	}
	return c
}()

// Default is the configuration that the tags of Config say.
func Default() Config { return defaults }

// set assigns values to settings by key.
func (c *Config) set(values map[string]any) Error {
	var d decoder
	out := reflect.ValueOf(c).Elem()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		s, ok := Lookup(key)
		v := values[key]
		if s.Auto != "" && v == "auto" {
			v = s.Auto
		}
		if ok {
			d.value(key, v, out.Field(s.field))
		} else {
			d.fail(key, "unknown key%s", words.DidYouMean(key, keys()))
		}
	}
	return d.problems
}

// decoder assigns values of unknown type to fields, and collects the problems.
type decoder struct{ problems Error }

func (d *decoder) fail(path, format string, args ...any) {
	d.problems = append(d.problems, path+": "+fmt.Sprintf(format, args...))
}

// fields assigns settings to the fields of a struct by their yaml tags; prefix
// is the path of the struct.
func (d *decoder) fields(prefix string, settings map[string]any, out reflect.Value) {
	index := make(map[string]int, out.NumField())
	for i := range out.NumField() {
		index[yamlKey(out.Type().Field(i))] = i
	}
	known := slices.Sorted(maps.Keys(index))
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if i, ok := index[key]; ok {
			d.value(prefix+key, settings[key], out.Field(i))
		} else {
			d.fail(prefix+key, "unknown key%s", words.DidYouMean(key, known))
		}
	}
}

// composed are kinds of settings' types that no parser yields.
var composed = []reflect.Kind{reflect.Array, reflect.Pointer, reflect.Struct}

// value assigns v to out. A missing value (YAML's null) keeps what there is.
func (d *decoder) value(path string, v any, out reflect.Value) {
	if v == nil {
		return
	}
	if typed := reflect.ValueOf(v); typed.Type() == out.Type() && slices.Contains(composed, out.Kind()) {
		out.Set(typed)
		return
	}
	if b, ok := reflect.TypeAssert[*Baseline](out.Addr()); ok {
		d.baseline(path, v, b)
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		p := reflect.New(out.Type().Elem())
		d.value(path, v, p.Elem())
		out.Set(p)
	case reflect.Struct:
		if m, ok := v.(map[string]any); ok {
			d.fields(path+".", m, out)
		} else {
			d.fail(path, "%v is not a mapping", v)
		}
	case reflect.Slice, reflect.Array:
		d.list(path, v, out)
	default:
		d.scalar(path, v, out)
	}
}

func (d *decoder) baseline(path string, v any, out *Baseline) {
	if m, ok := v.(map[string]any); ok {
		out.Name, out.Own = "", &scale.Baseline{Name: "custom", Activation: scale.Swish}
		d.fields(path+".", m, reflect.ValueOf(out.Own).Elem())
		return
	}
	out.Own = nil
	d.value(path, v, reflect.ValueOf(&out.Name).Elem())
}

func (d *decoder) list(path string, v any, out reflect.Value) {
	items, ok := v.([]any)
	if text, isText := v.(string); isText {
		for item := range strings.SplitSeq(strings.Trim(text, "[]"), ",") {
			items, ok = append(items, strings.TrimSpace(item)), true
		}
	}
	if isNumber(v) {
		items, ok = []any{v}, true
	}
	single := len(items) == 1 // stands for all
	if !ok {
		d.fail(path, "%v is not a list", v)
		return
	}
	if out.Kind() == reflect.Slice {
		out.Set(reflect.MakeSlice(out.Type(), len(items), len(items)))
	}
	for out.Kind() == reflect.Array && len(items) > 0 && len(items) < out.Len() && single {
		items = append(items, items[0])
	}
	if len(items) != out.Len() {
		d.fail(path, "has %d numbers (want %d)", len(items), out.Len())
		return
	}
	for i, item := range items {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, out.Index(i))
	}
}

func (d *decoder) scalar(path string, v any, out reflect.Value) {
	switch out.Kind() {
	case reflect.String:
		if text, ok := v.(string); ok {
			out.SetString(text)
		} else {
			d.fail(path, "%v is not text (put it in quotes)", v)
		}
	case reflect.Int:
		if n, err := strconv.Atoi(fmt.Sprint(v)); err == nil {
			out.SetInt(int64(n))
		} else {
			d.fail(path, "%v is not a whole number", quoted(v))
		}
	case reflect.Float64:
		if f, err := strconv.ParseFloat(fmt.Sprint(v), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			out.SetFloat(f)
		} else {
			d.fail(path, "%v is not a number", quoted(v))
		}
	case reflect.Bool:
		if b, err := strconv.ParseBool(fmt.Sprint(v)); err == nil {
			out.SetBool(b)
		} else {
			d.fail(path, "%v is neither true nor false", quoted(v))
		}
	default:
		d.fail(path, "cannot be set")
	}
}

// quoted shows text in quotes, so that an empty value can be seen.
func quoted(v any) any {
	if text, ok := v.(string); ok {
		return strconv.Quote(text)
	}
	return v
}

func isNumber(v any) bool {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
		return true
	}
	return false
}
