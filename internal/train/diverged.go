package train

import (
	"fmt"
	"math"
	"path/filepath"

	"effnet/internal/checkpoint"
	"effnet/internal/data"
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

// diverged looks for where it began, and keeps the batch; nil is evaluation.
func (r *run) diverged(loss float64, batch *data.Batch) error {
	d := &Diverged{Epoch: r.epoch + 1, Step: r.batch + 1, Loss: loss}
	if len(r.result.Epochs) > 0 {
		d.Kept = filepath.Join(r.Out, "last.safetensors")
	}
	if batch == nil {
		return d
	}
	if layer, err := r.training.FirstNotFinite(r.step); err == nil {
		d.Layer = layer
	}
	path := filepath.Join(r.Out, "diverged.safetensors")
	size := int(math.Sqrt(float64(len(batch.Images) / r.BatchSize / 3)))
	err := checkpoint.Write(path, checkpoint.Meta{Arch: r.Arch, Classes: r.classes, Preprocess: r.Preprocess}, []checkpoint.Tensor{
		{Name: "images", Shape: []int{r.BatchSize, size, size, 3}, Data: batch.Images},
		{Name: "targets", Shape: []int{r.BatchSize, r.Arch.Classes}, Data: r.targets},
	})
	if err == nil {
		d.Inputs = path
	}
	return d
}
