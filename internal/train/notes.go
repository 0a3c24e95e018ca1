package train

import (
	"fmt"
	"math"
	"slices"

	"effnet/internal/data"
	"effnet/internal/scale"
	"effnet/internal/words"
)

// notes are what the log says before the first step, a line each.
func (r *run) notes(trainSet, evalSet *data.Set) []string {
	notes := append(slices.Clone(r.Notes), trainSet.Notes(r.TrainLoader.Upright)...)
	if evalSet != nil && evalSet.Dir != trainSet.Dir {
		notes = append(notes, evalSet.Notes(r.EvalLoader.Upright)...)
	}
	if r.WarmupEpochs >= float64(r.Epochs) {
		notes = append(notes, fmt.Sprintf("the warm-up of %g epochs is as long as training, so the learning rate never reaches %g (set --warmup-epochs)", r.WarmupEpochs, r.PeakLR))
	}
	for _, text := range []string{r.unusedImages(trainSet.Len()), r.wastedUpdate(), r.fewValues(), r.lateStatistics()} {
		if text != "" {
			notes = append(notes, text)
		}
	}
	return notes
}

// unusedImages says how many images an epoch skips, so that its batches are full.
func (r *run) unusedImages(images int) string {
	rest := images - r.loader.Batches()*r.BatchSize
	if rest <= 0 {
		return ""
	}
	return fmt.Sprintf("each epoch skips %d of the %d training images, different ones each time: they do not fill a batch of %d", rest, images, r.BatchSize)
}

// wastedUpdate says that the first update, at a learning rate of 0, is a good part of all.
func (r *run) wastedUpdate() string {
	const many = 50 // updates, of which one does not count
	updates := int(r.schedule.TotalUpdates)
	if r.schedule.LR(0) > 0 || updates > many {
		return ""
	}
	return fmt.Sprintf("the first of %s is at a learning rate of 0, where the warm-up begins (set --warmup-epochs 0, --warmup-lr, or a smaller -b for more updates)", words.Count(updates, "update"))
}

// fewValues says that batch normalisation has few values for each mean and variance.
func (r *run) fewValues() string {
	const few = 8
	if r.FineTune.Frozen.Norms || r.FineTune.Frozen.Body {
		return ""
	}
	arch := r.Arch
	for _, s := range r.Stages {
		arch.Resolution = min(arch.Resolution, s.Resolution)
	}
	least, name := math.MaxInt, ""
	for _, l := range arch.Layers() {
		if values := r.BatchSize * l.Side * l.Side; l.Op == scale.Normalise && values < least {
			least, name = values, l.Name
		}
	}
	if least >= few && r.BatchSize > 1 {
		return ""
	}
	return fmt.Sprintf("batch normalisation takes means and variances of a batch of %d, %s at %s: evaluation may be far from training (use a larger -b, or finetune --freeze-bn)",
		r.BatchSize, words.Count(least, "value"), name)
}

// lateStatistics says that the training is too short for the running statistics, which
// evaluation normalises by, to forget what they begin with.
func (r *run) lateStatistics() string {
	const most = 0.02 // of what they begin with may be left
	if r.Start != nil || r.evaluator == nil {
		return ""
	}
	steps := float64(r.loader.Batches() * r.Epochs)
	left := math.Pow(1-r.Arch.BNMomentum, steps)
	if left <= most {
		return ""
	}
	momentum := math.Ceil(1000*(1-math.Pow(most/2, 1/steps))) / 1000
	return fmt.Sprintf("after %s with --bn-momentum %g, %.0f%% of the running means and variances are still the initial 0 and 1, so evaluation underrates the network (set --bn-momentum %g)",
		words.Count(int(steps), "step"), r.Arch.BNMomentum, 100*left, min(momentum, 1))
}
