// Package train is the training loop and the evaluation of a network on folders
// of images.
package train

import (
	"context"
	"errors"
	"io"
	"time"

	"effnet/internal/augment"
	"effnet/internal/backend"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/feed"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/optim"
	"effnet/internal/ranks"
	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/words"
)

// Options says how a network is trained. Schedule lengths are in epochs here.
type Options struct {
	Arch      scale.Arch
	Epochs    int
	BatchSize int
	Optimizer optim.Options

	Schedule     string // optim.Schedule.Kind
	PeakLR       float64
	StartLR      float64 // of the warm-up
	MinLR        float64 // see optim.Schedule
	WarmupEpochs float64
	DecayEpochs  float64
	DecayRate    float64

	Stages []Stage // of progressive learning, each from its epoch on; none for one at Arch's resolution

	Smoothing    float64   // label smoothing: the share of a target spread over all classes
	ClassWeights []float64 // of the loss, by class; nil for 1

	EMA float64 // decay of running averages of the weights; 0 for none

	Start    []named.Tensor // weights to begin with; nil for random ones
	FineTune FineTune       // how they are trained
	Notes    []string       // what else the log says at the beginning, a line each

	Identity []Fact // what settings say of the run's numbers: a state of another run is not resumed

	LogInterval int              // batches between two lines of metrics.jsonl; 0 for none
	Settings    []report.Setting // for the report
	Machine     [][2]string      // for the report

	// Ranks is this process's place among those that share the run; nil for a run of one
	// process. Optimizer.MicroBatches counts those of all ranks, and each takes its part of
	// them (ranks.Divide); all other options are the same on every rank. Rank 0 writes to
	// Out and to the log, and the others need no folder.
	Ranks *ranks.Group

	Seed        uint64
	Until       int    // epochs after which Run returns, for Resume to go on from; 0 for all
	Out         string // folder of the checkpoints and metrics; it exists
	Resume      bool   // go on from the newest state in Out
	Patience    int    // epochs without improvement that end the training; 0 for any
	Every       Every  // how often the state is saved
	Keep        int    // state files that are kept; 0 is 1
	Preprocess  checkpoint.Preprocess
	TrainLoader data.Options
	EvalLoader  data.Options
}

// A Stage is a part of a training run on images of its own size, with its own
// regularisation (progressive learning; Tan and Le 2021, EfficientNetV2,
// algorithm 1).
type Stage struct {
	Epoch      int // the first, from 0
	Resolution int // pixels
	Dropout    float64
	Transform  augment.Transform
}

// Result is the outcome of a training run.
type Result struct {
	Epochs []report.Epoch `json:"epochs"`
	Best   Metrics        `json:"best"` // of the best checkpoint
	Out    string         `json:"out"`
}

// run is a training run under way.
type run struct {
	Options
	backend   backend.Backend
	net       *model.Network
	training  *model.Training
	input     *feed.Input // of training
	optimizer *optim.Optimizer
	schedule  optim.Schedule
	gradients backend.View
	trainSet  *data.Set
	loader    *data.Loader
	evaluator *Evaluator // nil without an evaluation set
	average   *average   // nil without EMA
	observer  *observer
	classes   []string
	log       *report.Log
	identity  identity
	targets   []float32 // [N,classes]
	logits    []float32 // [N,classes]
	results   results

	features, evalFeatures *data.Memory // with FineTune.CacheFeatures
	rehearsal              rehearsal

	result       Result
	each         int       // batches of an update that this process takes
	together     *together // nil where it takes all
	phase        phase
	unfrozen     int    // updates until all weights were trained
	epoch, batch int    // under way, from 0; batches of it that are done
	step         uint64 // batches in all
	taken        uint64 // the step whose batch the training pass has
	began        beginning
	sum          meter   // of the epoch so far
	seconds      float64 // of the epoch so far, in earlier processes
	wait         float64 // of these, for images
	skipped      int     // unusable training images reported so far
	saved        time.Time
	savedStep    uint64
}

// average is a running average of the network, as a network.
type average struct {
	net       *model.Network
	ema       *optim.EMA
	evaluator *Evaluator // nil without an evaluation set
}

