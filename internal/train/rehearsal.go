package train

import (
	"context"
	"time"

	"effnet/internal/backend"
	"effnet/internal/data"
	"effnet/internal/model"
	"effnet/internal/optim"
)

// A Rehearsal is a run that is set up by the same code but has no images. On a backend
// that only counts it shows how much memory a run takes, on a device how long its steps
// take.
type Rehearsal struct{ run *run }

// Rehearse sets up a run in its first epoch, for the given numbers of images to train and
// to evaluate on. Options.Out may be empty.
func Rehearse(b backend.Backend, opt Options, images, evaluated int) (*Rehearsal, error) {
	r := &run{Options: opt, backend: b, rehearsal: rehearsed}
	return &Rehearsal{r}, r.rehearse(images, evaluated, r.opening())
}

// rehearse builds r for a number of images.
func (r *run) rehearse(images, evaluated int, phases []phase) error {
	r.TrainLoader.Workers, r.EvalLoader.Workers = 1, 1 // nothing is read
	var evalSet *data.Set
	if evaluated > 0 {
		evalSet = data.Blank(evaluated, r.Arch.Classes)
	}
	return r.build(context.Background(), data.Blank(images, r.Arch.Classes), evalSet, phases)
}

// Network is what is trained.
func (r *Rehearsal) Network() *model.Network { return r.run.net }

// Training is the training pass; nothing is in its images and targets.
func (r *Rehearsal) Training() *model.Training { return r.run.training }

// Optimizer is the optimizer.
func (r *Rehearsal) Optimizer() *optim.Optimizer { return r.run.optimizer }

// Estimate measures how long a run's steps on the given number of images take: forward
// and backward passes, without reading images, updates and evaluation.
func Estimate(b backend.Backend, opt Options, images int) (time.Duration, error) {
	rehearsal, err := Rehearse(b, opt, images, 0)
	if err != nil {
		return 0, err
	}
	r := rehearsal.run
	steps := map[phase]time.Duration{}
	var total time.Duration
	for epoch := range r.Epochs {
		p := r.phaseOf(epoch)
		if _, measured := steps[p]; !measured {
			if p != r.phase {
				if err := r.enter(p); err != nil {
					return 0, err
				}
			}
			if steps[p], err = r.stepTime(); err != nil {
				return 0, err
			}
		}
		total += steps[p] * time.Duration(r.loader.Batches())
	}
	return total, nil
}

// stepTime is the fastest of a few steps.
func (r *run) stepTime() (time.Duration, error) {
	const steps = 4
	fastest := time.Duration(1<<63 - 1)
	for step := range uint64(steps) {
		start := time.Now()
		err := r.training.Run(step)
		if err == nil {
			err = r.backend.Sync()
		}
		if err != nil {
			return 0, err
		}
		fastest = min(fastest, time.Since(start))
	}
	return fastest, nil
}

// How a run is set up.
type rehearsal int

const (
	performed rehearsal = iota
	rehearsed           // with weights, without images
	counting            // with neither
)

// A Counter is a backend that computes nothing: Bytes is the memory of what was made on it.
type Counter interface {
	backend.Backend
	Bytes() int64
}

// Memory is what a run takes, in bytes.
type Memory struct {
	Weights int64 // weights, gradients, averages and the optimizer's values
	Batch   int64 // all else on the device: passes of training and evaluation, and batches that arrive
	Read    int64 // batches that are read ahead, in the host's memory
}

// Bytes is all of it.
func (m Memory) Bytes() int64 { return m.Weights + m.Batch + m.Read }

// CountMemory returns the most memory that a run takes in any of its epochs. It sets the run
// up on counters, one for each phase.
func CountMemory(counter func() (Counter, error), opt Options, images, evaluated int) (most Memory, err error) {
	for _, p := range opt.phases() {
		b, err := counter()
		if err != nil {
			return most, err
		}
		r := &run{Options: opt, backend: b, rehearsal: counting}
		if err := r.rehearse(images, evaluated, []phase{p}); err != nil {
			return most, err
		}
		m := Memory{Weights: 4 * int64(r.weights()), Read: r.loader.Options().BatchBytes()}
		m.Batch = b.Bytes() - m.Weights
		if m.Bytes() > most.Bytes() {
			most = m
		}
	}
	if !opt.FineTune.CacheFeatures {
		return most, nil
	}
	b, err := counter()
	if err != nil {
		return most, err
	}
	features, err := countFeatures(b, opt, images)
	if features.Bytes() > most.Bytes() {
		most = features
	}
	return most, err
}

// countFeatures is the memory of a run while it computes what the classifier reads, before
// there are an optimizer and an average.
func countFeatures(b Counter, opt Options, images int) (m Memory, err error) {
	r := &run{Options: opt, backend: b, rehearsal: counting}
	if r.net, err = model.New(opt.Arch, b); err != nil {
		return m, err
	}
	if r.gradients, err = backend.NewView(b, r.net.Weights.Len); err != nil {
		return m, err
	}
	m.Weights = b.Bytes()
	sweep, err := r.featureSweep(data.Blank(images, opt.Arch.Classes))
	if err != nil {
		return m, err
	}
	m.Batch, m.Read = b.Bytes()-m.Weights, sweep.Options().BatchBytes()
	return m, nil
}

// weights is how many values there are of weights, gradients, averages and optimizer.
func (r *run) weights() int {
	values := r.net.Weights.Len + r.net.Running.Len + r.gradients.Len + r.optimizer.Sums()
	for _, s := range r.optimizer.Slots() {
		values += s.View.Len
	}
	if r.average != nil {
		values += r.average.net.Weights.Len + r.average.net.Running.Len
	}
	return values
}
