package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"effnet/configs"
	"effnet/internal/config"
	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/search"
	"effnet/internal/words"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type baselineOptions struct {
	searchOptions
	Space, Searcher, Reward, Target        string
	Networks, Together, Population, Sample int
}

// AddFlags registers the options.
func (o *baselineOptions) AddFlags(flags *pflag.FlagSet) {
	o.Seeds, o.Halving = 1, 3
	o.searchOptions.AddFlags(flags)
	flags.StringVar(&o.Space, "space", "mnasnet", "search space: a YAML `file`, or a built-in one: "+strings.Join(configs.Spaces(), ", "))
	flags.StringVar(&o.Searcher, "searcher", "evolution", "what chooses networks: evolution, or random")
	flags.IntVar(&o.Networks, "networks", 100, "how many to train; the best 1/halving of them continue")
	flags.IntVar(&o.Population, "population", 25, "evolution: how many of the newest networks are alive; as many random ones come first")
	flags.IntVar(&o.Sample, "sample", 5, "evolution: how many of those are drawn, of which the best has a child")
	flags.IntVar(&o.Together, "together", 2, "how many networks are chosen from the same results, and may so be trained at the same time by --jobs")
	flags.StringVar(&o.Reward, "reward", "flops", "what networks are compared by: top-1 times (cost/target)^power, with the costs and powers of "+rewardNames())
	flags.StringVar(&o.Target, "target", "", "of --reward flops: multiply-adds such as 400M; of latency: a time such as 20ms (default: those of the space's baseline)")
}

// rewardNames are the rewards and where they are from.
func rewardNames() string {
	all := make([]string, len(search.Rewards))
	for i, r := range search.Rewards {
		all[i] = r.Name + " (" + r.Source + ")"
	}
	return strings.Join(all, ", ")
}

// spaceFlags decide which candidates there are.
var spaceFlags = []string{"space", "searcher", "networks", "population", "sample", "together", "reward", "target"}

func newSearchBaselineCommand() *cobra.Command {
	var opts baselineOptions
	cmd := &cobra.Command{
		Use:   "search-baseline DIR|PACK",
		Short: "Search for a network to scale, on a folder of images",
		Long: `Search for a baseline as Tan and Le (2019, section 4) did: among networks whose stages
each have a block, a kernel, an expansion, squeeze-and-excitation, channels and layers of
their own (Tan et al. 2019), for the one with the best reward, which weighs top-1 against
cost. Regularised evolution (Real et al. 2019) chooses which to train; --searcher random
is its control.

All are trained on the same images for the same number of epochs (the first rung), and
evaluated on images held out of training (--minival). The best third then continues, as
in search-coefficients. --img-size is the input size of all of them.

The run folder receives baseline.yaml, which search-coefficients and train take as
--baseline, baseline-search.csv and baseline-search.jsonl, report.html with the Pareto front, and
each training run's own folder under trials. --resume continues an interrupted search.
The settings are those of --recipe search, unless a file, the environment or flags say
otherwise.`,
		Example: `  effnet search-baseline --dry-run
  effnet search-baseline photos --config configs/mini.yaml --networks 60 --epochs 27
  effnet search-coefficients photos --baseline runs/baseline-search/baseline.yaml`,
		Args: folderArgs(1, &opts.DryRun),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSearchJob(cmd.Flags(), strings.Join(args, ""), search.Baselines{}.Name(), &opts.searchOptions, spaceFlags...)
			if err != nil {
				return err
			}
			return s.shared(cmd.Context(), cmd.OutOrStdout(), func(w io.Writer) error { return s.searchBaseline(cmd.Context(), w, &opts) })
		},
	}
	addSettings(cmd.Flags(), "search-baseline", "search")
	opts.AddFlags(cmd.Flags())
	return cmd
}

// searchBaseline trains networks of the space and writes the best.
func (s *searchJob) searchBaseline(ctx context.Context, w io.Writer, opts *baselineOptions) error {
	q, err := s.baselines(ctx, opts)
	if err != nil {
		return err
	}
	base, err := s.cost(q.Space.Table)
	if err != nil {
		return err
	}
	out := &baselinesJSON{Baseline: q.Space.Table.Name, Classes: s.classes(), Resolution: q.Space.Table.Resolution, Params: base.Params, MACs: base.MACs, Size: q.Space.Size()}
	if !s.resumed() {
		p, err := q.Plan(ctx)
		if err != nil {
			return err
		}
		if err := s.setPlan(p); err != nil {
			return err
		}
		if !opts.JSON {
			if err := out.print(w, s.plan.Networks); err != nil {
				return err
			}
		}
	}
	if opts.DryRun {
		return s.printPlan(w, out)
	}
	r, err := s.run(ctx, q, base)
	if err != nil || !s.party.first() {
		return err
	}
	path := filepath.Join(s.cfg.Out, "baseline.yaml")
	if err := q.Write(path, r); err != nil {
		return err
	}
	if opts.JSON {
		out.Results, out.File = rankingJSON(r.Ranking), path
		return json.NewEncoder(w).Encode(out)
	}
	if err := printRanking(w, r); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n%s\n%s\n", strings.Join(q.Answer(r), "\n"), path, filepath.Join(s.cfg.Out, "report.html"))
	return err
}

