package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"effnet/internal/train"
	"effnet/internal/trial"
)

// run trains, and returns where each network stands, the best first.
func (c *contest) run(ctx context.Context) ([]trial.Standing, error) {
	memory, err := deviceMemory(c.cfg.Device)
	if err != nil {
		return nil, err
	}
	for _, e := range c.plan.Entries {
		if err := mustFit(c.cfg, e.Arch, c.trainSet.Len(), memory/int64(c.opts.Jobs)); err != nil {
			return nil, err
		}
	}
	if _, err := trainSettings(c.cfg, c.plan.Entries[0].Arch, c.trainSet); err != nil {
		return nil, err
	}
	b, err := openBackend(c.cfg.Device, c.cfg.Precision, c.share(c.cfg.Threads))
	if err != nil {
		return nil, err
	}
	c.machine = machine(b)
	if err := b.Close(); err != nil {
		return nil, err
	}
	unlock, err := openRunFolder(c.cfg.Out, c.cfg, c.trainSet.Classes, c.opts.trainOptions)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c.search = &trial.Search{Plan: c.plan, Jobs: c.opts.Jobs, Train: c.train, Save: c.save, Began: c.began, Done: c.done, Dropped: c.dropped,
		Certain: func(err error) bool { return errors.As(err, new(*train.Diverged)) }}
	if c.resumed() {
		err = c.readRecords()
	} else {
		err = c.begin()
	}
	if err != nil {
		return nil, err
	}
	if err := c.search.Run(ctx); err != nil {
		if ctx.Err() != nil {
			c.log("stopped; --resume=%s goes on", c.cfg.Out)
		}
		return nil, err
	}
	standings := c.search.Standings()
	if standings[0].Failed != "" {
		return nil, fmt.Errorf("every training failed: %w", cmp.Or(c.search.Failure, errors.New(standings[0].Failed)))
	}
	c.finished = true
	return standings, c.save(c.search.Records)
}

// train is the trial.Trainer.
func (c *contest) train(ctx context.Context, t trial.Trial) (out trial.Outcome, err error) {
	cfg := c.cfg
	cfg.Seed, cfg.Epochs, cfg.Out = int(t.Seed), t.Entry.Epochs, filepath.Join(c.cfg.Out, filepath.FromSlash(t.Folder()))
	cfg.Threads, cfg.Workers = c.share(cfg.Threads), c.share(cfg.Workers)
	o, err := trainSettings(cfg, t.Entry.Arch, c.trainSet)
	if err != nil {
		return out, err
	}
	o.Until, o.Resume, o.LogInterval = t.Until, train.HasState(o.Out), cfg.LogInterval
	b, err := openBackend(cfg.Device, cfg.Precision, cfg.Threads)
	if err != nil {
		return out, err
	}
	defer b.Close()
	o.Machine = c.machine
	if o.Settings, err = settingsTable(c.flags, cfg); err != nil {
		return out, err
	}
	if err := os.MkdirAll(o.Out, 0o777); err != nil {
		return out, err
	}
	result, err := train.Run(ctx, b, o, c.trainSet, c.evalSet, newLog(cfg.LogInterval, true))
	if err != nil {
		return out, err
	}
	for _, e := range result.Epochs {
		out.Curve = append(out.Curve, max(e.ValTop1, e.EMATop1))
		out.Seconds += e.Seconds
	}
	return out, nil
}

// dropped removes what an entry's trials would go on from; the rest of their
// folders stays.
func (c *contest) dropped(e trial.Entry) {
	for _, seed := range c.plan.Seeds {
		dir := filepath.Join(c.cfg.Out, filepath.FromSlash(trial.Trial{Entry: e, Seed: seed}.Folder()))
		if err := train.RemoveStates(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log("note: %v", err)
		}
	}
}

func (c *contest) log(format string, args ...any) {
	newLog(1, c.opts.Quiet).Printf(format, args...)
}

// began says what a rung trains.
func (c *contest) began(n int, r trial.Rung) {
	c.log("%s", c.rungText(n, r))
}

// done says what a trial came to.
func (c *contest) done(r trial.Record, finished, all int) {
	e := c.plan.Entries[slices.IndexFunc(c.plan.Entries, func(e trial.Entry) bool { return e.Name == r.Name })]
	outcome := fmt.Sprintf("top-1 %.2f%% after %d epochs", 100*r.Top1, r.Epochs)
	if r.Failed != "" {
		outcome = "failed: " + r.Failed
	}
	c.log("%*d/%d  %s, seed %d: %s%s", len(strconv.Itoa(all)), finished, all, c.title(e), r.Seed, outcome, c.left())
}

// left is how long the rest may take, by what multiply-adds took so far.
func (c *contest) left() string {
	work := func(e trial.Entry, epochs int) float64 { return float64(e.MACs()) * float64(epochs) }
	var seconds, done, all float64
	rungs := c.plan.Rungs()
	behind := trial.Rung{}
	for i, r := range rungs {
		mean := 0.
		for _, e := range c.plan.Entries {
			more := work(e, e.EpochsAfter(r))
			if i > 0 {
				more -= work(e, e.EpochsAfter(behind))
			}
			mean += more / float64(len(c.plan.Entries))
		}
		all += mean * float64(r.Entries*len(c.plan.Seeds))
		behind = r
	}
	for _, e := range c.plan.Entries {
		for _, seed := range c.plan.Seeds {
			var last trial.Record
			for _, r := range c.search.Records {
				if r.Name == e.Name && r.Seed == seed {
					last = r
				}
			}
			seconds, done = seconds+last.Seconds, done+work(e, last.Epochs)
		}
	}
	left := time.Duration((all/done - 1) * seconds / float64(c.opts.Jobs) * float64(time.Second))
	if left < time.Second {
		return ""
	}
	return fmt.Sprintf(" (about %s left)", left.Round(time.Second))
}
