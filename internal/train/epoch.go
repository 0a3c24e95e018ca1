package train

import (
	"context"
	"errors"
	"iter"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"effnet/internal/backend"
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
	r.began = beginning{time.Now(), r.seconds, r.wait, r.batch, r.Ranks.Exchanged()}
	if r.together != nil {
		return r.trainTogether(ctx)
	}
	reading := ctx
	if r.each > 1 { // an update that was begun is finished
		reading = context.WithoutCancel(ctx)
	}
	next, stop := iter.Pull2(r.loader.Epoch(reading, r.epoch, r.batch))
	defer stop()
	var last *pending // its loss is read when the device already computes the next step
	for {
		labels, err := r.send(next, last)
		if labels == nil || err != nil {
			if failed := r.conclude(last); failed != nil {
				return failed
			}
			if batches := r.optimizer.Micro(); err == nil && batches > 0 { // the epoch's last, fewer than other updates have
				r.optimizer.Sum()
				err = r.updateWeights(r.schedule.LR(r.optimizer.Updates()), batches)
			}
			return err
		}
		if err := r.training.Run(r.step); err != nil {
			return err
		}
		if err := r.conclude(last); err != nil {
			return err
		}
		if last, err = r.update(labels); err != nil {
			return err
		}
		between := r.optimizer.Micro() == 0 // two updates
		pauses := between && (ctx.Err() != nil || r.due())
		if !pauses && !r.observes() && !r.results.ready() {
			continue
		}
		if err := r.conclude(last); err != nil {
			return err
		}
		last = nil
		if !between {
			continue
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
}

// beginning is what an epoch's part in this process begins with.
type beginning struct {
	at            time.Time
	seconds, wait float64
	batch         int
	exchanged     time.Duration // see ranks.Group
}

// pending is a step whose loss is not read yet.
type pending struct {
	labels []int
	lr     float64
	step   uint64
}

// results are brought from the device meanwhile.
type results struct{ loss, logits backend.Reader }

func newResults(b backend.Backend, logits int) (res results, err error) {
	if res.loss, err = b.NewReader(1); err == nil {
		res.logits, err = b.NewReader(logits)
	}
	return res, err
}

// ready says whether the last step's are there.
func (res results) ready() bool { return res.loss.Ready() && res.logits.Ready() }

// send makes the next batch the training pass's, and returns its labels: nil after the
// last, none of a batch of no images. The device may still compute with the one before.
func (r *run) send(next func() (*data.Batch, error, bool), last *pending) ([]int, error) {
	asked := time.Now()
	batch, err, ok := next()
	if last == nil || r.results.ready() { // the device has waited too
		r.wait += time.Since(asked).Seconds()
	}
	if err != nil || !ok {
		return nil, err
	}
	if batch.Count == 0 {
		return []int{}, nil
	}
	r.fillTargets(batch)
	if err := r.input.Send(batch, r.targets); err != nil {
		return nil, err
	}
	r.taken = r.step
	return slices.Clone(batch.Labels), r.input.Take()
}

// update gives the gradients to the optimizer, which leaves all as it is if the loss
// turns out not to be finite.
func (r *run) update(labels []int) (*pending, error) {
	p := &pending{labels, r.schedule.LR(r.optimizer.Updates()), r.step}
	if err := r.results.loss.Begin(r.training.LossView()); err != nil {
		return nil, err
	}
	if err := r.results.logits.Begin(r.training.LogitsView()); err != nil {
		return nil, err
	}
	r.step++
	r.batch++
	if r.optimizer.Add(); r.optimizer.Micro() < r.each {
		return p, nil
	}
	r.optimizer.Sum()
	return p, r.updateWeights(p.lr, r.each)
}

// updateWeights updates the weights by the mean gradient of some batches, which the
// optimizer has summed, and their running averages.
func (r *run) updateWeights(lr float64, batches int) error {
	err := r.optimizer.Update(lr, batches)
	if err == nil && r.average != nil {
		err = r.average.ema.Update(r.optimizer.Updates() - 1)
	}
	return err
}

// conclude reads a step's loss, stops if it is not finite, and shows the step. nil is
// one that was concluded before.
func (r *run) conclude(p *pending) error {
	if p == nil {
		return nil
	}
	var loss [1]float32
	if err := r.results.loss.Take(loss[:]); err != nil {
		return err
	}
	if err := r.results.logits.Take(r.logits); err != nil {
		return err
	}
	if !finite(float64(loss[0])) {
		return r.diverged(float64(loss[0]), p)
	}
	r.sum.count(float64(loss[0]), correct(r.logits, p.labels, r.Arch.Classes), len(p.labels))
	return r.show(p.lr)
}

// show shows the step that was done last.
func (r *run) show(lr float64) error {
	spent := time.Since(r.began.at)
	r.seconds = r.began.seconds + spent.Seconds()
	status := r.status(lr, r.batch-r.began.batch, spent, r.wait-r.began.wait)
	r.log.Step(status)
	return r.observeStep(status)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// status is what the log shows of a step; done is the steps that took spent.
func (r *run) status(lr float64, done int, spent time.Duration, wait float64) report.Step {
	total := r.loader.Batches()
	left := (r.Epochs-r.epoch)*total - r.batch
	return report.Step{
		Epoch: r.epoch + 1, Epochs: r.Epochs, Step: r.batch, Steps: total, Loss: r.sum.loss(), Top1: r.sum.top1(), LR: lr,
		ImagesPerSec: float64(done*r.BatchSize) / spent.Seconds(), DataWait: wait / spent.Seconds(),
		Exchange: (r.Ranks.Exchanged() - r.began.exchanged).Seconds() / spent.Seconds(),
		Left:     time.Duration(float64(spent) / float64(done) * float64(left)),
	}
}

// finishEpoch evaluates, reports and saves, and begins the next epoch.
func (r *run) finishEpoch(ctx context.Context) error {
	r.Ranks.At("after epoch " + strconv.Itoa(r.epoch+1))
	e := report.Epoch{
		Epoch: r.epoch + 1, Step: int64(r.optimizer.Updates()), LR: r.schedule.LR(max(r.optimizer.Updates()-1, 0)),
		TrainLoss: r.sum.loss(), TrainTop1: r.sum.top1(), Seconds: r.seconds, DataWait: r.wait / r.seconds,
		ImagesPerSec: float64(r.sum.Count) / r.seconds, Exchange: (r.Ranks.Exchanged() - r.began.exchanged).Seconds() / r.seconds,
	}
	if r.together != nil {
		if err := r.compareWeights(); err != nil {
			return err
		}
	}
	m, averaged, err := r.evaluate(ctx, &e)
	if err != nil {
		return err
	}
	best := m
	if averaged.better(m) {
		best = averaged
	}
	improved := r.evaluator != nil && (len(r.result.Epochs) == 0 || best.better(r.result.Best))
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
	if r.together != nil {
		clear(r.together.busy)
	}
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
		return m, averaged, r.diverged(m.Loss, nil)
	}
	e.ValLoss, e.ValTop1, e.ValTop5 = m.Loss, m.Top1, m.Top5
	if r.average != nil {
		if averaged, err = r.average.evaluator.Run(ctx); err != nil {
			return m, averaged, err
		}
		if !finite(averaged.Loss) {
			return m, averaged, r.diverged(averaged.Loss, nil)
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
	case averaged.better(m):
		return r.save("best.safetensors", r.average.net, averaged, true)
	}
	return r.save("best.safetensors", r.net, m, false)
}

// better says whether m is the better evaluation: a larger top-1 or, with the same, a
// smaller loss.
func (m Metrics) better(than Metrics) bool {
	return m.Images > 0 && (m.Top1 > than.Top1 || m.Top1 == than.Top1 && m.Loss < than.Loss)
}

// save writes a network as a checkpoint, where this is the process that writes.
func (r *run) save(name string, net *model.Network, m Metrics, ema bool) error {
	if r.Ranks.Rank() > 0 {
		return nil
	}
	tensors, err := net.Tensors()
	if err != nil {
		return err
	}
	return checkpoint.Write(filepath.Join(r.Out, name), checkpoint.Meta{
		Arch: r.Arch, Classes: r.classes, Preprocess: r.Preprocess,
		Training: &checkpoint.Training{Epoch: len(r.result.Epochs), Step: int64(r.optimizer.Updates()), Top1: m.Top1, Top5: m.Top5, Loss: m.Loss, EMA: ema},
	}, tensors)
}

// reportEpoch prints an epoch, and what was skipped in it.
func (r *run) reportEpoch(e report.Epoch) {
	if skipped := r.loader.Skipped(); len(skipped) > r.skipped {
		r.log.Printf("%s", data.DescribeSkipped(skipped[r.skipped:]))
		r.skipped = len(skipped)
	}
	if r.evaluator != nil && e.Epoch == 1 {
		if text := r.evaluator.DescribeSkipped(); text != "" {
			r.log.Printf("evaluation: %s", text)
		}
	}
	if text := r.together.slowRank(); text != "" {
		r.log.Printf("note: %s", text)
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
	r.log.Printf("stopped after step %d; the weights are in %s; continue with --resume", r.step, filepath.Join(r.Out, "last.safetensors"))
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

func (m *meter) count(loss float64, correct, images int) {
	m.Losses += loss
	m.Batches++
	m.Correct += correct
	m.Count += images
}

// correct is how many images of a batch have their class first.
func correct(logits []float32, labels []int, classes int) (n int) {
	for i, label := range labels {
		if rank(logits[i*classes:(i+1)*classes], label) == 0 {
			n++
		}
	}
	return n
}

func (m *meter) loss() float64 { return m.Losses / float64(m.Batches) }
func (m *meter) top1() float64 { return float64(m.Correct) / float64(m.Count) }
