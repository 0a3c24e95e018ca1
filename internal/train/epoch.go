package train

import (
	"context"
	"errors"
	"iter"
	"math"
	"path/filepath"
	"slices"
	"time"

	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/model"
	"effnet/internal/report"
)

// trainEpoch goes over the training images, from where the epoch stands.
func (r *run) trainEpoch(ctx context.Context) error {
	if p := r.phaseOf(r.epoch); p != r.phase {
		if err := r.change(p); err != nil {
			return err
		}
	}
	start, before, waited, first := time.Now(), r.seconds, r.wait, r.batch
	next, stop := iter.Pull2(r.loader.Epoch(ctx, r.epoch, first))
	defer stop()
	labels, wait, failed := r.stage(next)
	for r.wait += wait; labels != nil; {
		now := labels
		if err := r.launch(); err != nil {
			return err
		}
		labels, wait, failed = r.stage(next) // arrives while the device computes
		loss, lr, busy, err := r.finishStep()
		if err != nil {
			return err
		}
		if !busy {
			r.wait += wait
		}
		r.sum.add(loss, r.logits, now, r.Arch.Classes)
		r.seconds = before + time.Since(start).Seconds()
		status := r.status(lr, r.batch-first, time.Since(start), r.wait-waited)
		r.log.Step(status)
		if err := r.observeStep(status); err != nil {
			return err
		}
		if r.due() {
			if err := r.saveState(r.epoch, r.batch); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return failed
}

// stage brings the next batch to the device and returns its labels, nil after the
// last, and the seconds that it waited for it.
func (r *run) stage(next func() (*data.Batch, error, bool)) (labels []int, wait float64, err error) {
	asked := time.Now()
	batch, err, ok := next()
	wait = time.Since(asked).Seconds()
	if err != nil || !ok {
		return nil, wait, err
	}
	r.fillTargets(batch)
	return slices.Clone(batch.Labels), wait, r.input.Stage(batch, r.targets)
}

// launch begins to compute the gradients of the batch that was staged last.
func (r *run) launch() error {
	r.input.Take()
	return r.training.Run(r.step)
}

// finishStep waits for the gradients and gives them to the optimizer. busy says
// whether the device was still computing when it was called.
func (r *run) finishStep() (loss, lr float64, busy bool, err error) {
	asked := time.Now()
	if err := r.training.Logits(r.logits); err != nil {
		return 0, 0, false, err
	}
	busy = time.Since(asked) > stillBusy
	if loss, err = r.training.Loss(); err != nil {
		return 0, 0, false, err
	}
	if !finite(loss) {
		return 0, 0, false, r.diverged(loss, true)
	}
	lr = r.schedule.LR(r.optimizer.Steps())
	updated, err := r.optimizer.Step(lr)
	if err == nil && updated && r.average != nil {
		err = r.average.ema.Update(r.optimizer.Steps() - 1)
	}
	r.step++
	r.batch++
	return loss, lr, busy, err
}

// stillBusy is longer than logits take that a device has ready: it computed until
// then, and has not waited for images.
const stillBusy = 2 * time.Millisecond

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// status is what the log shows of a step; done is the steps that took spent.
func (r *run) status(lr float64, done int, spent time.Duration, wait float64) report.Step {
	total := r.loader.Batches()
	left := (r.Epochs-r.epoch)*total - r.batch
	return report.Step{
		Epoch: r.epoch + 1, Epochs: r.Epochs, Step: r.batch, Steps: total, Loss: r.sum.loss(), Top1: r.sum.top1(), LR: lr,
		ImagesPerSec: float64(done*r.BatchSize) / spent.Seconds(), DataWait: wait / spent.Seconds(),
		Left: time.Duration(float64(spent) / float64(done) * float64(left)),
	}
}

// finishEpoch evaluates, reports and saves, and begins the next epoch.
func (r *run) finishEpoch(ctx context.Context) error {
	e := report.Epoch{
		Epoch: r.epoch + 1, Step: int64(r.optimizer.Steps()), LR: r.schedule.LR(max(r.optimizer.Steps()-1, 0)),
		TrainLoss: r.sum.loss(), TrainTop1: r.sum.top1(), Seconds: r.seconds, DataWait: r.wait / r.seconds,
		ImagesPerSec: float64(r.sum.Count) / r.seconds,
	}
	m, averaged, err := r.evaluate(ctx, &e)
	if err != nil {
		return err
	}
	best := m
	if averaged.Top1 > m.Top1 {
		best = averaged
	}
	improved := r.evaluator != nil && (len(r.result.Epochs) == 0 || best.Top1 > r.result.Best.Top1)
	r.result.Epochs = append(r.result.Epochs, e)
	if err := r.saveWeights(improved, m, averaged); err != nil {
		return err
	}
	if improved {
		r.result.Best = best
	}
	r.reportEpoch(e)
	if err := r.observeEpoch(e, best.Details, improved); err != nil {
		return err
	}
	r.epoch, r.batch, r.sum, r.seconds, r.wait = r.epoch+1, 0, meter{}, 0, 0
	if r.dueAfter(r.epoch) {
		return r.saveState(r.epoch, 0)
	}
	return nil
}

// evaluate evaluates the weights and their averages.
func (r *run) evaluate(ctx context.Context, e *report.Epoch) (m, averaged Metrics, err error) {
	if r.evaluator == nil {
		return m, averaged, nil
	}
	if m, err = r.evaluator.Run(ctx); err != nil {
		return m, averaged, err
	}
	if !finite(m.Loss) {
		return m, averaged, r.diverged(m.Loss, false)
	}
	e.ValLoss, e.ValTop1, e.ValTop5 = m.Loss, m.Top1, m.Top5
	if r.average != nil {
		if averaged, err = r.average.evaluator.Run(ctx); err != nil {
			return m, averaged, err
		}
		if !finite(averaged.Loss) {
			return m, averaged, r.diverged(averaged.Loss, false)
		}
		e.EMALoss, e.EMATop1 = averaged.Loss, averaged.Top1
	}
	return m, averaged, nil
}

// saveWeights writes the present weights, their averages, and, if they have
// improved, the better of the two as the best.
func (r *run) saveWeights(improved bool, m, averaged Metrics) error {
	if err := r.save("last.safetensors", r.net, m, false); err != nil {
		return err
	}
	if r.average != nil {
		if err := r.save("last-ema.safetensors", r.average.net, averaged, true); err != nil {
			return err
		}
	}
	switch {
	case !improved:
		return nil
	case averaged.Top1 > m.Top1:
		return r.save("best.safetensors", r.average.net, averaged, true)
	}
	return r.save("best.safetensors", r.net, m, false)
}

// save writes a network as a checkpoint.
func (r *run) save(name string, net *model.Network, m Metrics, ema bool) error {
	tensors, err := net.Tensors()
	if err != nil {
		return err
	}
	return Save(filepath.Join(r.Out, name), checkpoint.Meta{
		Arch: r.Arch, Classes: r.classes, Preprocess: r.Preprocess,
		Training: &checkpoint.Training{Epoch: len(r.result.Epochs), Step: int64(r.optimizer.Steps()), Top1: m.Top1, Top5: m.Top5, Loss: m.Loss, EMA: ema},
	}, tensors)
}

// reportEpoch prints an epoch, and what was left out in it.
func (r *run) reportEpoch(e report.Epoch) {
	if skipped := r.loader.Skipped(); len(skipped) > r.leftOut {
		r.log.Printf("%s", data.LeftOut(skipped[r.leftOut:]))
		r.leftOut = len(skipped)
	}
	if r.evaluator != nil && e.Epoch == 1 {
		if text := r.evaluator.LeftOut(); text != "" {
			r.log.Printf("evaluation: %s", text)
		}
	}
	r.log.Epoch(e, r.Epochs, r.evaluator != nil, r.average != nil)
}

// saveInterrupted keeps what was trained so far and returns cause.
func (r *run) saveInterrupted(cause error) error {
	if r.step == 0 {
		return cause
	}
	err := r.saveState(r.epoch, r.batch)
	if err == nil {
		err = r.save("last.safetensors", r.net, Metrics{}, false)
	}
	if err != nil {
		return errors.Join(cause, err)
	}
	r.log.Printf("stopped after step %d; the weights are in %s, and --resume goes on", r.step, filepath.Join(r.Out, "last.safetensors"))
	return cause
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

// meter averages over the batches of an epoch.
type meter struct {
	Losses         float64
	Batches        int
	Correct, Count int
}

func (m *meter) add(loss float64, logits []float32, labels []int, classes int) {
	m.Losses += loss
	m.Batches++
	for n, label := range labels {
		if rank(logits[n*classes:(n+1)*classes], label) == 0 {
			m.Correct++
		}
		m.Count++
	}
}

func (m *meter) loss() float64 { return m.Losses / float64(m.Batches) }
func (m *meter) top1() float64 { return float64(m.Correct) / float64(m.Count) }
