package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"effnet/internal/backend"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/report"
)

// state is where a run stands, besides its buffers: all that the next step
// depends on. What is random is a function of these numbers.
type state struct {
	Identity identity // of the run
	Epoch    int      // under way, from 0
	Batch    int      // batches of it that are done
	Step     uint64   // batches in all, which dropout counts
	Updates  int      // of the weights
	Unfrozen int      // updates before all weights were trained
	Choices  string   `json:",omitempty"` // of a backend.Chooser
	Layout   int      // model.Layout, of the buffers

	Sum     meter // of the epoch so far
	Seconds float64
	Wait    float64
	Skipped []skipped
	Epochs  []report.Epoch
	Best    Metrics
}

// skipped is data.Skipped as JSON.
type skipped struct {
	Index, Epoch int
	Path, Reason string
}

// describe is unusable images as a state, or another rank, has them; first is added to
// their indices.
func describe(images []data.Skipped, first int) (all []skipped) {
	for _, k := range images {
		e := &data.Error{Reason: k.Err.Error()}
		errors.As(k.Err, &e)
		all = append(all, skipped{first + k.Index, k.Epoch, e.Path, e.Reason})
	}
	return all
}

// restored is what describe described.
func restored(images []skipped) (all []data.Skipped) {
	for _, s := range images {
		all = append(all, data.Skipped{Index: s.Index, Epoch: s.Epoch, Err: &data.Error{Path: s.Path, Reason: s.Reason}})
	}
	return all
}

const statePrefix = "state-"

