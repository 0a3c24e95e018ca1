package train

import (
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
	d := &Diverged{Epoch: r.epoch + 1, Step: r.batch, Loss: loss}
	if len(r.result.Epochs) > 0 {
		d.Kept = filepath.Join(r.Out, "last.safetensors")
	}
	if p == nil {
		return d
	}
	if r.taken != p.step && r.input.Retake() != nil {
		return d
	}
	if layer, err := r.training.FirstNotFinite(p.step); err == nil {
		d.Layer = layer
	}
	path := filepath.Join(r.Out, "diverged.safetensors")
	if r.saveInputs(path) == nil {
		d.Inputs = path
	}
	return d
}

// saveInputs writes what the training pass has read.
func (r *run) saveInputs(path string) error {
	images, targets := make([]float32, r.training.Images.Len), make([]float32, r.training.Targets.Len)
	if err := r.backend.Download(images, r.training.Images); err != nil {
		return err
	}
	if err := r.backend.Download(targets, r.training.Targets); err != nil {
		return err
	}
	shape := []int{r.BatchSize, len(images) / r.BatchSize} // of features
	if r.features == nil {
		size := int(math.Sqrt(float64(shape[1] / 3)))
		shape = []int{r.BatchSize, size, size, 3}
	}
	return checkpoint.Write(path, checkpoint.Meta{Arch: r.Arch, Classes: r.classes, Preprocess: r.Preprocess}, []named.Tensor{
		{Name: "images", Shape: shape, Data: images},
		{Name: "targets", Shape: []int{r.BatchSize, r.Arch.Classes}, Data: targets},
	})
}
