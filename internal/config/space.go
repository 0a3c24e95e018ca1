package config

import (
	"reflect"

	"effnet/internal/scale"
)

// A space is the YAML of a search space.
type space struct {
	Baseline Baseline        `yaml:"baseline"`
	Choices  []scale.Choices `yaml:"choices"`
}

// DecodeSpace reads a search space. Its choices are around the table of around, or where
// that is zero of the baseline that the space names.
func DecodeSpace(values map[string]any, around Baseline) (s scale.Space, err error) {
	var doc space
	var d decoder
	d.fields("", values, reflect.ValueOf(&doc).Elem())
	if d.problems != nil {
		return s, d.problems
	}
	if around.IsZero() {
		around = doc.Baseline
	}
	s.Choices = doc.Choices
	s.Table, err = around.Table()
	return s, err
}