// stateFiles lists the state files of a run folder, the newest first.
func stateFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		number, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".safetensors"), statePrefix)
		if _, err := strconv.Atoi(number); ok && err == nil {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

// HasState tells whether a run in a folder can go on.
func HasState(dir string) bool {
	names, err := stateFiles(dir)
	return err == nil && len(names) > 0
}

// RemoveStates removes the state files of a folder.
func RemoveStates(dir string) error {
	files, err := stateFiles(dir)
	for _, path := range files {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// buffers are what a state file holds besides the state.
func (r *run) buffers() []namedView {
	all := []namedView{{"weights", r.net.Weights, true}, {"running", r.net.Running, false}}
	for _, s := range r.optimizer.Slots() {
		all = append(all, namedView{"optimizer." + s.Name, s.View, true})
	}
	if r.average != nil {
		all = append(all, namedView{"ema.weights", r.average.net.Weights, true}, namedView{"ema.running", r.average.net.Running, false})
	}
	return all
}

type namedView struct {
	name       string
	view       backend.View
	parameters bool // laid out as they are
}

// saveState writes where the run stands, between two updates, and removes all but the
// newest files.
func (r *run) saveState(epoch, batch int) error {
	if r.Ranks.Rank() > 0 {
		return nil
	}
	s := state{Identity: r.identity, Epoch: epoch, Batch: batch, Step: r.step, Updates: r.optimizer.Updates(), Unfrozen: r.unfrozen, Layout: model.Layout,
		Sum: r.sum, Seconds: r.seconds, Wait: r.wait, Epochs: r.result.Epochs, Best: r.result.Best}
	if c, ok := r.backend.(backend.Chooser); ok {
		s.Choices = c.Choices()
	}
	s.Skipped = describe(r.loader.Skipped(), 0)
	doc, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	var tensors []named.Tensor
	for _, b := range r.buffers() {
		values := make([]float32, b.view.Len)
		if err := r.backend.Download(values, b.view); err != nil {
			return err
		}
		tensors = append(tensors, named.Tensor{Name: b.name, Shape: []int{len(values)}, Data: values})
	}
	path := filepath.Join(r.Out, fmt.Sprintf("%s%010d.safetensors", statePrefix, r.step))
	meta := checkpoint.Meta{Arch: r.Arch, Classes: r.classes, Preprocess: r.Preprocess, State: doc}
	if err := checkpoint.Write(path, meta, tensors); err != nil {
		return err
	}
	r.saved, r.savedStep = time.Now(), r.step
	files, err := stateFiles(r.Out)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	for _, old := range files[min(max(r.Keep, 1), len(files)):] {
		if err := os.Remove(old); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	return nil
}

// readState reads the newest state file of the run folder that is whole.
func (r *run) readState() (*state, []named.Tensor, error) {
	files, err := stateFiles(r.Out)
	if err != nil || len(files) == 0 {
		return nil, nil, &checkpoint.Error{Path: r.Out, Reason: "has no state to resume from", Err: err}
	}
	var first error
	for _, path := range files {
		file, err := checkpoint.Read(path)
		var s state
		if err == nil {
			switch {
			case file.Meta == nil || file.Meta.State == nil:
				err = &checkpoint.Error{Path: path, Reason: "holds no state of a run"}
			default:
				err = json.Unmarshal(file.Meta.State, &s)
			}
		}
		if err == nil {
			if err := r.identity.resumes(path, s.Identity); err != nil {
				return nil, nil, err
			}
			r.log.Printf("resuming from %s: epoch %d, step %d", path, s.Epoch+1, s.Batch)
			return &s, file.Tensors, nil
		}
		r.log.Printf("note: %v", err)
		first = errors.Join(first, err)
	}
	return nil, nil, first
}

// restore puts a run where a state says it stood.
func (r *run) restore(s *state, tensors []named.Tensor) error {
	wrong := func(format string, args ...any) error {
		return &checkpoint.Error{Path: r.Out, Reason: "its state does not fit the network: " + fmt.Sprintf(format, args...)}
	}
	buffers := r.buffers()
	if len(buffers) != len(tensors) {
		return wrong("%d buffers, want %d", len(tensors), len(buffers))
	}
	if s.Layout > model.Layout {
		return &checkpoint.Error{Path: r.Out, Reason: "its state is of a later version of effnet: resume with that"}
	}
	for i, b := range buffers {
		t := tensors[i]
		if s.Layout < model.Layout && b.parameters {
			t.Data = r.net.Relaid(t.Data)
		}
		if t.Name != b.name || len(t.Data) != b.view.Len {
			return wrong("%s of %d values, want %s of %d", t.Name, len(tensors[i].Data), b.name, b.view.Len)
		}
		if err := r.backend.Upload(b.view, t.Data); err != nil {
			return err
		}
	}
	r.optimizer.Resume(s.Updates)
	r.unfrozen = s.Unfrozen
	r.step, r.sum, r.seconds, r.wait = s.Step, s.Sum, s.Seconds, s.Wait
	r.result.Epochs, r.result.Best = s.Epochs, s.Best
	r.epoch, r.batch = s.Epoch, s.Batch
	r.skipped = len(s.Skipped)
	r.savedStep = s.Step
	return nil
}

// Every is how often a run's state is saved: after a number of epochs or batches, or
// after some time; the zero value is every epoch.
type Every struct {
	Epochs, Steps int
	Time          time.Duration
}

// ParseEvery reads 2epochs, 500steps or 10m.
func ParseEvery(text string) (e Every, err error) {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.Atoi(number)
	switch unit := text[len(number):]; {
	case err == nil && n > 0 && (unit == "epoch" || unit == "epochs"):
		e.Epochs = n
	case err == nil && n > 0 && (unit == "step" || unit == "steps"):
		e.Steps = n
	default:
		if e.Time, err = time.ParseDuration(text); err != nil || e.Time <= 0 {
			return e, fmt.Errorf("train: %q: want a number of epochs or steps or a time, such as 1epoch, 500steps or 10m", text)
		}
	}
	return e, nil
}

// due tells whether the state is to be saved within an epoch.
func (r *run) due() bool {
	e := r.Every
	return e.Steps > 0 && r.step-r.savedStep >= uint64(e.Steps) || e.Time > 0 && time.Since(r.saved) >= e.Time
}

// dueAfter tells whether the state is to be saved after an epoch, from 1.
func (r *run) dueAfter(epoch int) bool {
	return epoch == r.until() || r.due() || r.Every == (Every{}) || r.Every.Epochs > 0 && epoch%r.Every.Epochs == 0
}
