package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// The upper layer wins, whatever the setting, and the values say where they are from.
func TestMergeOverAllSettings(t *testing.T) {
	for _, s := range Settings() {
		lower, upper := Layer{"below", map[string]any{s.Key: other(t, s)}}, Layer{"above", map[string]any{s.Key: s.Value(Default())}}
		if s.Default == "" { // there is nothing to say it with
			upper.Values[s.Key] = other(t, s)
		}
		m, err := Merge(lower, upper)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Merge(upper)
		if err != nil || !s.Same(m.Config, want.Config) || m.From.Of(s.Key) != "above" || len(m.From) != 1 {
			t.Errorf("%s is %v from %v (%v)", s.Key, s.Value(m.Config), m.From, err)
		}
	}
}

// Each of the layers has the settings that those above it do not.
func TestMergePrecedence(t *testing.T) {
	names := []string{"recipe quick", "mine.yaml", "found.yaml", "EFFNET_LR", FlagSource, "checkpoint", "flops-budget"}
	keys := []string{"epochs", "lr", "alpha", "seed", "subset", "crop-pct", "phi"}
	var layers []Layer
	for i, name := range names {
		l := Layer{name, map[string]any{}}
		for j, key := range keys[i:] { // the first setting is in one layer, the last in all
			l.Values[key] = strconv.Itoa(i + j)
		}
		layers = append(layers, l)
	}
	m, err := Merge(layers...)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		s, _ := Lookup(key)
		if m.From.Of(key) != names[i] || s.Text(m.Config) != strconv.Itoa(i) {
			t.Errorf("%s is %s from %s, want %d from %s", key, s.Text(m.Config), m.From.Of(key), i, names[i])
		}
	}
	if m.From.Of("momentum") != "default" || m.Momentum != 0.9 {
		t.Errorf("momentum is %v from %s", m.Momentum, m.From.Of("momentum"))
	}
}

func TestMergeKeepsWhatNullLeaves(t *testing.T) {
	m, err := Merge(Layer{"a", map[string]any{"lr": 0.5}}, Layer{"b", map[string]any{"lr": nil}})
	if err != nil || m.LR != 0.5 || m.From.Of("lr") != "a" {
		t.Errorf("lr is %v from %s (%v)", m.LR, m.From.Of("lr"), err)
	}
}

// A name takes the place of a table, and a table of another, whole.
func TestMergeReplacesBaselines(t *testing.T) {
	table := map[string]any{"name": "tiny", "stem": 8, "resolution": 32}
	m, err := Merge(Layer{"a", map[string]any{"baseline": table}}, Layer{"b", map[string]any{"baseline": map[string]any{"name": "other"}}})
	if err != nil || m.Baseline.Own.Name != "other" || m.Baseline.Own.Stem != 0 {
		t.Errorf("%+v (%v)", m.Baseline.Own, err)
	}
	if m, err = m.With(Layer{"c", map[string]any{"baseline": "resnet50"}}); err != nil || m.Baseline.String() != "resnet50" {
		t.Errorf("%+v (%v)", m.Baseline, err)
	}
}

func TestWithLeavesItsReceiver(t *testing.T) {
	m, err := Merge(Layer{"a", map[string]any{"lr": 0.5}})
	if err != nil {
		t.Fatal(err)
	}
	more, err := m.With(Layer{"b", map[string]any{"lr": 0.25, "mean": [3]float64{1, 2, 3}}})
	if err != nil || more.LR != 0.25 || more.Mean != [3]float64{1, 2, 3} || more.From.Of("lr") != "b" {
		t.Errorf("%+v (%v)", more, err)
	}
	if m.LR != 0.5 || m.From.Of("lr") != "a" || m.From.Of("mean") != "default" {
		t.Errorf("the receiver is %v from %v", m.LR, m.From)
	}
}

