package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"

	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/train"
	"effnet/internal/trial"

	"github.com/spf13/pflag"
)

// trialOptions are those of commands that train networks against each other.
type trialOptions struct {
	trainOptions
	Seeds, Jobs, Halving int
	Length               string
}

// AddFlags registers the options.
func (o *trialOptions) AddFlags(flags *pflag.FlagSet) {
	o.trainOptions.AddFlags(flags)
	flags.IntVar(&o.Seeds, "seeds", o.Seeds, "trainings of each network, from --seed and the numbers after it")
	flags.IntVar(&o.Jobs, "jobs", 1, "trainings at a time, which share --threads")
	flags.IntVar(&o.Halving, "halving", o.Halving, "after a part of its epochs, one of so many networks goes on, for so many times as long; 1 trains all to the end")
	flags.StringVar(&o.Length, "trial-budget", "", "instead of epochs, what one training may take: 2000steps, or a time as 5m, which a network's measured step makes epochs of")
}

func (o *trialOptions) validate() error {
	for _, n := range []struct {
		flag  string
		value int
	}{{"seeds", o.Seeds}, {"jobs", o.Jobs}, {"halving", o.Halving}} {
		if n.value < 1 || n.value > 1000 {
			return usageError{fmt.Errorf("--%s %d is not allowed (want 1 to 1000)", n.flag, n.value)}
		}
	}
	return nil
}

// A contest is a training of several networks against each other, in a folder.
type contest struct {
	*job
	opts *trialOptions
	name string   // of its files: NAME.csv, NAME.jsonl
	own  []string // flags that are no settings and decide what is trained

	plan     trial.Plan
	search   *trial.Search
	finished bool // all trials are
	machine  [][2]string
	show     func(*report.Search, []trial.Standing) // adds what only this kind of contest shows
}

// newContest opens the images and, where one goes on, its plan.
func newContest(flags *pflag.FlagSet, dir, name string, opts *trialOptions, own ...string) (*contest, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	j, err := newJob(flags, dir, opts.trainOptions)
	if err != nil {
		return nil, err
	}
	c := &contest{job: j, opts: opts, name: name, own: append(own, "seeds", "halving", "trial-budget")}
	if c.cfg.Out == "" {
		c.cfg.Out = filepath.Join("runs", cmp.Or(c.cfg.Name, name))
	}
	if dir == "" {
		return c, nil
	}
	if c.trainSet, c.evalSet, err = openSets(dir, c.cfg); err != nil {
		return nil, err
	}
	if c.evalSet == nil {
		return nil, usageError{errors.New("--minival 0: there is nothing to evaluate on (the folder has no evaluation images)")}
	}
	if c.cfg.BatchSize == 0 {
		return nil, usageError{errors.New("--batch-size auto: give a number (all networks are trained with the same)")}
	}
	if c.resumed() {
		err = c.readPlan()
	}
	return c, err
}

func (c *contest) resumed() bool { return c.opts.Resume != "" }

// classes is how many the images have, ImageNet's without images.
func (c *contest) classes() int {
	if c.trainSet == nil {
		return 1000
	}
	return len(c.trainSet.Classes)
}

// setPlan makes the plan of a new contest.
func (c *contest) setPlan(columns []string, entries []trial.Entry) error {
	c.plan = trial.Plan{Columns: columns, Entries: entries, Halving: c.opts.Halving}
	for i := range c.opts.Seeds {
		c.plan.Seeds = append(c.plan.Seeds, uint64(c.cfg.Seed+i))
	}
	for i := range entries {
		e := &entries[i]
		var err error
		if e.Arch, err = c.cfg.Apply(e.Arch, c.classes()); err != nil {
			return usageError{err}
		}
		if e.Epochs, err = c.epochs(e.Arch); err != nil {
			return err
		}
	}
	return nil
}

// epochs is how long a network is trained.
func (c *contest) epochs(a scale.Arch) (int, error) {
	if c.opts.Length == "" || c.trainSet == nil {
		return c.cfg.Epochs, nil
	}
	length, err := train.ParseEvery(c.opts.Length)
	if err != nil {
		return 0, usageError{fmt.Errorf("--trial-budget: %w", err)}
	}
	batches := max(1, c.trainSet.Len()/c.cfg.BatchSize)
	switch {
	case length.Epochs > 0:
		return length.Epochs, nil
	case length.Steps > 0:
		return (length.Steps + batches - 1) / batches, nil
	}
	step, err := c.stepTime(a)
	return max(1, int(length.Time/(step*time.Duration(batches)))), err
}

// stepTime measures a network's training step on the threads of one trial.
func (c *contest) stepTime(a scale.Arch) (time.Duration, error) {
	o, err := trainSettings(c.cfg, a, c.trainSet)
	if err != nil {
		return 0, err
	}
	b, err := openBackend(c.cfg.Device, c.cfg.Precision, c.share(c.cfg.Threads))
	if err != nil {
		return 0, err
	}
	defer b.Close()
	return fastestStep(b, o)
}

// share is what one of the trials at a time has of a number of threads, 0 for all.
func (c *contest) share(threads int) int {
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return max(1, threads/c.opts.Jobs)
}

// baseline is the table that is scaled, with --img-size.
func (c *contest) baseline() (scale.Baseline, error) {
	if c.cfg.Variant != "" || c.cfg.HasBudget() {
		return scale.Baseline{}, usageError{errors.New("a baseline is scaled here: leave variant and the budgets out of the settings")}
	}
	b, err := c.cfg.Baseline.Table()
	if err != nil {
		return b, usageError{err}
	}
	if c.cfg.ImgSize > 0 {
		b.Resolution = c.cfg.ImgSize
	}
	return b, nil
}

// base is what it costs before it is scaled.
func (c *contest) base() (scale.Cost, error) {
	b, err := c.baseline()
	if err != nil {
		return scale.Cost{}, err
	}
	a, err := b.Compound(scale.Coefficients{Alpha: 1, Beta: 1, Gamma: 1})
	if err != nil {
		return scale.Cost{}, usageError{err}
	}
	a.Classes = c.classes()
	return scale.Count(a), nil
}

// printPlan ends a dry run.
func (c *contest) printPlan(w io.Writer, result any) error {
	if c.opts.JSON {
		return json.NewEncoder(w).Encode(result)
	}
	if len(c.plan.Entries) == 0 {
		return nil
	}
	p := &printer{w: w}
	for i, r := range c.plan.Rungs() {
		p.line("%s", c.rungText(i+1, r))
	}
	return p.err
}

// rungText is a line of the plan.
func (c *contest) rungText(n int, r trial.Rung) string {
	most := 0
	for _, e := range c.plan.Entries {
		most = max(most, e.EpochsAfter(r))
	}
	return fmt.Sprintf("rung %d of %d: %d networks, %d seeds each, up to epoch %d", n, len(c.plan.Rungs()), r.Entries, len(c.plan.Seeds), most)
}