// baselines is the question that the options ask.
func (s *searchJob) baselines(ctx context.Context, opts *baselineOptions) (q search.Baselines, err error) {
	q = search.Baselines{Networks: opts.Networks, Together: opts.Together, Seed: uint64(s.cfg.Seed)}
	if q.Space, err = s.space(opts.Space); err != nil {
		return q, err
	}
	switch opts.Searcher {
	case "evolution":
		q.Searcher = search.Evolution{Population: opts.Population, Sample: opts.Sample}
	case "random":
		q.Searcher = search.Random{}
	default:
		return q, usageError{fmt.Errorf("--searcher %s: want evolution or random", opts.Searcher)}
	}
	if err := q.Validate(); err != nil {
		return q, usageError{err}
	}
	if budget := opts.TrialBudget; strings.ContainsAny(budget, "hms") && !strings.HasSuffix(budget, "steps") {
		return q, usageError{fmt.Errorf("--trial-budget %s: networks are compared after the same number of epochs: want epochs or steps", budget)}
	}
	reward, err := s.reward(ctx, opts, q.Space.Table)
	if err != nil {
		return q, err
	}
	q.Candidate = func(ctx context.Context, a scale.Arch) (c search.Candidate, err error) {
		c.Arch = a
		if err := s.complete(&c); err != nil {
			return c, err
		}
		c.Factor, err = reward.Factor(c.Arch, s.measure(ctx, opts))
		return c, err
	}
	return q, nil
}

// space reads a search space, around the settings' baseline and of their image size.
func (s *searchJob) space(name string) (scale.Space, error) {
	layer, err := readBuiltIn(name, configs.ReadSpace)
	if err != nil {
		return scale.Space{}, usageError{fmt.Errorf("--space: %w", err)}
	}
	space, err := config.DecodeSpace(layer.Values, s.cfg.Baseline)
	if err != nil {
		return space, usageError{fmt.Errorf("--space %s: %w", name, err)}
	}
	if s.cfg.ImgSize > 0 {
		space.Table.Resolution = s.cfg.ImgSize
	}
	return space, nil
}

// reward is the named reward, with the targets that were given or the costs of a table.
func (s *searchJob) reward(ctx context.Context, opts *baselineOptions, table scale.Baseline) (search.Reward, error) {
	var names []string
	for _, r := range search.Rewards {
		if names = append(names, r.Name); r.Name != opts.Reward {
			continue
		}
		reward, err := r.Reward.WithTarget(opts.Target)
		if err != nil {
			return nil, usageError{fmt.Errorf("--target: %w", err)}
		}
		a, err := table.Scale(1, 1, table.Resolution)
		if err != nil {
			return nil, usageError{err}
		}
		if a, err = s.cfg.Apply(a, s.classes()); err != nil {
			return nil, usageError{err}
		}
		return reward.At(a, s.measure(ctx, opts))
	}
	return nil, usageError{fmt.Errorf("--reward %s is unknown (have %s)", opts.Reward, strings.Join(names, ", "))}
}

// measure measures what a network costs on the threads of one trial.
func (s *searchJob) measure(ctx context.Context, opts *baselineOptions) search.Measure {
	return func(a scale.Arch, cost search.Cost) (float64, error) {
		switch cost {
		case search.Latency:
			d, err := latency(ctx, s.cfg, a)
			return d.Seconds(), err
		case search.Time:
			if s.trainSet == nil {
				return 0, usageError{fmt.Errorf("--reward %s: %s is measured: give a folder of images", opts.Reward, cost)}
			}
			d, err := s.epochTime(a)
			return d.Seconds(), err
		}
		return search.Counted(a, cost)
	}
}

// baselinesJSON is what the command prints; its keys are an interface.
type baselinesJSON struct {
	Baseline   string      `json:"baseline"` // that the space is around
	Classes    int         `json:"classes"`
	Resolution int         `json:"resolution"`
	Params     int64       `json:"params"`
	MACs       int64       `json:"macs"`
	Size       float64     `json:"combinations"` // of the space's choices
	Results    []scoreJSON `json:"results,omitempty"`
	File       string      `json:"file,omitempty"`
}

func (b *baselinesJSON) print(w io.Writer, networks int) error {
	_, err := fmt.Fprintf(w, "%s of the %.3g combinations around %s: %d px, %s parameters, %s MACs, %d classes\n",
		words.Count(networks, "network"), b.Size, b.Baseline, b.Resolution, report.Grouped(b.Params), report.WithUnit(b.MACs), b.Classes)
	return err
}