// Every layer's problems are reported, each with the layer's name.
func TestMergeProblems(t *testing.T) {
	_, err := Merge(Layer{"mine.yaml", map[string]any{"lrr": 1}}, Layer{"EFFNET_EPOCHS", map[string]any{"epochs": "x"}}, Layer{FlagSource, map[string]any{"seed": "y"}})
	const want = `mine.yaml: config: lrr: unknown key (did you mean lr?)
EFFNET_EPOCHS: config: epochs: "x" is not a whole number
config: seed: "y" is not a whole number`
	if err == nil || err.Error() != want || !errors.As(err, new(Error)) {
		t.Errorf("%v, want %s", err, want)
	}
}

// What a resumed run may change, of every setting.
func TestResume(t *testing.T) {
	saved := Layer{"run/config.yaml", map[string]any{"epochs": 3, "transparency": "stored"}}
	for _, s := range Settings() {
		v := other(t, s)
		m, refused, err := Resume(saved, Layer{"mine.yaml", map[string]any{s.Key: v}})
		if err != nil {
			t.Fatal(err)
		}
		given, err := Decode(map[string]any{s.Key: v})
		if err != nil {
			t.Fatal(err)
		}
		was, err := Merge(saved)
		if err != nil {
			t.Fatal(err)
		}
		var want []Change
		switch {
		case s.Effect == Free || s.Auto != "" && s.Text(was.Config) == s.Auto:
			was.Config, was.From[s.Key] = given, "mine.yaml"
			was.Epochs = 3
		case s.Effect != Chooses:
			want = []Change{{s.Key, s.Text(was.Config), s.Text(given)}}
		}
		if !reflect.DeepEqual(m, was) || !reflect.DeepEqual(refused, want) {
			t.Errorf("%s: %v refused (want %v), and\n%+v, want\n%+v", s.Key, refused, want, m, was)
		}
	}
}

// A run is resumed with what it was begun with, where its file is older than a setting
// whose default is another.
func TestResumeOlder(t *testing.T) {
	saved := Layer{"run/config.yaml", map[string]any{"epochs": 3}}
	m, refused, err := Resume(saved, Layer{FlagSource, map[string]any{"transparency": "stored"}})
	if err != nil || m.Transparency != "mean" || fmt.Sprint(refused) != "[transparency was mean and is stored]" {
		t.Errorf("%s, %v refused, %v", m.Transparency, refused, err)
	}
	if m, refused, err = Resume(saved); err != nil || m.Transparency != "mean" || refused != nil {
		t.Errorf("%s, %v refused, %v", m.Transparency, refused, err)
	}
}

func TestResumeTakesTheSame(t *testing.T) {
	saved := Layer{"run/config.yaml", map[string]any{"lr": 0.1, "batch-size": 12, "variant": "b1"}}
	m, refused, err := Resume(saved, Layer{FlagSource, map[string]any{"lr": "1e-1", "batch-size": "auto", "memory": "2", "flops-budget": "1G"}})
	if err != nil || refused != nil || m.BatchSize != 12 || m.HasBudget() || m.Memory != 0 {
		t.Errorf("%+v, %v, %v", m, refused, err)
	}
	_, refused, err = Resume(saved, Layer{"mine.yaml", map[string]any{"lr": 0.2, "phi": 1, "epochs": 350}}, Layer{FlagSource, map[string]any{"batch-size": "8"}})
	if want := "[batch-size was 12 and is 8 lr was 0.1 and is 0.2 phi was unset and is 1]"; err != nil || fmt.Sprint(refused) != want {
		t.Errorf("%v (%v), want %s", refused, err, want)
	}
}

func TestResumeRefusesABadFile(t *testing.T) {
	for _, values := range []map[string]any{{"lrr": 1}, {"lr": -1}} {
		if _, _, err := Resume(Layer{"run/config.yaml", values}); err == nil || !strings.HasPrefix(err.Error(), "run/config.yaml: config: lr") {
			t.Errorf("%v: %v", values, err)
		}
	}
}
