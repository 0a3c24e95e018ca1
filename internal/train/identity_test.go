package train

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
	"effnet/internal/report"
	"effnet/internal/scale"
)

// identityOf is the identity of a run with settings on 30 images of two classes.
func identityOf(t *testing.T, settings ...Fact) identity {
	t.Helper()
	id, err := Options{Arch: twoClasses(t), Identity: settings}.identify(30, []string{"cat", "dog"})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentityLines(t *testing.T) {
	id := identityOf(t, Fact{"lr", "0.1", "0", ""}, Fact{"exclude", "a=b.txt", "", ""})
	for _, line := range []string{"lr=0.1", "exclude=a=b.txt", "data.images=30", "data.classes=cat,dog", "start=random weights", "architecture.resolution=224"} {
		if !slices.Contains(id.Lines, line) {
			t.Errorf("%s is missing from %q", line, id.Lines)
		}
	}
	if id.Version != identityVersion {
		t.Errorf("version %d", id.Version)
	}
}

func TestIdentityResumes(t *testing.T) {
	lr, momentum := Fact{"lr", "0.1", "0", ""}, Fact{"momentum", "0.9", "0.9", ""}
	now := identityOf(t, lr, momentum)
	without := func(key string) identity {
		id := identityOf(t, lr, momentum)
		id.Lines = slices.DeleteFunc(id.Lines, func(line string) bool { return strings.HasPrefix(line, key+"=") })
		return id
	}
	with := func(lines ...string) identity {
		id := identityOf(t, lr, momentum)
		id.Lines = append(id.Lines, lines...)
		return id
	}
	other := identityOf(t, Fact{"lr", "0.2", "0", ""}, Fact{"momentum", "0.5", "0.9", ""})
	for _, c := range []struct {
		name string
		was  identity
		want string // "" for none
	}{
		{"the same", now, ""},
		{"older than a setting that has its default", without("momentum"), ""},
		{"older than a setting that has another value", without("lr"), "lr was 0 and is 0.1"},
		{"older than a fact", without("start"), "start was unset and is random weights"},
		{"other settings", other, "s: belongs to a run with other settings or images: lr was 0.2 and is 0.1; momentum was 0.5 and is 0.9"},
		{"newer than this program", with("nesterov=true", "amsgrad=false"), "s: belongs to a run with settings that this effnet does not know: amsgrad, nesterov"},
		{"before versions", identity{}, "s: belongs to a run whose identity has version 0; this effnet resumes version 1"},
		{"of the next version", identity{Version: 2, Lines: now.Lines}, "s: belongs to a run whose identity has version 2; this effnet resumes version 1"},
	} {
		err := now.resumes("s", c.was)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.HasSuffix(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// A state of a run on another device, or older than the setting, has no set of kernels, and
// resumes with any.
func TestIdentityOfKernels(t *testing.T) {
	of := func(set string) identity { return identityOf(t, Fact{"kernels", set, "auto", "auto"}) }
	for _, c := range []struct {
		now, was identity
		want     string // "" for none
	}{
		{of("avx2"), of("avx2"), ""},
		{of("avx2"), identityOf(t), ""},
		{of("avx2"), of("auto"), ""},
		{of("auto"), of("avx2"), ""},
		{of("avx2"), of("avx512"), "kernels was avx512 and is avx2"},
	} {
		err := c.now.resumes("s", c.was)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%q after %q: %v, want %q", c.now.Lines[0], c.was.Lines[0], err, c.want)
		}
	}
}

// What a state file keeps is what is compared: through JSON, and not by the version of
// the program that wrote it.
func TestStateKeepsTheIdentity(t *testing.T) {
	lr := Fact{"lr", "0.1", "0", ""}
	for _, c := range []struct {
		name, state string
		settings    []Fact
		want        string
	}{
		{"a new setting", "", []Fact{lr, {"nesterov", "false", "false", ""}}, ""},
		{"a new setting that is used", "", []Fact{lr, {"nesterov", "true", "false", ""}}, "nesterov was false and is true"},
		{"another value", "", []Fact{{"lr", "0.2", "0", ""}}, "lr was 0.1 and is 0.2"},
		{"a state without an identity", `{"Settings":"30 images, {Arch:...}","Epoch":1}`, []Fact{lr}, "has version 0; this effnet resumes version 1"},
	} {
		dir := t.TempDir()
		text := []byte(c.state)
		if c.state == "" {
			var err error
			if text, err = json.Marshal(state{Identity: identityOf(t, lr), Epoch: 1}); err != nil {
				t.Fatal(err)
			}
		}
		prep := checkpoint.Preprocess{Resolution: 224, Crop: "tf", CropPct: 0.875, Interpolation: "bicubic", Std: [3]float64{1, 1, 1}}
		meta := checkpoint.Meta{Arch: twoClasses(t), Preprocess: prep, Classes: []string{"cat", "dog"}, State: text}
		tensors := []named.Tensor{{Name: "weights", Shape: []int{1}, Data: []float32{1}}}
		if err := checkpoint.Write(filepath.Join(dir, "state-0000000007.safetensors"), meta, tensors); err != nil {
			t.Fatal(err)
		}
		r := &run{Options: Options{Out: dir}, identity: identityOf(t, c.settings...), log: report.NewLog(io.Discard, func() int { return 0 }, 0, true)}
		s, _, err := r.readState()
		switch {
		case c.want == "" && (err != nil || s.Epoch != 1):
			t.Errorf("%s: %+v, %v", c.name, s, err)
		case c.want != "" && (err == nil || !strings.HasSuffix(err.Error(), c.want) || !errors.As(err, new(*checkpoint.Error))):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func twoClasses(t *testing.T) scale.Arch {
	t.Helper()
	a, err := scale.Variant("b0")
	if err != nil {
		t.Fatal(err)
	}
	a.Classes = 2
	return a
}

// Every option is known to be told by settings, to be a fact of its own, or to leave a
// run's numbers as they are.
func TestEveryOptionIsAccountedFor(t *testing.T) {
	const settings, fact, none = "a setting tells it", "a fact", "decides no numbers"
	accounts := map[string]string{
		"Arch": fact, "Start": fact, "Identity": fact,
		"Epochs": settings, "BatchSize": settings, "Optimizer": settings, "Schedule": settings, "PeakLR": settings, "StartLR": settings, "MinLR": settings,
		"WarmupEpochs": settings, "DecayEpochs": settings, "DecayRate": settings, "Stages": settings, "Smoothing": settings, "ClassWeights": settings,
		"EMA": settings, "FineTune": settings, "Seed": settings, "Patience": settings, "Preprocess": settings, "TrainLoader": settings, "EvalLoader": settings,
		"LogInterval": none, "Ranks": none, "Settings": none, "Machine": none, "Notes": none, "Until": none, "Out": none, "Resume": none, "Every": none, "Keep": none,
	}
	for field := range reflect.TypeFor[Options]().Fields() {
		name := field.Name
		if accounts[name] == "" {
			t.Errorf("Options.%s: is it of a run's identity? (a setting, a line of identify, or neither)", name)
		}
		delete(accounts, name)
	}
	if len(accounts) > 0 {
		t.Errorf("these are no options: %v", accounts)
	}
}
