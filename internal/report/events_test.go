package report

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// buffer is a file in memory.
type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

// The file is the one that TensorBoard's own messages and record writer make
// (tools/golden/events.py).
func TestEventsEqualTensorBoards(t *testing.T) {
	want, err := os.ReadFile("testdata/events.golden")
	if err != nil {
		t.Fatal(err)
	}
	var got buffer
	e := &Events{&got, func() time.Time { return time.UnixMilli(1700000000250) }}
	for _, err := range []error{
		e.start(40),
		e.Text("settings", string(bytes.Repeat([]byte("| lr | 0.1 |\n"), 20))),
		e.Scalars(41, map[string]float64{"val/top1": 2. / 3, "loss": 2}),
		e.Scalars(1<<40, map[string]float64{"très": -1e30, "loss": math.NaN()}),
		e.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("wrote\n%q\nwant\n%q", got.Bytes(), want)
	}
}

// writeEvents is a run that is killed after step 299, resumes from step 200 and
// ends after step 249.
func writeEvents(t *testing.T, dir string) {
	t.Helper()
	write := func(name string, from, to int64, value float64) {
		e, err := NewEvents(dir, from)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Text("settings", "| lr | 0.1 |"); err != nil {
			t.Fatal(err)
		}
		for step := from + 1; step < to; step++ {
			if err := e.Scalars(step, map[string]float64{"val/top1": value, "loss": 2}); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.??????????.*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("event files %v (%v), want one", files, err)
		}
		if err := os.Rename(files[0], filepath.Join(dir, name)); err != nil { // both are of the same second
			t.Fatal(err)
		}
	}
	write("events.out.tfevents.1", 0, 300, .25)
	write("events.out.tfevents.2", 200, 250, .5)
}

// TensorBoard itself reads them, where Python has it.
func TestTensorBoardReadsEvents(t *testing.T) {
	python := os.Getenv("EFFNET_PYTHON")
	if python == "" {
		t.Skip("EFFNET_PYTHON is not set: set it to a Python with tensorboard")
	}
	dir := t.TempDir()
	writeEvents(t, dir)
	out, err := exec.CommandContext(t.Context(), python, "-c", `
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
a.Reload()
t = a.Tags()
print(sorted(t["scalars"]), t["tensors"])
e = a.Scalars("val/top1")
print([x.step for x in e] == list(range(1, 250)), [(x.step, x.value) for x in e[198:201]])
print(a.Tensors("settings")[0].tensor_proto.string_val[0].decode())
`, dir).Output()
	want := "['loss', 'val/top1'] ['settings']\nTrue [(199, 0.25), (200, 0.25), (201, 0.5)]\n| lr | 0.1 |\n"
	if err != nil || string(out) != want {
		t.Errorf("TensorBoard read %q (%v), want %q", out, err, want)
	}
}
