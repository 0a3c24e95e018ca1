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
)

// Error is what is wrong with a configuration, one problem an element.
type Error []string

func (e Error) Error() string { return "config: " + strings.Join(e, "\nconfig: ") }

// Decode lays settings over Default. A value may be what a YAML parser yields,
// or text from a flag or an environment variable. An unknown key or a value of
// the wrong type is an Error; whether the values are allowed is Validate's.
func Decode(settings map[string]any) (Config, error) {
	c := Default()
	var d decoder
	if settings["batch-size"] == "auto" { // 0 in words
		settings = maps.Clone(settings)
		settings["batch-size"] = 0
	}
	d.fields("", settings, reflect.ValueOf(&c).Elem())
	if d.problems != nil {
		return Config{}, d.problems
	}
	return c, nil
}

// Key is one setting, as a flag shows it.
type Key struct {
	Name    string // the flag and the YAML key
	Kind    string // string, bool, int, float or floats (comma-separated)
	Default string
	Help    string
}

// Keys lists every setting in the order of Config.
func Keys() []Key { return KeysOf(Default()) }

// KeysOf is Keys with the values of a configuration as defaults.
func KeysOf(config Config) []Key {
	c := reflect.ValueOf(config)
	keys := make([]Key, c.NumField())
	for i := range keys {
		field := c.Type().Field(i)
		keys[i] = Key{Name: yamlKey(field), Kind: kindName(field.Type), Help: field.Tag.Get("help")}
		if v := c.Field(i); !v.IsZero() {
			keys[i].Default = strings.ReplaceAll(strings.Trim(fmt.Sprint(v), "[]"), " ", ",")
		}
	}
	return keys
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Array:
		return "floats"
	case reflect.Float64, reflect.Pointer:
		return "float"
	case reflect.Int:
		return "int"
	case reflect.Bool:
		return "bool"
	}
	return "string"
}

func yamlKey(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
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
			d.fail(prefix+key, "unknown key%s", DidYouMean(key, known))
		}
	}
}

// value assigns v to out. A missing value (YAML's null) keeps the default.
func (d *decoder) value(path string, v any, out reflect.Value) {
	if v == nil {
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
		out.Own = &scale.Baseline{Name: "custom", Activation: scale.Swish}
		d.fields(path+".", m, reflect.ValueOf(out.Own).Elem())
		return
	}
	d.value(path, v, reflect.ValueOf(&out.Name).Elem())
}

func (d *decoder) list(path string, v any, out reflect.Value) {
	items, ok := v.([]any)
	if text, isText := v.(string); isText {
		for item := range strings.SplitSeq(strings.Trim(text, "[]"), ",") {
			items, ok = append(items, strings.TrimSpace(item)), true
		}
	}
	if !ok {
		d.fail(path, "%v is not a list", v)
		return
	}
	if out.Kind() == reflect.Slice {
		out.Set(reflect.MakeSlice(out.Type(), len(items), len(items)))
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
