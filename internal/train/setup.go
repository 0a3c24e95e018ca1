package train

import (
	"context"
	"math"
	"time"

	"effnet/internal/backend"
	"effnet/internal/data"
	"effnet/internal/feed"
	"effnet/internal/model"
	"effnet/internal/optim"
)

// build makes all that a run computes with, and enters phases, the last of which is to be
// trained.
func (r *run) build(ctx context.Context, trainSet, evalSet *data.Set, phases []phase) (err error) {
	r.trainSet = trainSet
	if err = r.shares(); err != nil {
		return err
	}
	if r.net, err = model.New(r.Arch, r.backend); err != nil {
		return err
	}
	if err = r.initialise(r.net); err != nil {
		return err
	}
	if r.gradients, err = backend.NewView(r.backend, r.net.Weights.Len); err != nil {
		return err
	}
	if r.FineTune.CacheFeatures {
		if err = r.cacheFeatures(ctx, trainSet, evalSet); err != nil {
			return err
		}
	}
	last := phases[len(phases)-1]
	rule := r.Optimizer
	rule.MicroBatches = r.each
	r.optimizer, err = optim.New(r.backend, rule, r.net.Weights, r.gradients, r.groups(last.frozen))
	if err != nil {
		return err
	}
	if n := r.Ranks.Size(); n > 1 {
		r.together = &together{sum: r.Ranks.NewSum(r.net.Weights.Len), busy: make([]time.Duration, n)}
	}
	for _, p := range phases {
		if err = r.enter(p); err != nil {
			return err
		}
	}
	if evalSet != nil {
		if r.evaluator, err = r.newEvaluator(r.net, evalSet); err != nil {
			return err
		}
	}
	if r.EMA > 0 {
		if r.average, err = r.newAverage(evalSet); err != nil {
			return err
		}
	}
	steps := math.Ceil(float64(r.loader.Batches()) / float64(max(r.Optimizer.MicroBatches, 1)))
	r.schedule = optim.Schedule{
		Kind: r.Schedule, Peak: r.PeakLR, Start: r.StartLR, Min: r.MinLR, TotalUpdates: steps * float64(r.Epochs),
		WarmupUpdates: steps * r.WarmupEpochs, DecayUpdates: steps * r.DecayEpochs, DecayRate: r.DecayRate,
	}
	r.targets = make([]float32, r.BatchSize*r.Arch.Classes)
	r.logits = make([]float32, r.BatchSize*r.Arch.Classes)
	if r.together != nil {
		const slow = 10 << 20 // bytes a second that rank 0 at least writes a state with
		r.Ranks.Allow(time.Duration(4*r.weights()) * time.Second / slow)
	}
	r.results, err = newResults(r.backend, len(r.logits))
	return err
}

// A phase is a run of epochs with the same training pass.
type phase struct {
	stage  int // index of Stages
	frozen model.Frozen
}

// phaseOf is the phase of an epoch.
func (o Options) phaseOf(epoch int) (p phase) {
	for i, s := range o.Stages {
		if s.Epoch <= epoch {
			p.stage = i
		}
	}
	p.frozen = o.FineTune.frozen(epoch)
	return p
}

// phases are those of all epochs.
func (o Options) phases() (all []phase) {
	for epoch := range max(o.Epochs, 1) {
		if p := o.phaseOf(epoch); len(all) == 0 || all[len(all)-1] != p {
			all = append(all, p)
		}
	}
	return all
}

// opening is the phases that a run enters when it begins: the first or, where passes
// share memory, the one of the largest images before it, in whose memory it then is.
func (r *run) opening() []phase {
	first := r.phaseOf(0)
	if _, ok := r.backend.(backend.Sharer); ok && len(r.Stages) > 1 {
		return []phase{r.phaseOf(r.Epochs - 1), first}
	}
	return []phase{first}
}

// enter makes the training pass and the loader of a phase.
func (r *run) enter(p phase) (err error) {
	s := Stage{Resolution: r.Arch.Resolution, Dropout: r.Arch.Dropout, Transform: r.TrainLoader.Transform}
	if len(r.Stages) > 0 {
		s = r.Stages[p.stage]
	}
	loading := r.TrainLoader
	loading.Size, loading.Transform, loading.Memory = s.Resolution, s.Transform, r.features
	if r.loader != nil {
		loading.Skipped = r.loader.Skipped()
	}
	loading = loading.WithPixels()
	if r.loader, err = data.NewLoader(r.trainSet, loading); err != nil {
		return err
	}
	r.training, r.input = nil, nil // before the next ones take memory
	r.phase = p
	pass := model.Pass{Resolution: s.Resolution, Dropout: s.Dropout, Batch: r.BatchSize, Seed: r.Seed, Frozen: p.frozen}
	if r.features != nil {
		r.training, err = r.net.HeadTraining(pass, r.gradients)
	} else {
		r.training, err = r.net.TrainingAt(pass, r.gradients)
	}
	if err != nil {
		return err
	}
	if r.input, err = feed.NewInput(r.backend, loading, r.training.Images, r.training.Targets); err != nil {
		return err
	}
	if t, n := r.together, r.training.Moments.Len; t != nil {
		switch { // memory of a table lasts: one is kept as long as it fits
		case n == 0:
			t.moments = nil
		case t.moments == nil || t.moments.Width() != n:
			t.moments = r.Ranks.NewTable(r.each, n)
		}
	}
	return r.optimizer.Guard(r.training.LossView())
}

// newAverage makes a network that averages r.net's weights and running statistics,
// beginning with them as they are.
func (r *run) newAverage(evalSet *data.Set) (*average, error) {
	net, err := model.New(r.Arch, r.backend)
	if err == nil {
		err = r.initialise(net)
	}
	if err != nil {
		return nil, err
	}
	a := &average{net: net}
	if a.ema, err = optim.NewEMA(r.backend, r.EMA, []backend.View{r.net.Weights, r.net.Running}, []backend.View{net.Weights, net.Running}); err != nil {
		return nil, err
	}
	if evalSet != nil {
		a.evaluator, err = r.newEvaluator(net, evalSet)
	}
	return a, err
}