// Run trains a network from scratch, or from where the state in its folder says,
// on one set and evaluates it on another, which may be nil, after each epoch. It
// writes last.safetensors after each epoch, best.safetensors when top-1 improves,
// and its state as Every says; a run that resumes from it ends in the same bits
// as one that was never stopped. When ctx ends, the step under way is finished,
// the state and last.safetensors are written and ctx's error is returned. "The step" is all
// batches of an update.
//
// With Options.Ranks it is called on every rank, and ends in the same bits as on one. A ctx
// that ends on one rank ends the run on all, after the same update: the error is a
// *ranks.Stopped. A rank that returns any other error must end the job.
func Run(ctx context.Context, b backend.Backend, opt Options, trainSet, evalSet *data.Set, log *report.Log) (result *Result, err error) {
	r, err := newRun(ctx, b, opt, trainSet, evalSet, log)
	if err != nil {
		return nil, err
	}
	if r.observer != nil {
		defer func() { err = errors.Join(err, r.observer.close()) }()
	}
	r.describe(trainSet, evalSet)
	if r.Resume && r.epoch >= r.Epochs {
		r.log.Printf("the run is complete: nothing is left to train")
	}
	for r.epoch < r.until() && !r.stalled() {
		err := r.trainEpoch(ctx)
		if err == nil {
			err = r.finishEpoch(ctx)
		}
		if errors.As(err, new(*ranks.Stopped)) || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil, r.saveInterrupted(err)
		}
		if err != nil {
			return nil, err
		}
	}
	if text := r.lateStatistics(); text != "" {
		r.log.Printf("note: %s", text)
	}
	return &r.result, nil
}

// until is the epoch to end before.
func (r *run) until() int {
	if r.Until > 0 {
		return min(r.Until, r.Epochs)
	}
	return r.Epochs
}

// stalled tells whether the best epoch is Patience epochs ago.
func (r *run) stalled() bool {
	if r.Patience < 1 || r.evaluator == nil || len(r.result.Epochs) == 0 {
		return false
	}
	best := 0
	for i, e := range r.result.Epochs {
		if b := r.result.Epochs[best]; max(e.ValTop1, e.EMATop1) > max(b.ValTop1, b.EMATop1) {
			best = i
		}
	}
	if len(r.result.Epochs)-1-best < r.Patience {
		return false
	}
	r.log.Printf("stopped early: no improvement since epoch %d", best+1)
	return true
}

func newRun(ctx context.Context, b backend.Backend, opt Options, trainSet, evalSet *data.Set, log *report.Log) (*run, error) {
	r := &run{Options: opt, backend: b, log: log, classes: trainSet.Classes, saved: time.Now()}
	r.result.Out = opt.Out
	var from *state
	var buffers []named.Tensor
	var err error
	if r.Ranks.Rank() > 0 {
		r.log = report.NewLog(io.Discard, nil, 0, true)
	}
	if r.identity, err = opt.identify(trainSet.Len(), trainSet.Classes); err != nil {
		return nil, err
	}
	if err = r.agree(trainSet, evalSet); err != nil {
		return nil, err
	}
	if opt.Resume {
		if from, buffers, err = r.sharedState(); err != nil {
			return nil, err
		}
		if c, ok := b.(backend.Chooser); ok {
			if note := c.Choose(from.Choices); note != "" {
				r.log.Printf("note: %s", note)
			}
		}
		r.TrainLoader.Skipped = append(r.TrainLoader.Skipped, restored(from.Skipped)...)
	}
	if err := r.build(ctx, trainSet, evalSet, r.opening()); err != nil {
		return nil, err
	}
	if opt.Resume {
		if err := r.restore(from, buffers); err != nil {
			return nil, err
		}
	}
	if r.Ranks.Rank() == 0 {
		r.observer, err = r.newObserver(evalSet)
	}
	return r, err
}

// describe says what is about to be trained.
func (r *run) describe(trainSet, evalSet *data.Set) {
	cost := scale.Count(r.Arch)
	eval := "no evaluation images"
	if evalSet != nil {
		eval = words.Count(evalSet.Len(), "evaluation image")
	}
	r.log.Printf("%s at %d px on %s: %.2fM parameters, %.1fM multiply-adds per image, %d MiB for a batch of %d",
		r.Arch.Name, r.Arch.Resolution, r.backend.Name(), float64(cost.Params)/1e6, float64(cost.MACs)/1e6, r.training.ArenaBytes()>>20, r.BatchSize)
	r.log.Printf("%s of %s, %s, %s of %s, in %s", words.Count(trainSet.Len(), "training image"), words.Count(len(r.classes), "class", "classes"), eval,
		words.Count(r.Epochs, "epoch"), words.Count(r.loader.Batches(), "step"), r.Out)
	if n := r.Ranks.Size(); n > 1 {
		r.log.Printf("%d ranks, each with %s of every update", n, words.Count(r.each, "batch", "batches"))
	}
	if r.Start != nil {
		r.log.Printf("%s", r.beginning())
	}
	for _, note := range r.notes(trainSet, evalSet) {
		r.log.Printf("note: %s", note)
	}
}
