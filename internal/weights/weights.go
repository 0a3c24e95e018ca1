// Package weights turns other programs' files of EfficientNet weights into
// checkpoints: it finds out which network a file holds and by whose conventions,
// and gives every tensor timm's name and PyTorch's layout.
package weights

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
	"effnet/internal/scale"
)

// An Error is what is wrong with a file of weights.
type Error = checkpoint.Error

// Imported is a network from another program's file, or from one of ours.
type Imported struct {
	Meta     checkpoint.Meta
	Tensors  []named.Tensor // as a checkpoint has them
	Findings []Finding      // none for a checkpoint of ours
	Unused   []string       // what of the file is no part of the network
	Headless bool           // the file has no classifier, and Tensors one of zeros
}

// Finding is something that was concluded about a file.
type Finding struct {
	Setting string `json:"setting"` // as the flag that overrides it: "padding"
	Value   string `json:"value"`
	Because string `json:"because"`
	Sure    bool   `json:"sure"` // false where other files look the same and differ in this
}

// Overrides are what a person says of a file instead. The zero value of each
// leaves it to what the file shows.
type Overrides struct {
	Variant       string
	Padding       string
	BNEps         float64
	Resolution    int // pixels
	Crop          string
	CropPct       float64
	Interpolation string
	Mean, Std     *[3]float64
	Classes       []string
	Plain         bool       // the weights themselves, where a file has running averages too
	Headless      bool       // weights without a classifier are taken
	Because       string     // who says so, for the findings; "" for "given"
	Known         *Overrides // what is known of the file, where the others say nothing; may be nil
}

// Open reads a network from a checkpoint of ours, a bundle, a safetensors file, a
// PyTorch file (.pth), Keras weights (.h5, .weights.h5, .keras) or a TensorFlow
// checkpoint. Every fault of the file is a *checkpoint.Error.
func Open(path string, o Overrides) (*Imported, error) {
	file, err := read(path, o.Plain)
	if err != nil {
		return nil, err
	}
	if file.meta != nil {
		if file.meta.State != nil {
			return nil, &checkpoint.Error{Path: path, Reason: "is the state of a run", Hint: "use best.safetensors or last.safetensors, which hold a network"}
		}
		m := &Imported{Meta: *file.meta, Tensors: file.tensors}
		return m, finish(path, m, o)
	}
	m, err := identify(file, o)
	if err == nil {
		err = finish(path, m, o)
	}
	var e *checkpoint.Error
	if err != nil && !errors.As(err, &e) {
		err = &checkpoint.Error{Path: path, Reason: err.Error(), Hint: hintOf(err)}
	}
	return m, err
}

// finish applies what of the overrides does not take part in identifying, and
// checks the whole.
func finish(path string, m *Imported, o Overrides) error {
	wrong := func(hint, format string, args ...any) error {
		return &checkpoint.Error{Path: path, Reason: fmt.Sprintf(format, args...), Hint: hint}
	}
	if o.Classes != nil && len(o.Classes) != m.Meta.Arch.Classes {
		return wrong("name one class a line, in the order of the network's outputs",
			"has %d classes, and %d names were given", m.Meta.Arch.Classes, len(o.Classes))
	}
	if o.Known != nil {
		o.Known.apply(m)
	}
	o.apply(m)
	for _, t := range m.Tensors {
		for i, v := range t.Data {
			if v-v != 0 {
				return wrong("", "tensor %s has the value %v at place %d of %d", t.Name, v, i, len(t.Data))
			}
		}
	}
	if err := m.Meta.Validate(); err != nil {
		return wrong("", "would be a network that cannot run: %v", err)
	}
	return nil
}

// apply puts what was given in place of what was found.
func (o Overrides) apply(m *Imported) {
	a, p := &m.Meta.Arch, &m.Meta.Preprocess
	given := func(setting string, value any) {
		for i, f := range m.Findings {
			if f.Setting == setting {
				m.Findings[i] = Finding{setting, fmt.Sprint(value), cmp.Or(o.Because, "given"), true}
			}
		}
	}
	if o.Classes != nil {
		m.Meta.Classes, m.Meta.Labels = o.Classes, nil
		given("classes", len(o.Classes))
	}
	if o.Padding != "" {
		a.Padding = scale.Padding(o.Padding)
		given("padding", o.Padding)
	}
	if o.BNEps != 0 {
		a.BNEps = o.BNEps
		given("bn-eps", o.BNEps)
	}
	if o.Resolution != 0 {
		a.Resolution, p.Resolution = o.Resolution, o.Resolution
		given("img-size", o.Resolution)
	}
	if o.Crop != "" {
		p.Crop = o.Crop
		given("crop", o.Crop)
	}
	if o.CropPct != 0 {
		p.CropPct = o.CropPct
		given("crop-pct", o.CropPct)
	}
	if o.Interpolation != "" {
		p.Interpolation = o.Interpolation
		given("interpolation", o.Interpolation)
	}
	if o.Mean != nil {
		p.Mean = *o.Mean
		given("mean", *o.Mean)
	}
	if o.Std != nil {
		p.Std = *o.Std
		given("std", *o.Std)
	}
}

// classes names a network's classes: ImageNet's where there are 1000, numbers
// elsewhere.
func classes(n int) (names, labels []string, because string) {
	if n == len(imageNet) {
		for _, c := range imageNet {
			names, labels = append(names, c.synset), append(labels, c.label)
		}
		return names, labels, "1000 outputs, assumed to be ImageNet's"
	}
	for i := range n {
		names = append(names, fmt.Sprintf("class %0*d", int(math.Log10(float64(max(n-1, 1))))+1, i))
	}
	return names, nil, "the file names none"
}

// Encode writes the bytes of the checkpoint that Write writes.
func (m *Imported) Encode(w io.Writer) error { return checkpoint.Encode(w, m.Meta, m.Tensors) }

// Write writes a network as a checkpoint.
func (m *Imported) Write(path string) error { return checkpoint.Write(path, m.Meta, m.Tensors) }

// Describe says in one line what was found in a file.
func (m *Imported) Describe(path string) string {
	var guesses []string
	var network, averages string
	for _, f := range m.Findings {
		switch f.Setting {
		case "variant":
			network = f.Value
		case averagesSetting:
			averages = f.Value
		}
		if !f.Sure {
			guesses = append(guesses, f.Setting+" "+f.Value)
		}
	}
	classes := fmt.Sprintf("of %d classes", m.Meta.Arch.Classes)
	if m.Headless {
		classes = "without a classifier"
	}
	text := fmt.Sprintf("%s: %s %s at %d px", filepath.Base(path), network, classes, m.Meta.Preprocess.Resolution)
	switch averages {
	case "true":
		text += ", by its moving averages and not its weights"
	case "false":
		text += ", by its weights and not their moving averages"
	}
	if guesses != nil {
		text += ", guessing " + strings.Join(guesses, ", ") + " (effnet import shows why, and takes corrections)"
	}
	return text
}
