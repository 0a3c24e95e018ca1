package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"effnet/internal/config"
	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/trial"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type searchOptions struct {
	trialOptions
	Grid scale.Grid
}

// AddFlags registers the options.
func (o *searchOptions) AddFlags(flags *pflag.FlagSet) {
	o.Seeds, o.Halving, o.Grid = 2, 3, scale.PaperGrid
	o.trialOptions.AddFlags(flags)
	flags.Float64Var(&o.Grid.Step, "step", o.Grid.Step, "alpha, beta and gamma are 1 and multiples of this more")
	flags.StringVar((*string)(&o.Grid.Budget), "budget", string(o.Grid.Budget),
		"what has a target: formula (alpha * beta^2 * gamma^2), or over the baseline's: macs, params, latency (measured, of one image's forward pass)")
	flags.Float64Var(&o.Grid.Target, "target", o.Grid.Target, "what one phi multiplies that by")
	flags.Float64Var(&o.Grid.Tolerance, "tolerance", o.Grid.Tolerance, "how far it may be from the target; all but the formula, from target^phi")
}

// searchFlags decide what is searched, beside the settings.
var searchFlags = []string{"step", "budget", "target", "tolerance"}

func newSearchCommand() *cobra.Command {
	var opts searchOptions
	cmd := &cobra.Command{
		Use:   "search-coefficients DIR|PACK",
		Short: "Search for scaling coefficients on a folder of images",
		Long: `Search for alpha, beta and gamma as Tan and Le (2019, section 3.3) did: of a grid, the
networks of one phi, 1 unless --phi is given, whose cost is near a target, are trained,
and the best by top-1 wins. Candidates that round to the same network are one.
--img-size is the side of the baseline's input, which gamma scales.

All are trained on the same images with the same seeds and evaluated on images held out
of training (--minival); those of val are not looked at. By successive halving, all are
trained for a part of their epochs, the best third goes on, and so forth.

The run folder receives coefficients.yaml, which train --coefficients takes, search.csv
and search.jsonl, report.html, and each training's own folder under trials. An
interrupted search goes on with --resume. The settings are those of --recipe search,
unless a file, the environment or flags say otherwise.`,
		Example: `  effnet search-coefficients --dry-run
  effnet search-coefficients photos --config configs/mini.yaml --budget macs --step 0.1
  effnet train photos --coefficients runs/search/coefficients.yaml --phi 3`,
		Args: folderArgs(1, &opts.DryRun),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newContest(cmd.Flags(), strings.Join(args, ""), "search", &opts.trialOptions, searchFlags...)
			if err != nil {
				return err
			}
			return runSearch(cmd.Context(), cmd.OutOrStdout(), c, &opts)
		},
	}
	addConfigFlag(cmd.Flags(), "search")
	addSettings(cmd.Flags(), func(key string) bool {
		return !slices.Contains(budgetKeys, key) && !slices.Contains(finetuneKeys, key) && !slices.Contains([]string{"variant", "alpha", "beta", "gamma"}, key)
	})
	opts.AddFlags(cmd.Flags())
	return cmd
}

// runSearch lists the candidates, trains them and writes what won.
func runSearch(ctx context.Context, w io.Writer, c *contest, opts *searchOptions) error {
	r, err := c.candidates(ctx, opts.Grid)
	if err != nil {
		return err
	}
	if !opts.JSON && !c.resumed() {
		if err := r.print(w); err != nil {
			return err
		}
	}
	if opts.DryRun {
		return c.printPlan(w, r)
	}
	if len(c.plan.Entries) == 0 {
		return usageError{fmt.Errorf("no candidate has %s of %g times the baseline's, to %g (try a larger --tolerance or a smaller --step)",
			opts.Grid.Budget, math.Pow(opts.Grid.Target, opts.Grid.Exponent()), opts.Grid.Tolerance)}
	}
	c.show = c.showSearch
	standings, err := c.run(ctx)
	if err != nil {
		return err
	}
	verdict := trial.Judge(standings)
	path := filepath.Join(c.cfg.Out, "coefficients.yaml")
	found, err := c.winner(*verdict.Winner)
	if err == nil {
		err = found.write(path, append([]string{"effnet train DIR --coefficients " + path + " --phi 2"}, c.sentences(verdict)...)...)
	}
	if err != nil {
		return err
	}
	if opts.JSON {
		r.add(standings, verdict, path)
		return json.NewEncoder(w).Encode(r)
	}
	if err := c.printStandings(w, standings); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n%s\n%s\n", strings.Join(c.sentences(verdict), "\n"), path, filepath.Join(c.cfg.Out, "report.html"))
	return err
}

