package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A Layer is settings from one place. A value may be what a YAML parser yields, text
// from a flag or a variable, or of the setting's own type; nil is none.
type Layer struct {
	Source string // what people know the place by: "flag", "EFFNET_LR", "recipe quick", a file's path
	Values map[string]any
}

// FlagSource is the Source of what flags say.
const FlagSource = "flag"

// Sources says by key where settings are from; those it lacks have their defaults.
type Sources map[string]string

// Of is where a setting is from.
func (s Sources) Of(key string) string { return cmp.Or(s[key], "default") }

// Merged is a configuration, and where each of its settings is from.
type Merged struct {
	Config
	From Sources
}

// Merge lays layers over Default, each over the ones before it: the only place that
// says which of two values wins, and where the winner is from. An unknown key or a
// value of the wrong type is an Error of its layer; whether values are allowed is
// Validate's.
func Merge(layers ...Layer) (Merged, error) {
	m := Merged{Config: Default(), From: Sources{}}
	wrong := make([]error, len(layers))
	for i, l := range layers {
		wrong[i] = m.lay(l)
	}
	if err := errors.Join(wrong...); err != nil {
		return Merged{}, err
	}
	return m, nil
}

// With is m with one more layer.
func (m Merged) With(l Layer) (Merged, error) {
	m.From = maps.Clone(m.From)
	err := m.lay(l)
	return m, err
}

func (m *Merged) lay(l Layer) error {
	if problems := m.set(l.Values); problems != nil {
		return l.wrap(problems)
	}
	for key, v := range l.Values {
		if v != nil {
			m.From[key] = l.Source
		}
	}
	return nil
}

// wrap says which layer the problems are of. A flag's name does.
func (l Layer) wrap(problems Error) error {
	if l.Source == "" || l.Source == FlagSource {
		return problems
	}
	return fmt.Errorf("%s: %w", l.Source, problems)
}

// A Change is a setting that is not what it was.
type Change struct{ Key, Was, Is string }

func (c Change) String() string {
	return fmt.Sprintf("%s was %s and is %s", c.Key, cmp.Or(c.Was, "unset"), cmp.Or(c.Is, "unset"))
}

// Resume is the configuration of a saved run, with those of the given settings that a
// resumed run may change, or that the run left to the program. Others that differ are
// refused. What makes the program choose a setting says nothing here: the run has what
// was chosen.
func Resume(saved Layer, given ...Layer) (resumed Merged, refused []Change, err error) {
	older := Layer{saved.Source, map[string]any{}} // what it does not say, as it was before the setting
	for _, s := range table {
		if s.Before != "" {
			older.Values[s.Key] = s.Before
		}
	}
	resumed, err = Merge(older, saved)
	if err != nil {
		return resumed, nil, err
	}
	if err := resumed.Validate(); err != nil {
		return resumed, nil, fmt.Errorf("%s: %w", saved.Source, err)
	}
	now, err := Merge(given...)
	if err != nil {
		return resumed, nil, err
	}
	for _, s := range table {
		_, ok := now.From[s.Key]
		switch is := s.Text(now.Config); {
		case !ok || s.Effect == Chooses || s.Auto != "" && is == s.Auto || s.Same(resumed.Config, now.Config):
		case s.Effect == Free || s.Auto != "" && s.Text(resumed.Config) == s.Auto:
			err = errors.Join(err, resumed.lay(Layer{now.From[s.Key], map[string]any{s.Key: s.Value(now.Config)}}))
		default:
			refused = append(refused, Change{s.Key, s.Text(resumed.Config), is})
		}
	}
	slices.SortFunc(refused, func(a, b Change) int { return cmp.Compare(a.Key, b.Key) })
	return resumed, refused, err
}
