package train

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"time"

	"effnet/internal/data"
	"effnet/internal/ranks"
)

// together is what a run has where ranks share its updates.
type together struct {
	sum     *ranks.Sum
	moments *ranks.Table    // of each shard's normalisations; nil where all are frozen
	busy    []time.Duration // that each rank computed in this epoch
	updates int             // since weights were compared
}

// A shard is what a batch of an update came to.
type shard struct {
	Loss            float32
	Correct, Images int32
}

// shards is what a rank tells the others of its part of an update.
type shards struct {
	shards []shard
	stop   bool // the rank was asked to stop
	busy   time.Duration
	fault  *fault // of its first shard whose loss is not finite; not sent unless there is one
}

// shardsHead is what text of shards begins with.
type shardsHead struct {
	Stop bool
	Busy time.Duration
}

// text is s without its fault. It is sent for each update: package gob would take longer
// than many an exchange.
func (s *shards) text() ([]byte, error) {
	b, err := binary.Append(nil, binary.LittleEndian, shardsHead{s.stop, s.busy})
	if err == nil {
		b, err = binary.Append(b, binary.LittleEndian, s.shards)
	}
	return b, err
}

// parseShards is the inverse of text.
func parseShards(b []byte) (s shards, err error) {
	var head shardsHead
	n, err := binary.Decode(b, binary.LittleEndian, &head)
	if err != nil {
		return s, err
	}
	s.stop, s.busy = head.Stop, head.Busy
	s.shards = make([]shard, (len(b)-n)/binary.Size(shard{}))
	_, err = binary.Decode(b[n:], binary.LittleEndian, s.shards)
	return s, err
}

// gather tells all ranks of each one's part of an update.
func (r *run) gather(mine *shards) ([]shards, error) {
	text, err := mine.text()
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	texts, err := r.Ranks.GatherBytes("comparing losses", text)
	all := make([]shards, len(texts))
	for rank := range all {
		if err == nil {
			all[rank], err = parseShards(texts[rank])
		}
	}
	return all, err
}

// shares is what training options need of ranks: how many of an update's batches this rank
// takes, and which.
func (r *run) shares() (err error) {
	if r.each, err = ranks.Divide(max(r.Optimizer.MicroBatches, 1), r.Ranks.Size()); err != nil || r.Ranks.Size() == 1 {
		return err
	}
	r.TrainLoader.Share = data.Share{Rank: r.Ranks.Rank(), Ranks: r.Ranks.Size(), Each: r.each, Gather: func(mine []byte) ([][]byte, error) {
		return r.Ranks.GatherBytes("comparing unusable images", mine)
	}}
	return nil
}

// trainTogether is the loop of trainEpoch where ranks share every update: each computes
// the gradients of its shards, which are added up over all, and all update their weights
// alike.
func (r *run) trainTogether(ctx context.Context) error {
	next, stop := iter.Pull2(r.loader.Epoch(context.WithoutCancel(ctx), r.epoch, r.batch))
	defer stop()
	for {
		r.Ranks.Step(r.batch+1, r.epoch+1)
		mine, err := r.computeShards(next)
		if mine == nil || err != nil {
			return err
		}
		mine.stop = ctx.Err() != nil
		all, err := r.gather(mine)
		if err == nil {
			err = r.findFault(mine, all)
		}
		if err == nil {
			err = r.addUp(len(mine.shards), all)
		}
		if err == nil {
			err = r.updateTogether(all)
		}
		if err == nil && r.due() {
			err = r.saveState(r.epoch, r.batch)
		}
		if err != nil {
			return err
		}
		if rank := slices.IndexFunc(all, func(s shards) bool { return s.stop }); rank >= 0 {
			return &ranks.Stopped{Rank: rank}
		}
	}
}

