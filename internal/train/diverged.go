package train

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
)

// Diverged says that the loss stopped being a finite number.
type Diverged struct {
	Epoch, Step int // from 1
	Loss        float64
	Layer       string // the first whose output is not finite; may be empty
	Inputs      string // file with the step's images and targets; may be empty
	Kept        string // the last good checkpoint; may be empty
}

func (d *Diverged) Error() string {
	s := fmt.Sprintf("train: the loss is %v at step %d of epoch %d: training diverged", d.Loss, d.Step, d.Epoch)
	if d.Layer != "" {
		s += ", first in " + d.Layer
	}
	s += "; lower --lr or lengthen --warmup-epochs"
	if d.Inputs != "" {
		s += "; the step's inputs are in " + d.Inputs
	}
	if d.Kept != "" {
		s += " (the weights before are in " + d.Kept + ")"
	}
	return s
}

// diverged looks for where it began and keeps the batch, if it was in training's
// step; nil is evaluation.
func (r *run) diverged(loss float64, p *pending) error {
	if p == nil || r.taken != p.step && r.input.Retake() != nil {
		return r.divergedAt(r.batch, loss, nil)
	}
	return r.divergedAt(r.batch, loss, r.fault(p.step))
}

// divergedAt is the error of a batch, numbered from 1; its fault is written, and may be
// nil.
func (r *run) divergedAt(batch int, loss float64, f *fault) error {
	d := &Diverged{Epoch: r.epoch + 1, Step: batch, Loss: loss}
	if len(r.result.Epochs) > 0 {
		d.Kept = filepath.Join(r.Out, "last.safetensors")
	}
	if f == nil {
		return d
	}
	d.Layer = f.Layer
	path := filepath.Join(r.Out, "diverged.safetensors")
	if r.Ranks.Rank() == 0 && f.Images != nil && r.saveInputs(path, f) == nil {
		d.Inputs = path
	}
	return d
}

// A fault is a training step whose loss is not finite.
type fault struct {
	Layer           string    // see Diverged
	Images, Targets []float32 // what the step read; nil if they could not be had
}

// fault looks for where the loss of a step became not finite, whose batch the training
// pass has.
func (r *run) fault(step uint64) *fault {
	f := &fault{}
	if layer, err := r.training.FirstNotFinite(step); err == nil {
		f.Layer = layer
	}
	images, targets := make([]float32, r.training.Images.Len), make([]float32, r.training.Targets.Len)
	if errors.Join(r.backend.Download(images, r.training.Images), r.backend.Download(targets, r.training.Targets)) == nil {
		f.Images, f.Targets = images, targets
	}
	return f
}

// saveInputs writes what a step has read.
func (r *run) saveInputs(path string, f *fault) error {
	shape := []int{r.BatchSize, len(f.Images) / r.BatchSize} // of features
	if r.features == nil {
		size := int(math.Sqrt(float64(shape[1] / 3)))
		shape = []int{r.BatchSize, size, size, 3}
	}
	return checkpoint.Write(path, checkpoint.Meta{Arch: r.Arch, Classes: r.classes, Preprocess: r.Preprocess}, []named.Tensor{
		{Name: "images", Shape: shape, Data: f.Images},
		{Name: "targets", Shape: []int{r.BatchSize, r.Arch.Classes}, Data: f.Targets},
	})
}
