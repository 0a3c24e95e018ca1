package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"effnet/internal/atomicfile"
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
	show     func(*report.Contest, []trial.Standing) // adds what only this kind of contest shows
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
	b, err := openBackend(c.cfg.Device, c.share(c.cfg.Threads))
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

// planFile is what a contest that goes on reads, in its folder.
const planFile = "plan.json"

// planDocument is its content.
type planDocument struct {
	Flags map[string]string `json:"flags"` // contest.own
	Plan  trial.Plan        `json:"plan"`
}

func (c *contest) writePlan() error {
	doc := planDocument{map[string]string{}, c.plan}
	for _, name := range c.own {
		doc.Flags[name] = c.flags.Lookup(name).Value.String()
	}
	text, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(c.cfg.Out, planFile), text)
}

// readPlan takes the plan of the folder, and its flags; one that was given and
// differs is an error.
func (c *contest) readPlan() error {
	path := filepath.Join(c.cfg.Out, planFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return usageError{fmt.Errorf("--resume: nothing to go on with in %s: %w", c.cfg.Out, err)}
	}
	var doc planDocument
	if err := json.Unmarshal(text, &doc); err != nil {
		return usageError{fmt.Errorf("--resume: %s: %w", path, err)}
	}
	for _, name := range c.own {
		flag := c.flags.Lookup(name)
		is, was := flag.Value.String(), doc.Flags[name]
		if is == was {
			continue
		}
		if flag.Changed {
			return usageError{fmt.Errorf("--resume: --%s was %s and is %s (start another %s for that)", name, was, is, c.name)}
		}
		if err := flag.Value.Set(strings.Trim(was, "[]")); err != nil { // a list's String has brackets
			return usageError{fmt.Errorf("--resume: %s: %s: %w", path, name, err)}
		}
	}
	c.plan = doc.Plan
	if err := c.plan.Validate(); err != nil {
		return usageError{fmt.Errorf("--resume: %s: %w", path, err)}
	}
	return nil
}

// run trains, and returns where each network stands, the best first.
func (c *contest) run(ctx context.Context) ([]trial.Standing, error) {
	for _, e := range c.plan.Entries {
		if err := mustFit(c.cfg, e.Arch, c.trainSet.Len(), totalMemory()/int64(c.opts.Jobs)); err != nil {
			return nil, err
		}
	}
	if _, err := trainSettings(c.cfg, c.plan.Entries[0].Arch, c.trainSet); err != nil {
		return nil, err
	}
	b, err := openBackend(c.cfg.Device, c.share(c.cfg.Threads))
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

// contestant is a network in a contest's result; its JSON keys are an interface.
type contestant struct {
	Name       string    `json:"name"`
	Resolution int       `json:"resolution"`
	Params     int64     `json:"params"`
	MACs       int64     `json:"macs"`
	Rung       int       `json:"rung"` // the last that it was in, from 1
	Epochs     int       `json:"epochs"`
	Top1       []float64 `json:"top1"` // of each seed, after them
	Mean       float64   `json:"mean"`
	Failed     string    `json:"failed,omitempty"`
}

func contestants(standings []trial.Standing) []contestant {
	all := make([]contestant, len(standings))
	for i, t := range standings {
		cost := scale.Count(t.Entry.Arch)
		all[i] = contestant{t.Entry.Name, t.Entry.Arch.Resolution, cost.Params, cost.MACs, t.Rung, t.Epochs, t.Top1, t.Mean(), t.Failed}
	}
	return all
}

// printStandings prints them, the best first.
func (c *contest) printStandings(w io.Writer, standings []trial.Standing) error {
	p := &printer{w: w}
	var head strings.Builder
	for _, column := range c.plan.Columns {
		fmt.Fprintf(&head, "%-10s  ", column)
	}
	p.line("%s%10s  %8s  %6s  %8s  %6s", head.String(), "resolution", "MACs", "epochs", "top-1", "sd")
	for _, t := range standings {
		var row strings.Builder
		for _, label := range t.Entry.Labels {
			fmt.Fprintf(&row, "%-10s  ", label)
		}
		outcome := fmt.Sprintf("%6d  %8s  %6s", t.Epochs, percentage(t.Mean()), percentage(t.SD()))
		if t.Failed != "" {
			outcome = "failed: " + t.Failed
		}
		p.line("%s%10d  %8s  %s", row.String(), t.Entry.Arch.Resolution, short(t.Entry.MACs()), outcome)
	}
	return p.err
}

// begin writes the plan, and removes what an older contest in the folder would go
// on from.
func (c *contest) begin() error {
	for _, e := range c.plan.Entries {
		c.dropped(e)
	}
	if err := os.Remove(c.path(".jsonl")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return c.writePlan()
}

// path is that of one of the contest's files.
func (c *contest) path(extension string) string {
	return filepath.Join(c.cfg.Out, c.name+extension)
}

// readRecords reads NAME.jsonl.
func (c *contest) readRecords() error {
	f, err := os.Open(c.path(".jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // stopped before the first
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var r trial.Record
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return usageError{fmt.Errorf("--resume: %s: %w", f.Name(), err)}
		}
		c.search.Records = append(c.search.Records, r)
	}
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
	b, err := openBackend(cfg.Device, cfg.Threads)
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

// save writes all that can be read of the trials so far.
func (c *contest) save(records []trial.Record) error {
	var lines []byte
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	if err := writeFile(c.path(".jsonl"), lines); err != nil {
		return err
	}
	standings := c.search.Standings()
	if err := c.writeTable(standings); err != nil {
		return err
	}
	return c.writePage(standings)
}

// writeTable writes NAME.csv.
func (c *contest) writeTable(standings []trial.Standing) error {
	header := append(slices.Clone(c.plan.Columns), "resolution", "params", "macs", "rung", "epochs", "seeds", "top1", "sd", "seconds", "failed")
	rows := append(make([][]string, 0, len(standings)+1), header)
	decimal := func(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }
	for _, t := range standings {
		cost := scale.Count(t.Entry.Arch)
		rows = append(rows, append(slices.Clone(t.Entry.Labels), strconv.Itoa(t.Entry.Arch.Resolution), strconv.FormatInt(cost.Params, 10), strconv.FormatInt(cost.MACs, 10),
			strconv.Itoa(t.Rung), strconv.Itoa(t.Epochs), strconv.Itoa(len(t.Top1)), decimal(t.Mean(), 6), decimal(t.SD(), 6), decimal(t.Seconds, 1), t.Failed))
	}
	return atomicfile.Write(c.path(".csv"), func(f *os.File) error { return csv.NewWriter(f).WriteAll(rows) })
}

func writeFile(path string, text []byte) error {
	return atomicfile.Write(path, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}

// title is what an entry is called in text: alpha 1.2, beta 1.1, gamma 1.15.
func (c *contest) title(e trial.Entry) string {
	parts := make([]string, len(c.plan.Columns))
	for i, column := range c.plan.Columns {
		parts[i] = column + " " + e.Labels[i]
	}
	return strings.Join(parts, ", ")
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
