package train

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"effnet/internal/checkpoint"
	"effnet/internal/words"
)

// A Fact is one of the things that decide a run's numbers.
type Fact struct {
	Key, Value string
	Default    string // what it is in a run that does not say, since it is older than the fact
	Auto       string // what it is in a run that did not need it, which any other value agrees with; "" for none
}

// An identity is all that decides a run's numbers, as a state keeps it: what the
// settings say (Options.Identity), and what they do not. A state is resumed by a run of
// the same identity only.
type identity struct {
	Version int      `json:"version"`
	Lines   []string `json:"lines"` // key=value

	facts []Fact // of this run; nil in a state that was read
}

// identityVersion grows when the same lines come to mean other numbers. It stays when a
// fact is added whose default means the numbers of before, as a new setting's does, and
// a field of scale.Arch that JSON omits where it is zero. States that have no identity
// are older than version 1.
const identityVersion = 1

// identify is the identity of a run on a number of images.
func (o Options) identify(images int, classes []string) (identity, error) {
	facts := append(slices.Clone(o.Identity),
		Fact{Key: "data.images", Value: strconv.Itoa(images)},
		Fact{Key: "data.classes", Value: classList(classes)},
		Fact{Key: "start", Value: o.startsWith()},
		Fact{Key: "accumulation", Value: tree, Default: o.accumulated()})
	text, err := json.Marshal(o.Arch)
	if err != nil {
		return identity{}, fmt.Errorf("train: %w", err)
	}
	var arch map[string]json.RawMessage
	if err := json.Unmarshal(text, &arch); err != nil {
		return identity{}, fmt.Errorf("train: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(arch)) {
		facts = append(facts, Fact{Key: "architecture." + key, Value: string(arch[key])})
	}
	id := identity{Version: identityVersion, facts: facts}
	for _, f := range facts {
		id.Lines = append(id.Lines, f.Key+"="+f.Value)
	}
	return id, nil
}

// classList is the names of classes, in text that JSON keeps.
func classList(classes []string) string {
	text := strings.Join(classes, ",")
	if !utf8.ValidString(text) {
		return strconv.QuoteToASCII(text)
	}
	return text
}

// tree is how the gradients of an update's batches are added up, and the last batches of an
// epoch make an update of their own.
const tree = "tree, by epochs"

// accumulated is how gradients are added up in a run that does not say, which makes no
// difference to one without accumulation.
func (o Options) accumulated() string {
	if o.Optimizer.MicroBatches > 1 {
		return "in order, across epochs"
	}
	return tree
}

// startsWith is the kind of weights that a run begins with.
func (o Options) startsWith() string {
	switch {
	case o.Start == nil:
		return "random weights"
	case o.hasHead():
		return "pretrained weights"
	}
	return "pretrained weights without a classifier"
}

// resumes returns an error unless a run may resume a state of an identity.
func (now identity) resumes(path string, was identity) error {
	if was.Version != now.Version {
		return &checkpoint.Error{Path: path,
			Reason: fmt.Sprintf("belongs to a run whose identity has version %d; this effnet resumes version %d", was.Version, now.Version),
			Hint:   "resume it with the effnet that started it, or start a run in another folder"}
	}
	values := map[string]string{}
	for _, line := range was.Lines {
		key, value, _ := strings.Cut(line, "=")
		values[key] = value
	}
	var differ []string
	for _, f := range now.facts {
		old, ok := values[f.Key]
		if !ok {
			old = f.Default
		}
		if delete(values, f.Key); old != f.Value && (f.Auto == "" || old != f.Auto && f.Value != f.Auto) {
			before, after := words.Apart(old, f.Value)
			differ = append(differ, fmt.Sprintf("%s was %s and is %s", f.Key, before, after))
		}
	}
	if len(values) > 0 {
		return &checkpoint.Error{Path: path, Reason: "belongs to a run with settings that this effnet does not know: " + strings.Join(slices.Sorted(maps.Keys(values)), ", "),
			Hint: "resume it with the effnet that started it"}
	}
	if differ != nil {
		return &checkpoint.Error{Path: path, Reason: "belongs to a run with other settings or images: " + strings.Join(differ, "; "),
			Hint: "resume with the run's own config.yaml, or start a run in another folder"}
	}
	return nil
}
