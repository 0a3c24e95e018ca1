package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"

	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/search"
	"effnet/internal/setup"
	"effnet/internal/train"
)

// trainer is a search.Trainer that trains in this process.
type trainer struct {
	job               *job          // of the search
	cfg               config.Config // of every trial: its share of threads and workers
	machine           [][2]string
	trainSet, evalSet *data.Set
}

// newTrainer returns the trainer of a plan's candidates, after checking that each can
// be trained.
func (s *searchJob) newTrainer() (*trainer, error) {
	memory, err := setup.DeviceMemory(s.cfg)
	if err != nil {
		return nil, err
	}
	for _, c := range s.plan.Candidates {
		if err := setup.MustFit(s.cfg, c.Arch, s.trainSet.Len(), count(s.evalSet), memory/int64(s.opts.Jobs)); err != nil {
			return nil, err
		}
	}
	if _, err := setup.Options(s.cfg, s.plan.Candidates[0].Arch, s.trainSet); err != nil {
		return nil, err
	}
	t := &trainer{job: s.job, cfg: s.cfg, trainSet: s.trainSet, evalSet: s.evalSet}
	t.cfg.Threads, t.cfg.Workers = s.share(s.cfg.Threads), s.share(s.cfg.Workers)
	b, err := openBackend(t.cfg.Device, t.cfg.Precision, t.cfg.Kernels, t.cfg.Threads)
	if err != nil {
		return nil, err
	}
	t.machine = machine(b)
	return t, b.Close()
}

// share returns one trial's share of a number of threads; 0 stands for all.
func (s *searchJob) share(threads int) int {
	if threads = s.party.share(threads); threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return max(1, threads/s.opts.Jobs)
}

// Train implements search.Trainer.
func (t *trainer) Train(ctx context.Context, trial search.Trial) (out search.Outcome, err error) {
	cfg := t.cfg
	cfg.Seed, cfg.Epochs, cfg.Out = int(trial.Seed), trial.Candidate.Epochs, trial.Dir
	o, err := setup.Options(cfg, trial.Candidate.Arch, t.trainSet)
	if err != nil {
		return out, err
	}
	o.Until, o.Resume = trial.Until, train.HasState(o.Out)
	o.Machine, o.Settings = t.machine, t.job.settingsTable(cfg)
	b, err := openBackend(cfg.Device, cfg.Precision, cfg.Kernels, cfg.Threads)
	if err != nil {
		return out, err
	}
	defer b.Close()
	if err := os.MkdirAll(o.Out, 0o777); err != nil {
		return out, err
	}
	result, err := train.Run(ctx, b, o, t.trainSet, t.evalSet, newLog(cfg.LogInterval, true))
	switch {
	case errors.As(err, new(*train.Diverged)):
		return out, &search.Final{Err: err}
	case err != nil:
		return out, err
	}
	for _, e := range result.Epochs {
		out.Curve = append(out.Curve, max(e.ValTop1, e.EMATop1))
		out.Seconds += e.Seconds
	}
	return out, nil
}

// Forget implements search.Trainer.
func (t *trainer) Forget(trial search.Trial) error {
	err := train.RemoveStates(trial.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}