// computeShards computes this rank's shards of the next update, and adds up their
// gradients; nil after the last update.
func (r *run) computeShards(next func() (*data.Batch, error, bool)) (*shards, error) {
	began, waited := time.Now(), r.wait
	mine := &shards{}
	for k := range r.each {
		labels, err := r.send(next, nil)
		if labels == nil || err != nil {
			return nil, err
		}
		if len(labels) == 0 { // others have the epoch's last batches
			continue
		}
		step := r.step + uint64(r.Ranks.Rank()*r.each+k)
		if err := r.training.Compute(step); err != nil {
			return nil, err
		}
		if r.together.moments != nil {
			moments := make([]float32, r.training.Moments.Len)
			if err := r.backend.Download(moments, r.training.Moments); err != nil {
				return nil, err
			}
			r.together.moments.Set(k, moments)
		}
		loss, err := r.training.Loss()
		if err == nil {
			err = r.training.Logits(r.logits)
		}
		if err != nil {
			return nil, err
		}
		mine.shards = append(mine.shards, shard{float32(loss), int32(correct(r.logits, labels, r.Arch.Classes)), int32(len(labels))})
		if !finite(loss) && mine.fault == nil {
			mine.fault = r.fault(step)
		}
		r.optimizer.Add()
	}
	mine.busy = time.Since(began) - time.Duration((r.wait-waited)*float64(time.Second))
	return mine, nil
}

// findFault stops the run on all ranks where the loss of any shard is not finite.
func (r *run) findFault(mine *shards, all []shards) error {
	batch := r.batch
	for rank, part := range all {
		for _, s := range part.shards {
			if batch++; finite(float64(s.Loss)) {
				continue
			}
			faults, err := ranks.Gather(r.Ranks, "looking for the fault", *cmp.Or(mine.fault, &fault{}))
			if err != nil {
				return err
			}
			return r.divergedAt(batch, float64(s.Loss), &faults[rank])
		}
	}
	return nil
}

// addUp adds up gradients over ranks, and moves the running statistics by the moments of
// every shard, in order.
func (r *run) addUp(mine int, all []shards) error {
	gradients, t := r.optimizer.Sum(), r.together
	if mine > 0 {
		if err := r.backend.Download(t.sum.Values(), gradients); err != nil {
			return err
		}
	}
	having, batches := 0, 0
	for _, part := range all {
		if batches += len(part.shards); len(part.shards) > 0 {
			having++
		}
	}
	if err := t.sum.Run(having); err != nil {
		return err
	}
	if err := r.backend.Upload(gradients, t.sum.Values()); err != nil || t.moments == nil {
		return err
	}
	return r.moveRunning(batches)
}

// moveRunning moves the running statistics by the moments of an update's batches. A rank
// has a slice of those: what it makes of other values is not used.
func (r *run) moveRunning(batches int) error {
	moments := r.together.moments
	if err := moments.Run(); err != nil {
		return err
	}
	if from, n := moments.Slice(); n > 0 {
		for i := range batches {
			if err := r.backend.Upload(r.training.Moments.Slice(from, n), moments.Part(i)); err != nil {
				return err
			}
			r.training.MoveRunning()
		}
	}
	if err := r.backend.Download(moments.Result(), r.training.Running); err != nil {
		return err
	}
	if err := moments.Collect(); err != nil {
		return err
	}
	return r.backend.Upload(r.training.Running, moments.Result())
}

// updateTogether updates the weights by the gradients of all shards, and shows them.
func (r *run) updateTogether(all []shards) error {
	lr, batches := r.schedule.LR(r.optimizer.Updates()), 0
	for _, part := range all {
		batches += len(part.shards)
	}
	if err := r.updateWeights(lr, batches); err != nil {
		return err
	}
	const often = 100 // updates
	if r.together.updates%often == 0 {
		if err := r.compareWeights(); err != nil {
			return err
		}
	}
	r.together.updates++
	for rank, part := range all {
		r.together.busy[rank] += part.busy
		for _, s := range part.shards {
			r.step++
			r.batch++
			r.sum.count(float64(s.Loss), int(s.Correct), int(s.Images))
			if err := r.show(lr); err != nil {
				return err
			}
		}
	}
	return nil
}

// slowRank says that all wait for a rank that takes much longer than others; "" if none
// does.
func (t *together) slowRank() string {
	const much = 1.5
	if t == nil || len(t.busy) < 2 {
		return ""
	}
	sorted := slices.Clone(t.busy)
	slices.Sort(sorted)
	median, most := sorted[(len(sorted)-1)/2], sorted[len(sorted)-1]
	if most < time.Second || float64(most) < much*float64(median) {
		return ""
	}
	return fmt.Sprintf("all ranks wait for rank %d, which computed for %s of this epoch; half of them took %s or less",
		slices.Index(t.busy, most), most.Round(time.Second/10), median.Round(time.Second/10))
}