// searchResult is what the command prints; its JSON keys are an interface.
type searchResult struct {
	Baseline   string      `json:"baseline"`
	Classes    int         `json:"classes"`
	Phi        float64     `json:"phi"`
	Resolution int         `json:"resolution"` // of the baseline, as the next two
	Params     int64       `json:"params"`
	MACs       int64       `json:"macs"`
	Candidates []candidate `json:"candidates"`

	Winner       *contestant  `json:"winner,omitempty"`
	Ties         []string     `json:"ties,omitempty"` // names of results
	Results      []contestant `json:"results,omitempty"`
	Coefficients string       `json:"coefficients,omitempty"` // file
}

// candidate is a line of the table.
type candidate struct {
	Alpha      float64 `json:"alpha"`
	Beta       float64 `json:"beta"`
	Gamma      float64 `json:"gamma"`
	Product    float64 `json:"product"` // alpha * beta^2 * gamma^2
	Resolution int     `json:"resolution"`
	Params     int64   `json:"params"`
	MACs       int64   `json:"macs"`
	Relative   float64 `json:"relative"`             // macs over the baseline's
	LatencyMS  float64 `json:"latency_ms,omitempty"` // if measured
}

// candidates lists them, and makes the plan unless a search goes on.
func (c *contest) candidates(ctx context.Context, g scale.Grid) (*searchResult, error) {
	baseline, err := c.baseline()
	if err != nil {
		return nil, err
	}
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	if c.cfg.Phi != nil {
		g.Phi = *c.cfg.Phi
	}
	r := &searchResult{Baseline: baseline.Name, Classes: c.classes(), Phi: g.Phi, Resolution: baseline.Resolution, Params: base.Params, MACs: base.MACs,
		Candidates: []candidate{}}
	if c.resumed() {
		return r, nil
	}
	g.Measure = func(a scale.Arch) (time.Duration, error) { return latency(ctx, c.cfg, a) }
	if err := g.Validate(); err != nil {
		return nil, usageError{err}
	}
	found, err := g.Candidates(baseline, c.classes())
	if err != nil {
		return nil, err
	}
	var entries []trial.Entry
	for _, f := range found {
		r.Candidates = append(r.Candidates, candidate{
			Alpha: f.Alpha, Beta: f.Beta, Gamma: f.Gamma, Product: f.Product(),
			Resolution: f.Network.Resolution, Params: f.Cost.Params, MACs: f.Cost.MACs, Relative: f.Relative, LatencyMS: f.Latency.Seconds() * 1e3,
		})
		f.Network.Name = fmt.Sprintf("alpha%g-beta%g-gamma%g", f.Alpha, f.Beta, f.Gamma)
		entries = append(entries, trial.Entry{Name: f.Network.Name, Arch: f.Network, Labels: []string{number(f.Alpha), number(f.Beta), number(f.Gamma)}})
	}
	return r, c.setPlan([]string{"alpha", "beta", "gamma"}, entries)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func (r *searchResult) print(w io.Writer) error {
	p := &printer{w: w}
	const row = "%-6v  %-6v  %-6v  %8v  %10v  %12v  %8v  %9v"
	measured := len(r.Candidates) > 0 && r.Candidates[0].LatencyMS > 0
	head := fmt.Sprintf(row, "alpha", "beta", "gamma", "product", "resolution", "params", "MACs", "MACs/base")
	if measured {
		head += "   latency"
	}
	p.line("%s", head)
	for _, c := range r.Candidates {
		line := fmt.Sprintf(row, c.Alpha, c.Beta, c.Gamma, fmt.Sprintf("%.3f", c.Product), c.Resolution, report.Grouped(c.Params), report.WithUnit(c.MACs), fmt.Sprintf("%.3f", c.Relative))
		if measured {
			line += fmt.Sprintf("  %6.2fms", c.LatencyMS)
		}
		p.line("%s", line)
	}
	p.line("\n%d candidates for phi %v of %s: %d px, %s parameters, %s MACs, %d classes",
		len(r.Candidates), r.Phi, r.Baseline, r.Resolution, report.Grouped(r.Params), report.WithUnit(r.MACs), r.Classes)
	return p.err
}

// winner is what the best candidate's labels say, with the baseline.
func (c *contest) winner(t trial.Standing) (f coefficients, err error) {
	for i, v := range []*float64{&f.Alpha, &f.Beta, &f.Gamma} {
		if *v, err = strconv.ParseFloat(t.Entry.Labels[i], 64); err != nil {
			return f, err
		}
	}
	f.Baseline = c.cfg.Baseline
	if c.cfg.ImgSize > 0 || f.Baseline.IsZero() { // its size is a part of the table
		own, err := c.baseline()
		f.Baseline = config.Baseline{Own: &own}
		return f, err
	}
	return f, nil
}

// add is what was trained.
func (r *searchResult) add(standings []trial.Standing, v trial.Verdict, path string) {
	r.Results, r.Coefficients = contestants(standings), path
	r.Winner = &r.Results[0]
	for _, t := range v.Ties {
		r.Ties = append(r.Ties, t.Entry.Name)
	}
}
