package config

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"effnet/internal/scale"

	"go.yaml.in/yaml/v3"
)

// ownTable is a stage table in YAML: scale's key names are part of the schema.
const ownTable = `
phi: 1
baseline:
  name: tiny
  resolution: 32
  stem: 8
  stages:
    - {block: mbconv, kernel: 3, stride: 1, expansion: 1, channels: 8, repeats: 1}
    - {block: mbconv, kernel: 5, stride: 2, expansion: 4, channels: 16, repeats: 2, se-ratio: 0.25}
  head: 64
  activation: relu6
  fixed-ends: true
`

const resNetTable = `
phi: 0
baseline:
  name: small resnet
  resolution: 64
  stem: 8
  stem-kernel: 7
  stem-pool: true
  head: 0
  stages:
    - {block: bottleneck, kernel: 3, stride: 1, expansion: 4, channels: 32, repeats: 2}
    - {block: separable, kernel: 3, stride: 2, expansion: 1, channels: 40, repeats: 1}
  activation: relu
`

// parse reads and validates the YAML of a configuration.
func parse(text []byte) (Config, error) {
	var settings map[string]any
	if err := yaml.Unmarshal(text, &settings); err != nil {
		return Config{}, Error{err.Error()}
	}
	c, err := Decode(settings)
	if err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	a, err := c.Arch(10)
	if err != nil {
		t.Fatal(err)
	}
	b0, err := scale.Variant("b0")
	if err != nil {
		t.Fatal(err)
	}
	b0.Classes = 10
	if !reflect.DeepEqual(a, b0) {
		t.Errorf("the default network is\n%+v, want\n%+v", a, b0)
	}
}

