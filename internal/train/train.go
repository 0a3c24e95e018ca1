// Package train is the training loop and the evaluation of a network on folders
// of images.
package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"effnet/internal/backend"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/model"
	"effnet/internal/optim"
	"effnet/internal/report"
	"effnet/internal/scale"
)

// Options says how a network is trained. Schedule lengths are in epochs here.
type Options struct {
	Arch      scale.Arch
	Epochs    int
	BatchSize int
	Optimizer optim.Options

	Schedule     string // optim.Schedule.Kind
	PeakLR       float64
	WarmupEpochs float64
	DecayEpochs  float64
	DecayRate    float64

	Smoothing    float64   // label smoothing: the share of a target spread over all classes
	ClassWeights []float64 // of the loss, by class; nil for 1

	Seed        uint64
	Out         string // folder of the checkpoints and metrics; it exists
	Preprocess  checkpoint.Preprocess
	TrainLoader data.Options
	EvalLoader  data.Options
}

// Diverged says that the loss stopped being a finite number.
type Diverged struct {
	Epoch, Step int // from 1
	Loss        float64
	Kept        string // the last good checkpoint; may be empty
}

func (d *Diverged) Error() string {
	s := fmt.Sprintf("train: the loss is %v at step %d of epoch %d: training diverged; lower --lr or lengthen --warmup-epochs", d.Loss, d.Step, d.Epoch)
	if d.Kept != "" {
		s += " (the weights before are in " + d.Kept + ")"
	}
	return s
}

// Result is what a training came to.
type Result struct {
	Epochs []report.Epoch `json:"epochs"`
	Best   Metrics        `json:"best"` // of the best checkpoint
	Out    string         `json:"out"`
}

// run is a training under way.
type run struct {
	Options
	backend   backend.Backend
	net       *model.Network
	training  *model.Training
	optimizer *optim.Optimizer
	schedule  optim.Schedule
	loader    *data.Loader
	evaluator *Evaluator // nil without an evaluation set
	classes   []string
	log       *report.Log
	result    Result
	step      int       // optimizer steps done
	targets   []float32 // [N,classes]
	logits    []float32 // [N,classes]
	leftOut   int       // unusable training images reported so far
	start     time.Time
}

// Run trains a network from scratch on one set and evaluates it on another,
// which may be nil, after each epoch. It writes last.safetensors after each
// epoch, and best.safetensors when top-1 improves. When ctx ends, the step under
// way is finished, last.safetensors written and ctx's error returned.
func Run(ctx context.Context, b backend.Backend, opt Options, trainSet, evalSet *data.Set, log *report.Log) (*Result, error) {
	r, err := newRun(b, opt, trainSet, evalSet, log)
	if err != nil {
		return nil, err
	}
	r.describe(trainSet, evalSet)
	for epoch := range opt.Epochs {
		e, err := r.trainEpoch(ctx, epoch)
		if err == nil {
			err = r.finishEpoch(ctx, e)
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil, r.saveInterrupted(epoch, err)
		}
		if err != nil {
			return nil, err
		}
	}
	return &r.result, nil
}

func newRun(b backend.Backend, opt Options, trainSet, evalSet *data.Set, log *report.Log) (*run, error) {
	r := &run{Options: opt, backend: b, log: log, classes: trainSet.Classes, start: time.Now()}
	r.result.Out = opt.Out
	var err error
	if r.loader, err = data.NewLoader(trainSet, opt.TrainLoader); err != nil {
		return nil, err
	}
	if r.net, err = model.New(opt.Arch, b); err != nil {
		return nil, err
	}
	if err = r.net.Initialise(opt.Seed); err != nil {
		return nil, err
	}
	if r.training, err = r.net.Training(opt.BatchSize, opt.Seed); err != nil {
		return nil, err
	}
	r.optimizer, err = optim.New(b, opt.Optimizer, r.net.Weights, r.training.GradientView(), r.net.Decayed)
	if err != nil {
		return nil, err
	}
	if evalSet != nil {
		if r.evaluator, err = NewEvaluator(r.net, b, evalSet, opt.EvalLoader); err != nil {
			return nil, err
		}
	}
	steps := float64(r.loader.Batches())
	r.schedule = optim.Schedule{
		Kind: opt.Schedule, Peak: opt.PeakLR, TotalSteps: steps * float64(opt.Epochs),
		WarmupSteps: steps * opt.WarmupEpochs, DecaySteps: steps * opt.DecayEpochs, DecayRate: opt.DecayRate,
	}
	r.targets = make([]float32, opt.BatchSize*opt.Arch.Classes)
	r.logits = make([]float32, opt.BatchSize*opt.Arch.Classes)
	return r, nil
}

