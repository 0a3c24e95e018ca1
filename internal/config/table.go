package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// A Setting is a row of the table: a field of Config, and what its tags say.
type Setting struct {
	Key     string // yaml: the flag and the YAML key
	Kind    string // string, bool, int, float or floats (comma-separated), by the field's type
	Default string // default: as Text writes it; "" for none
	Before  string // before: what runs older than the setting did, in the default's place; "" for the same
	Want    string // want: what is allowed, which Validate checks and says; "" where other code does
	Help    string // help
	Short   string // short: the flag of one letter; "" for none
	Auto    string // auto: the value that "auto" means, with which the program chooses one; "" for none
	Group   string // group, of the field _ before

	Commands    []string // of, or the group's: commands that have the flag, without "effnet "
	Coefficient bool     // of "coefficients": a --coefficients file may have it
	Effect      Effect   // effect
	Chooses     string   // effect "chooses KEY": that setting

	field int    // of Config
	of    string // as the tag has it
	rule  rule
}

// Effect is what a setting does to a run's numbers.
type Effect string

// A setting without the tag decides numbers, so that one that is new is safe.
const (
	Numbers Effect = ""        // decides them: it is part of the run's identity
	Network Effect = "network" // decides the architecture, which the identity has
	Chooses Effect = "chooses" // has the program choose another setting, which config.yaml then has
	Free    Effect = "free"    // none, but for the device's rounding: a resumed run may change it
)

// families are commands that take the same settings, by the word that stands for
// them in the tag "of". A setting without the tag is of "training".
var families = map[string][]string{
	"network":  {"train", "data preview", "data bench", "bench", "summary"},
	"training": {"train", "finetune", "search-baseline", "search-coefficients", "scale-study", "data preview", "data bench"},
	"scratch":  {"train", "search-baseline", "search-coefficients", "scale-study", "data preview", "data bench"}, // pretrained weights decide it
	"budget":   {"train", "data preview", "data bench", "summary"},
}

// coefficientsFile is the word of the tag "of" for what --coefficients reads.
const coefficientsFile = "coefficients"

// record is the word of the tag "of" for what only a run's config.yaml has.
const record = "record"

var table = readTable(reflect.TypeFor[Config]())

// Settings lists every setting, in the order of Config.
func Settings() []Setting { return slices.Clone(table) }

// Lookup is the setting of a key.
func Lookup(key string) (s Setting, ok bool) {
	i := slices.IndexFunc(table, func(s Setting) bool { return s.Key == key })
	if i < 0 {
		return s, false
	}
	return table[i], true
}

func keys() []string {
	all := make([]string, len(table))
	for i, s := range table {
		all[i] = s.Key
	}
	return all
}

// readTable reads the tags of a struct.
func readTable(t reflect.Type) (all []Setting) {
	var group reflect.StructTag
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			group = f.Tag
			continue
		}
		effect, chooses, _ := strings.Cut(f.Tag.Get("effect"), " ")
		s := Setting{
			Key: yamlKey(f), Kind: kindName(f.Type), Default: f.Tag.Get("default"), Before: f.Tag.Get("before"), Want: f.Tag.Get("want"), Help: f.Tag.Get("help"),
			Short: f.Tag.Get("short"), Auto: f.Tag.Get("auto"), Group: group.Get("group"), Effect: Effect(effect), Chooses: chooses,
			field: i, rule: parseRule(f.Tag.Get("want")),
		}
		of, ok := f.Tag.Lookup("of")
		if !ok {
			if of, ok = group.Lookup("of"); !ok {
				of = "training"
			}
		}
		s.of = of
		for word := range strings.SplitSeq(of, ", ") {
			switch commands, ok := families[word]; {
			case ok:
				s.Commands = append(s.Commands, commands...)
			case word == coefficientsFile || word == record:
				s.Coefficient = true
			default:
				s.Commands = append(s.Commands, word)
			}
		}
		all = append(all, s)
	}
	return all
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

// Of says whether a command has the setting.
func (s Setting) Of(command string) bool { return slices.Contains(s.Commands, command) }

// OfWeights says whether pretrained weights decide the setting.
func (s Setting) OfWeights() bool { return s.Of("train") && !s.Of("finetune") }

// Choices are the words that the setting may be; none if it may be anything else.
func (s Setting) Choices() []string {
	if s.Kind != "string" || s.Want == "" || len(s.rule.ranges) > 0 {
		return nil
	}
	return slices.Clone(s.rule.words)
}

// Env is the setting's environment variable.
func (s Setting) Env() string {
	return "EFFNET_" + strings.ToUpper(strings.ReplaceAll(s.Key, "-", "_"))
}

// Older is what the setting is in a run that does not say, since it is older than it.
func (s Setting) Older() string { return cmp.Or(s.Before, s.Default) }

// Value is what the setting is in a configuration.
func (s Setting) Value(c Config) any { return reflect.ValueOf(c).Field(s.field).Interface() }

// Same says whether two configurations have the same value.
func (s Setting) Same(a, b Config) bool { return reflect.DeepEqual(s.Value(a), s.Value(b)) }

// Text is the value as a flag takes it, and "" if there is none; a stage table, which
// no flag takes, is its name.
func (s Setting) Text(c Config) string {
	v := reflect.ValueOf(c).Field(s.field)
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	case reflect.Array:
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(v), "[]"), " ", ",")
	}
	return fmt.Sprint(v)
}