func TestShippedConfigs(t *testing.T) {
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 11 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(text); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
		command := "#   effnet train --config configs/" + filepath.Base(file)
		if other, ok := map[string]string{"finetune": "finetune", "search": "search-coefficients", "study": "scale-study", "mini": "search-coefficients"}[strings.TrimSuffix(filepath.Base(file), ".yaml")]; ok {
			command = "#   effnet " + other
		}
		if !strings.Contains(string(text), command) {
			t.Errorf("%s: the header lacks the command %q", filepath.Base(file), command)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for name, text := range map[string]string{
		"default": "",
		"variant": "variant: lite3\nlr: 0.1\nmean: [1, 2, 3]\nname: \"5\"",
		"formula": "phi: 0\nalpha: 1.25\nbaseline: efficientnet-lite0",
		"table":   ownTable,
		"resnet":  resNetTable,
		"named":   "phi: 1\nbaseline: resnet50",
	} {
		want, err := parse([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		written, err := yaml.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(written)
		if err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, written)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read back\n%+v, want\n%+v", name, got, want)
		}
	}
}

func TestOwnTable(t *testing.T) {
	c, err := parse([]byte(ownTable))
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Arch(7)
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != "tiny-phi1" || a.Resolution != 37 || a.Stem != 8 || a.Stages[1].Repeats != 2 || a.Classes != 7 || a.Activation != scale.ReLU6 {
		t.Errorf("the network is %+v", a)
	}
}

func TestTableOfOtherBlocks(t *testing.T) {
	c, err := parse([]byte(resNetTable))
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Arch(7)
	if err != nil {
		t.Fatal(err)
	}
	if a.StemKernel != 7 || !a.StemPool || a.Head != 0 || a.Features() != 40 || a.Stages[0].Block != scale.Bottleneck || a.Activation != scale.ReLU {
		t.Errorf("the network is %+v", a)
	}
}

func TestArchTakesOverrides(t *testing.T) {
	c, err := parse([]byte("variant: b4\nimg-size: 96\ndrop: 0\ndrop-path: 0.1\nbn-eps: 1e-5\nbn-momentum: 0.1\npadding: symmetric"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Arch(3)
	if err != nil {
		t.Fatal(err)
	}
	if a.Resolution != 96 || a.Dropout != 0 || a.StochasticDepth != 0.1 || a.BNEps != 1e-5 || a.BNMomentum != 0.1 || a.Padding != scale.Symmetric {
		t.Errorf("the network is %+v", a)
	}
	if _, err := c.Arch(0); err == nil {
		t.Error("a network of 0 classes")
	}
}

func TestLearningRateFollowsTheBatch(t *testing.T) {
	c := Default()
	c.BatchSize = 2048
	if got := c.LearningRate(); math.Abs(got-0.128) > 1e-15 { // main.py's
		t.Errorf("at 2048 images %v, want 0.128", got)
	}
	c.LR = 0.3
	if got := c.LearningRate(); got != 0.3 {
		t.Errorf("lr 0.3 is %v", got)
	}
}

// Flags and environment variables are text.
func TestDecodeText(t *testing.T) {
	c, err := Decode(map[string]any{
		"epochs": "7", "lr": "1e-3", "phi": "0.5", "scale": "0.5,1", "ratio": "[1, 2]", "baseline": "efficientnet-lite0",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Epochs != 7 || c.LR != 1e-3 || *c.Phi != 0.5 || c.Scale != [2]float64{0.5, 1} || c.Ratio != [2]float64{1, 2} || c.Baseline.Name != "efficientnet-lite0" {
		t.Errorf("decoded %+v", c)
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"img-sze: 64", "config: img-sze: unknown key (did you mean img-size?)"},
		{"img_size: 64", "img_size: unknown key (did you mean img-size?)"},
		{"colour: red", "colour: unknown key"},
		{"epochs: ten", `epochs: "ten" is not a whole number`},
		{"epochs: 2.5", "epochs: 2.5 is not a whole number"},
		{"epochs: [1]", "epochs: [1] is not a whole number"},
		{"lr: fast", `lr: "fast" is not a number`},
		{"lr: .nan", "lr: NaN is not a number"},
		{"lr: -1", "lr: -1 is not allowed (want 0 to 100)"},
		{"name: 5", "name: 5 is not text"},
		{"name: ../up", "name: ../up is not allowed"},
		{"mean: {}", "mean: map[] is not a list"},
		{"mean: [1, 2]", "mean: has 2 numbers (want 3)"},
		{"mean: [1, 2, x]", `mean[2]: "x" is not a number`},
		{"std: [1, 2, 0]", "std: [1 2 0] is not allowed"},
		{"scale: [1, 0.5]", "scale: [1 0.5] is not allowed"},
		{"opt: adagrad", "opt: adagrad is not allowed (want rmsprop or sgd or adam or adamw)"},
		{"padding: valid", "padding: valid is not allowed (want same or symmetric)"},
		{"seed: -1", "seed: -1 is not allowed"},
		{"drop: -0.5", "drop: -0.5 is not allowed"},
		{"variant: b9", `variant: "b9" is unknown (have b0,`},
		{"variant: b0\nphi: 1", "variant and phi: both are set"},
		{"variant: b0\nbaseline: efficientnet-b0", "variant and baseline: both are set"},
		{"alpha: 1.3", "do nothing without phi"},
		{"phi: 1\nalpha: 0.5", "alpha: 0.5 is outside"},
		{"phi: 100", "phi: 100 is outside"},
		{"phi: 1\nbaseline: resnet", `baseline: "resnet" is unknown`},
		{"baseline: [1]", "baseline: [1] is not text"},
		{"baseline: {stmm: 8}", "baseline.stmm: unknown key (did you mean stem?)"},
		{"baseline: {stages: [{kernl: 3}]}", "baseline.stages[0].kernl: unknown key (did you mean kernel?)"},
		{"baseline: {stages: [3]}", "baseline.stages[0]: 3 is not a mapping"},
		{"baseline: {fixed-ends: maybe}", `baseline.fixed-ends: "maybe" is neither true nor false`},
		{strings.Replace(ownTable, "kernel: 5", "kernel: 4", 1), "stage 2: kernel: 4 is even"},
		{"epochs: 1\nepochs: 2", "already defined"},
		{"just text", "cannot unmarshal"},
	} {
		_, err := parse([]byte(c.yaml))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.yaml, err, c.want)
		}
		if !errors.As(err, new(Error)) {
			t.Errorf("%q: a %T, want a config.Error", c.yaml, err)
		}
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	_, err := parse([]byte("lr: -1\nepochs: 0\nopt: adagrad"))
	var problems Error
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Errorf("%d problems, want 3: %v", len(problems), err)
	}
}

// Validate checks every key that has a limit: a NaN is in none.
func TestValidateRefusesNaN(t *testing.T) {
	for _, s := range Settings() {
		c := Default()
		field := reflect.ValueOf(&c).Elem().Field(s.field)
		switch field.Kind() {
		case reflect.Float64:
			field.SetFloat(math.NaN())
		case reflect.Array:
			field.Index(1).SetFloat(math.NaN())
		default:
			continue
		}
		if c.Validate() == nil {
			t.Errorf("%s: NaN is allowed", s.Key)
		}
	}
}