// describe says what is about to be trained.
func (r *run) describe(trainSet, evalSet *data.Set) {
	cost := scale.Count(r.Arch)
	eval := "no evaluation images"
	if evalSet != nil {
		eval = fmt.Sprintf("%d evaluation images", evalSet.Len())
	}
	r.log.Printf("%s at %d px on %s: %.2fM parameters, %.1fM multiply-adds an image, %d MiB for a batch of %d",
		r.Arch.Name, r.Arch.Resolution, r.backend.Name(), float64(cost.Params)/1e6, float64(cost.MACs)/1e6, r.training.ArenaBytes()>>20, r.BatchSize)
	r.log.Printf("%d training images of %d classes, %s, %d epochs of %d steps, in %s",
		trainSet.Len(), len(r.classes), eval, r.Epochs, r.loader.Batches(), r.Out)
	if r.WarmupEpochs >= float64(r.Epochs) {
		r.log.Printf("note: the warm-up of %g epochs is as long as the training, so the learning rate never reaches %g (set --warmup-epochs)", r.WarmupEpochs, r.PeakLR)
	}
}

// trainEpoch is one pass over the training images.
func (r *run) trainEpoch(ctx context.Context, epoch int) (report.Epoch, error) {
	var sum meter
	start, wait := time.Now(), time.Duration(0)
	asked := start
	lr := 0.0
	steps := 0
	for batch, err := range r.loader.Epoch(ctx, epoch, 0) {
		if err != nil {
			return report.Epoch{}, err
		}
		wait += time.Since(asked)
		r.fillTargets(batch)
		if err := r.forwardBackward(batch); err != nil {
			return report.Epoch{}, err
		}
		loss, err := r.training.Loss()
		if err != nil {
			return report.Epoch{}, err
		}
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return report.Epoch{}, r.diverged(epoch, steps, loss)
		}
		lr = r.schedule.LR(r.step)
		if _, err := r.optimizer.Step(lr); err != nil {
			return report.Epoch{}, err
		}
		r.step++
		steps++
		sum.add(loss, r.logits, batch.Labels, r.Arch.Classes)
		r.log.Step(r.status(epoch, steps, sum, lr, start, wait))
		if err := ctx.Err(); err != nil {
			return report.Epoch{}, err
		}
		asked = time.Now()
	}
	seconds := time.Since(start).Seconds()
	return report.Epoch{
		Epoch: epoch + 1, Step: int64(r.step), LR: lr, TrainLoss: sum.loss(), TrainTop1: sum.top1(),
		Seconds: seconds, DataWait: wait.Seconds() / seconds,
	}, nil
}

// forwardBackward computes the gradients of a batch, and its logits.
func (r *run) forwardBackward(batch *data.Batch) error {
	if err := r.backend.Upload(r.training.Images, batch.Images); err != nil {
		return err
	}
	if err := r.backend.Upload(r.training.Targets, r.targets); err != nil {
		return err
	}
	if err := r.training.Run(uint64(r.step)); err != nil {
		return err
	}
	return r.training.Logits(r.logits)
}

func (r *run) status(epoch, steps int, sum meter, lr float64, start time.Time, wait time.Duration) report.Step {
	spent := time.Since(start)
	total := r.loader.Batches()
	left := (r.Epochs-epoch)*total - steps
	return report.Step{
		Epoch: epoch + 1, Epochs: r.Epochs, Step: steps, Steps: total, Loss: sum.loss(), Top1: sum.top1(), LR: lr,
		ImagesPerSec: float64(steps*r.BatchSize) / spent.Seconds(), DataWait: wait.Seconds() / spent.Seconds(),
		Left: time.Duration(float64(spent) / float64(steps) * float64(left)),
	}
}

