package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"effnet/internal/config"
	"effnet/internal/mpi"
	"effnet/internal/ranks"
	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/search"
	"effnet/internal/setup"
	"effnet/internal/train"

	"github.com/spf13/pflag"
)

// planFile distinguishes the folder of a search from that of a training run.
const planFile = search.PlanFile

// searchOptions are those of commands that train networks against each other.
type searchOptions struct {
	trainOptions
	Seeds, Jobs, Halving int
	TrialBudget          string
}

// AddFlags registers the options.
func (o *searchOptions) AddFlags(flags *pflag.FlagSet) {
	o.trainOptions.AddFlags(flags)
	flags.IntVar(&o.Seeds, "seeds", o.Seeds, "training runs of each network, from --seed and the numbers after it")
	flags.IntVar(&o.Jobs, "jobs", 1, "training runs at the same time, which share --threads")
	flags.IntVar(&o.Halving, "halving", o.Halving, "N: keep 1/N of the networks after each rung and train them N times longer; 1 trains all to the end")
	flags.StringVar(&o.TrialBudget, "trial-budget", "", "instead of epochs, what one training run may take: 2000steps, or a time such as 5m, converted to epochs by each network's measured step time")
}

func (o *searchOptions) validate() error {
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

// A searchJob is a search that a command was asked for.
type searchJob struct {
	*job
	opts *searchOptions
	own  []string // flags that decide the plan and are no settings
	plan search.Plan
}

// newSearchJob opens the images and, if a search is resumed, its plan. name is the name
// of its files; own are the flags of this kind of search that decide the plan.
func newSearchJob(flags *pflag.FlagSet, dir, name string, opts *searchOptions, own ...string) (*searchJob, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	j, err := newJob(flags, dir, opts.trainOptions)
	if err != nil {
		return nil, err
	}
	s := &searchJob{job: j, opts: opts, own: append(own, "seeds", "halving", "trial-budget")}
	if s.cfg.Out == "" {
		s.cfg.Out = filepath.Join("runs", cmp.Or(s.cfg.Name, name))
	}
	if dir == "" {
		return s, nil
	}
	if s.trainSet, s.evalSet, err = setup.Images(dir, s.cfg); err != nil {
		return nil, err
	}
	if s.evalSet == nil {
		return nil, usageError{errors.New("--minival 0: there is nothing to evaluate on (the folder has no evaluation images)")}
	}
	if s.cfg.BatchSize == 0 {
		return nil, usageError{errors.New("--batch-size auto: give a number (all networks are trained with the same)")}
	}
	if s.resumed() {
		err = s.readPlan(name)
	}
	return s, err
}

func (s *searchJob) resumed() bool { return s.opts.Resume != "" }

// planFlags are the flags in own.
func (s *searchJob) planFlags() []search.Flag {
	all := make([]search.Flag, len(s.own))
	for i, name := range s.own {
		flag := s.flags.Lookup(name)
		all[i] = search.Flag{Name: name, Value: flag.Value.String(), Given: flag.Changed}
	}
	return all
}

// readPlan reads the plan in the folder, and the flags that decided it.
func (s *searchJob) readPlan(name string) error {
	plan, flags, err := search.ReadPlan(s.cfg.Out, name, s.planFlags())
	if err != nil {
		return notResumed(err)
	}
	for _, f := range flags {
		value := s.flags.Lookup(f.Name).Value
		if f.Value == value.String() {
			continue
		}
		if err := value.Set(strings.Trim(f.Value, "[]")); err != nil { // a list's String has brackets
			return notResumed(&search.Error{Err: fmt.Errorf("%s: %s: %w", filepath.Join(s.cfg.Out, planFile), f.Name, err)})
		}
	}
	s.plan = plan
	return nil
}

// notResumed turns the reason why a search cannot be resumed into a usageError.
func notResumed(err error) error {
	if errors.As(err, new(*search.Error)) {
		return usageError{fmt.Errorf("--resume: %w", err)}
	}
	return err
}

// setPlan makes a new search's plan of candidates.
func (s *searchJob) setPlan(p search.Plan) error {
	p.Halving = s.opts.Halving
	for i := range s.opts.Seeds {
		p.Seeds = append(p.Seeds, uint64(s.cfg.Seed+i))
	}
	for i := range p.Candidates {
		if err := s.complete(&p.Candidates[i]); err != nil {
			return err
		}
	}
	s.plan = p
	return nil
}

// complete gives a candidate what the settings say of it.
func (s *searchJob) complete(c *search.Candidate) (err error) {
	if c.Arch, err = s.cfg.Apply(c.Arch, s.classes()); err != nil {
		return usageError{err}
	}
	c.Epochs, err = s.epochs(c.Arch)
	return err
}

// epochs is how long a network is trained.
func (s *searchJob) epochs(a scale.Arch) (int, error) {
	if s.opts.TrialBudget == "" || s.trainSet == nil {
		return s.cfg.Epochs, nil
	}
	budget, err := train.ParseEvery(s.opts.TrialBudget)
	if err != nil {
		return 0, usageError{fmt.Errorf("--trial-budget: %w", err)}
	}
	batches := max(1, s.trainSet.Len()/s.cfg.BatchSize)
	switch {
	case budget.Epochs > 0:
		return budget.Epochs, nil
	case budget.Steps > 0:
		return (budget.Steps + batches - 1) / batches, nil
	}
	epoch, err := s.epochTime(a)
	return max(1, int(budget.Time/epoch)), err
}

// epochTime measures how long the steps of one epoch take on the threads of one trial.
func (s *searchJob) epochTime(a scale.Arch) (time.Duration, error) {
	o, err := setup.Options(s.cfg, a, s.trainSet)
	if err != nil {
		return 0, err
	}
	b, err := openBackend(s.cfg.Device, s.cfg.Precision, s.cfg.Kernels, s.share(s.cfg.Threads))
	if err != nil {
		return 0, err
	}
	defer b.Close()
	total, err := train.Estimate(b, o, s.trainSet.Len())
	return max(1, total/time.Duration(o.Epochs)), err
}

// classes returns the number of classes of the images, or ImageNet's without images.
func (s *searchJob) classes() int {
	if s.trainSet == nil {
		return 1000
	}
	return len(s.trainSet.Classes)
}

// baseline returns what is scaled: the baseline that the settings name, or its table if
// they change its image size.
func (s *searchJob) baseline() (config.Baseline, scale.Baseline, error) {
	if s.cfg.Variant != "" || s.cfg.HasBudget() {
		return config.Baseline{}, scale.Baseline{}, usageError{errors.New("a baseline is scaled here: remove variant and the budgets from the settings")}
	}
	named := s.cfg.Baseline
	table, err := named.Table()
	if err != nil {
		return named, table, usageError{err}
	}
	if s.cfg.ImgSize > 0 {
		table.Resolution = s.cfg.ImgSize
	}
	if s.cfg.ImgSize > 0 || named.IsZero() {
		named = config.Baseline{Own: &table}
	}
	return named, table, nil
}

// cost is what a baseline costs before it is scaled.
func (s *searchJob) cost(b scale.Baseline) (scale.Cost, error) {
	a, err := b.Compound(scale.Coefficients{Alpha: 1, Beta: 1, Gamma: 1})
	if err != nil {
		return scale.Cost{}, usageError{err}
	}
	a.Classes = s.classes()
	return scale.Count(a), nil
}

// shared does a search with the ranks of a job, or alone. They share its trials; the first
// plans, writes and shows.
func (s *searchJob) shared(ctx context.Context, w io.Writer, do func(w io.Writer) error) error {
	if s.opts.DryRun {
		if mpi.Launched(os.Getenv).Rank > 0 {
			return nil
		}
		return do(w)
	}
	return together(ctx, s.cfg, func(p party) error {
		s.party = p
		if p.group.Size() > 1 && s.opts.Jobs > 1 {
			return usageError{fmt.Errorf("--jobs %d: each of the %d ranks trains one network at a time (start more ranks instead)", s.opts.Jobs, p.group.Size())}
		}
		if err := s.agree(); err != nil {
			return err
		}
		return do(p.output(w))
	})
}

// agree stops ranks that would search differently.
func (s *searchJob) agree() error {
	if s.party.group.Size() == 1 {
		return nil
	}
	facts := s.facts()
	for _, setting := range config.Settings() {
		if setting.Effect == config.Numbers {
			facts = append(facts, ranks.Fact{Name: setting.Key, Value: setting.Text(s.cfg)})
		}
	}
	training, err := s.trainSet.Digest()
	if err != nil {
		return err
	}
	evaluation, err := s.evalSet.Digest()
	if err != nil {
		return err
	}
	return s.party.group.Agree(append(facts,
		ranks.Fact{Name: "the digest of the training images", Value: training},
		ranks.Fact{Name: "the digest of the evaluation images", Value: evaluation}))
}

// run carries out the plan.
func (s *searchJob) run(ctx context.Context, q search.Question, base scale.Cost) (*search.Results, error) {
	trainer, err := s.newTrainer()
	if err != nil {
		return nil, err
	}
	if s.party.first() {
		unlock, err := openRunFolder(s.cfg.Out, s.cfg, s.trainSet.Classes, s.opts.trainOptions)
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	engine := &search.Search{
		Question: q, Plan: s.plan, Flags: s.planFlags(), Dir: s.cfg.Out, Resume: s.resumed(), Jobs: s.opts.Jobs, Trainer: trainer, Ranks: s.party.group, Log: s.log,
		About: search.About{Folder: s.dir, Images: s.evalSet.Len(), Baseline: base, Settings: s.pageSettings(), Machine: trainer.machine},
	}
	r, err := engine.Run(ctx)
	if err != nil && s.party.first() && stopped(ctx, err) {
		s.log("stopped; continue with --resume=%s", s.cfg.Out)
	}
	return r, notResumed(err)
}

func (s *searchJob) log(format string, args ...any) {
	newLog(1, s.opts.Quiet).Printf(format, args...)
}

// pageSettings adds the search's own flags to its settings.
func (s *searchJob) pageSettings() []report.Setting {
	settings := s.settingsTable(s.cfg)
	for _, name := range append(s.own, "jobs") {
		flag := s.flags.Lookup(name)
		from := "default"
		if flag.Changed {
			from = "flag"
		}
		settings = append(settings, report.Setting{Key: name, Value: flag.Value.String(), Source: from})
	}
	return settings
}
