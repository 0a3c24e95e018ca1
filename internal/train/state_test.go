package train

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/backend/cpu"
	"effnet/internal/checkpoint"
	"effnet/internal/data/datatest"
	"effnet/internal/model"
	"effnet/internal/scale"
)

// A run whose state has its parameters where version 0.1.0 had them resumes, with the same
// bits; one of a later version's says so.
func TestStatesOfOtherLayouts(t *testing.T) {
	b, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	set := datatest.Coloured(t, 21, 32)
	want, err := trainedFiles(t, b, set, func(*Options) {})
	if err != nil {
		t.Fatal(err)
	}
	for layout, says := range map[int]string{0: "", model.Layout: "", model.Layout + 1: "later version of effnet"} {
		dir := t.TempDir()
		if _, err := trainedFiles(t, b, set, func(o *Options) { o.Out, o.Until = dir, 1 }); err != nil {
			t.Fatal(err)
		}
		relay(t, dir, layout)
		got, err := trainedFiles(t, b, set, func(o *Options) { o.Out, o.Resume = dir, true })
		if says != "" {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("layout %d: %v", layout, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("layout %d: %v", layout, err)
		}
		for name, text := range want {
			if !bytes.Equal(got[name], text) {
				t.Errorf("layout %d: %s has other content", layout, name)
			}
		}
	}
}

// relay rewrites the states of a run as they would be with another layout.
func relay(t *testing.T, dir string, layout int) {
	t.Helper()
	names, err := stateFiles(dir)
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, path := range names {
		file, err := checkpoint.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		var s state
		if err := json.Unmarshal(file.Meta.State, &s); err != nil {
			t.Fatal(err)
		}
		s.Layout = layout
		if file.Meta.State, err = json.Marshal(s); err != nil {
			t.Fatal(err)
		}
		for i, values := range file.Tensors {
			if layout == 0 && !strings.HasSuffix(values.Name, "running") {
				file.Tensors[i].Data = onLines(t, file.Meta.Arch, values.Data)
				file.Tensors[i].Shape = []int{len(file.Tensors[i].Data)}
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := checkpoint.Write(filepath.Clean(path), *file.Meta, file.Tensors); err != nil {
			t.Fatal(err)
		}
	}
}

// onLines are values laid out as a network's parameters, with each on a line of 16: first
// those that decay, then the others.
func onLines(t *testing.T, arch scale.Arch, values []float32) (all []float32) {
	t.Helper()
	net, err := model.New(arch, cpu.NewCounter(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, decayed := range []bool{true, false} {
		for _, p := range net.Params {
			if p.Decayed() != decayed {
				continue
			}
			all = append(all, values[p.Offset:p.Offset+p.Len()]...)
			all = append(all, make([]float32, -p.Len()&15)...)
		}
	}
	return all
}