// finishEpoch evaluates, saves and reports.
func (r *run) finishEpoch(ctx context.Context, e report.Epoch) error {
	m := Metrics{}
	if r.evaluator != nil {
		var err error
		if m, err = r.evaluator.Run(ctx); err != nil {
			return err
		}
		e.ValLoss, e.ValTop1, e.ValTop5 = m.Loss, m.Top1, m.Top5
	}
	if math.IsNaN(m.Loss) || math.IsInf(m.Loss, 0) {
		return r.diverged(e.Epoch-1, r.loader.Batches()-1, m.Loss)
	}
	improved := r.evaluator != nil && (len(r.result.Epochs) == 0 || m.Top1 > r.result.Best.Top1)
	r.result.Epochs = append(r.result.Epochs, e)
	at := checkpoint.Training{Epoch: e.Epoch, Step: e.Step, Top1: m.Top1, Top5: m.Top5, Loss: m.Loss}
	if err := r.save("last.safetensors", at); err != nil {
		return err
	}
	if improved {
		r.result.Best = m
		if err := r.save("best.safetensors", at); err != nil {
			return err
		}
	}
	r.reportLeftOut()
	evaluation := "not evaluated"
	if r.evaluator != nil {
		evaluation = m.String()
	}
	r.log.Printf("epoch %d/%d  train loss %.4f  top-1 %.2f%%  |  %s  |  %.1f s, data wait %.1f%%",
		e.Epoch, r.Epochs, e.TrainLoss, 100*e.TrainTop1, evaluation, e.Seconds, 100*e.DataWait)
	return report.WriteCSV(filepath.Join(r.Out, "metrics.csv"), r.result.Epochs)
}

// reportLeftOut names the unusable images that were found since the last epoch.
func (r *run) reportLeftOut() {
	if skipped := r.loader.Skipped(); len(skipped) > r.leftOut {
		r.log.Printf("%s", data.LeftOut(skipped[r.leftOut:]))
		r.leftOut = len(skipped)
	}
	if r.evaluator != nil && len(r.result.Epochs) == 1 {
		if text := r.evaluator.LeftOut(); text != "" {
			r.log.Printf("evaluation: %s", text)
		}
	}
}

// save writes a checkpoint of the present weights.
func (r *run) save(name string, at checkpoint.Training) error {
	tensors, err := r.net.Tensors()
	if err != nil {
		return err
	}
	return Save(filepath.Join(r.Out, name), checkpoint.Meta{
		Arch: r.Arch, Classes: r.classes, Preprocess: r.Preprocess, Training: &at,
	}, tensors)
}

// saveInterrupted keeps what was trained so far and returns cause.
func (r *run) saveInterrupted(epoch int, cause error) error {
	if r.step == 0 {
		return cause
	}
	if err := r.save("last.safetensors", checkpoint.Training{Epoch: epoch, Step: int64(r.step)}); err != nil {
		return errors.Join(cause, err)
	}
	r.log.Printf("stopped after step %d; the weights are in %s", r.step, filepath.Join(r.Out, "last.safetensors"))
	return cause
}

func (r *run) diverged(epoch, step int, loss float64) error {
	d := &Diverged{Epoch: epoch + 1, Step: step + 1, Loss: loss}
	if len(r.result.Epochs) > 0 {
		d.Kept = filepath.Join(r.Out, "last.safetensors")
	}
	return d
}

// fillTargets writes one row an image: its label's and, in the share that the
// loader mixed in, its partner's (timm.data.mixup.mixup_target).
func (r *run) fillTargets(batch *data.Batch) {
	clear(r.targets)
	k := r.Arch.Classes
	for n, label := range batch.Labels {
		row := r.targets[n*k:][:k]
		r.addTarget(row, label, batch.Lambda)
		if batch.Lambda < 1 {
			r.addTarget(row, batch.Labels[batch.Count-1-n], 1-batch.Lambda)
		}
	}
}

// addTarget adds a share of a label's target: 1-smoothing on the class, and
// smoothing spread evenly over all classes, times the class's weight.
func (r *run) addTarget(row []float32, label int, share float64) {
	if r.ClassWeights != nil {
		share *= r.ClassWeights[label]
	}
	for i := range row {
		row[i] += float32(share * r.Smoothing / float64(len(row)))
	}
	row[label] += float32(share * (1 - r.Smoothing))
}

// meter averages over the steps of an epoch.
type meter struct {
	losses         float64
	steps          int
	correct, count int
}

func (m *meter) add(loss float64, logits []float32, labels []int, classes int) {
	m.losses += loss
	m.steps++
	for n, label := range labels {
		if rank(logits[n*classes:(n+1)*classes], label) == 0 {
			m.correct++
		}
		m.count++
	}
}

func (m *meter) loss() float64 { return m.losses / float64(m.steps) }
func (m *meter) top1() float64 { return float64(m.correct) / float64(m.count) }
