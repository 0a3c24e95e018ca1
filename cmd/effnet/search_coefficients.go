package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"time"

	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/search"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type coefficientsOptions struct {
	searchOptions
	Grid scale.Grid
}

// AddFlags registers the options.
func (o *coefficientsOptions) AddFlags(flags *pflag.FlagSet) {
	o.Seeds, o.Halving, o.Grid = 2, 3, scale.PaperGrid
	o.searchOptions.AddFlags(flags)
	flags.Float64Var(&o.Grid.Step, "step", o.Grid.Step, "alpha, beta and gamma are 1 plus multiples of this")
	flags.StringVar((*string)(&o.Grid.Budget), "budget", string(o.Grid.Budget),
		"the cost that has a target: formula (alpha * beta^2 * gamma^2), or relative to the baseline's: macs, params, latency (measured, for one image's forward pass)")
	flags.Float64Var(&o.Grid.Target, "target", o.Grid.Target, "factor by which one phi multiplies that cost")
	flags.Float64Var(&o.Grid.Tolerance, "tolerance", o.Grid.Tolerance, "how far the cost may be from the target; for all but the formula, from target^phi")
}

// gridFlags decide which candidates there are.
var gridFlags = []string{"step", "budget", "target", "tolerance"}

func newSearchCommand() *cobra.Command {
	var opts coefficientsOptions
	cmd := &cobra.Command{
		Use:   "search-coefficients DIR|PACK",
		Short: "Search for scaling coefficients on a folder of images",
		Long: `Search for alpha, beta and gamma as Tan and Le (2019, section 3.3) did. A grid gives
the networks for one phi, 1 unless --phi is given. Those whose cost is near a target
are trained, and the best by top-1 wins. Candidates that round to the same network
count as one. --img-size is the baseline's input size, which gamma scales.

All are trained on the same images with the same seeds, and evaluated on images held
out of training (--minival); those of val are not used. With successive halving, all
are trained for part of their epochs (a rung), the best third continues, and so on.

The run folder receives coefficients.yaml, which train --coefficients takes, search.csv
and search.jsonl, report.html, and each training run's own folder under trials.
--resume continues an interrupted search. The settings are those of --recipe search,
unless a file, the environment or flags say otherwise.`,
		Example: `  effnet search-coefficients --dry-run
  effnet search-coefficients photos --config configs/mini.yaml --budget macs --step 0.1
  effnet train photos --coefficients runs/search/coefficients.yaml --phi 3`,
		Args: folderArgs(1, &opts.DryRun),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSearchJob(cmd.Flags(), strings.Join(args, ""), search.Coefficients{}.Name(), &opts.searchOptions, gridFlags...)
			if err != nil {
				return err
			}
			return s.shared(cmd.Context(), cmd.OutOrStdout(), func(w io.Writer) error { return s.searchCoefficients(cmd.Context(), w, opts.Grid) })
		},
	}
	addSettings(cmd.Flags(), "search-coefficients", "search")
	opts.AddFlags(cmd.Flags())
	return cmd
}

// searchCoefficients lists the candidates, trains them and writes the winner.
func (s *searchJob) searchCoefficients(ctx context.Context, w io.Writer, grid scale.Grid) error {
	named, table, err := s.baseline()
	if err != nil {
		return err
	}
	base, err := s.cost(table)
	if err != nil {
		return err
	}
	if s.cfg.Phi != nil {
		grid.Phi = *s.cfg.Phi
	}
	grid.Measure = func(a scale.Arch) (time.Duration, error) { return latency(ctx, s.cfg, a) }
	q := search.Coefficients{Baseline: named, Grid: grid}
	out := &coefficientsJSON{Baseline: table.Name, Classes: s.classes(), Phi: grid.Phi, Resolution: table.Resolution, Params: base.Params, MACs: base.MACs,
		Candidates: []candidateJSON{}}
	if !s.resumed() {
		if err := s.planCoefficients(w, q, out); err != nil {
			return err
		}
	}
	if s.opts.DryRun {
		return s.printPlan(w, out)
	}
	if len(s.plan.Candidates) == 0 {
		return usageError{fmt.Errorf("no candidate has %s of %g times the baseline's, give or take %g (try a larger --tolerance or a smaller --step)",
			grid.Budget, math.Pow(grid.Target, grid.Exponent()), grid.Tolerance)}
	}
	r, err := s.run(ctx, q, base)
	if err != nil || !s.party.first() {
		return err
	}
	path := filepath.Join(s.cfg.Out, "coefficients.yaml")
	if err := q.Write(path, r); err != nil {
		return err
	}
	if s.opts.JSON {
		out.add(r, path)
		return json.NewEncoder(w).Encode(out)
	}
	if err := printRanking(w, r); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n%s\n%s\n", strings.Join(q.Answer(r), "\n"), path, filepath.Join(s.cfg.Out, "report.html"))
	return err
}

// planCoefficients makes the plan of a new search, and lists its candidates.
func (s *searchJob) planCoefficients(w io.Writer, q search.Coefficients, out *coefficientsJSON) error {
	if err := q.Grid.Validate(); err != nil {
		return usageError{err}
	}
	found, err := q.Candidates(s.classes())
	if err != nil {
		return err
	}
	for _, f := range found {
		out.Candidates = append(out.Candidates, candidateJSON{
			Alpha: f.Alpha, Beta: f.Beta, Gamma: f.Gamma, Product: f.Product(),
			Resolution: f.Network.Resolution, Params: f.Cost.Params, MACs: f.Cost.MACs, Relative: f.Relative, LatencyMS: f.Latency.Seconds() * 1e3,
		})
	}
	if err := s.setPlan(q.Plan(found)); err != nil || s.opts.JSON {
		return err
	}
	return out.print(w)
}

// coefficientsJSON is what the command prints; its keys are an interface.
type coefficientsJSON struct {
	Baseline   string          `json:"baseline"`
	Classes    int             `json:"classes"`
	Phi        float64         `json:"phi"`
	Resolution int             `json:"resolution"` // of the baseline, as the next two
	Params     int64           `json:"params"`
	MACs       int64           `json:"macs"`
	Candidates []candidateJSON `json:"candidates"`

	Winner       *scoreJSON  `json:"winner,omitempty"`
	Ties         []string    `json:"ties,omitempty"` // names of results
	Results      []scoreJSON `json:"results,omitempty"`
	Coefficients string      `json:"coefficients,omitempty"` // file
}

// candidateJSON is a line of the table.
type candidateJSON struct {
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

func (c *coefficientsJSON) print(w io.Writer) error {
	p := &printer{w: w}
	const row = "%-6v  %-6v  %-6v  %8v  %10v  %12v  %8v  %9v"
	measured := len(c.Candidates) > 0 && c.Candidates[0].LatencyMS > 0
	head := fmt.Sprintf(row, "alpha", "beta", "gamma", "product", "resolution", "params", "MACs", "MACs/base")
	if measured {
		head += "   latency"
	}
	p.line("%s", head)
	for _, k := range c.Candidates {
		line := fmt.Sprintf(row, k.Alpha, k.Beta, k.Gamma, fmt.Sprintf("%.3f", k.Product), k.Resolution, report.Grouped(k.Params), report.WithUnit(k.MACs), fmt.Sprintf("%.3f", k.Relative))
		if measured {
			line += fmt.Sprintf("  %6.2fms", k.LatencyMS)
		}
		p.line("%s", line)
	}
	p.line("\n%d candidates for phi %v of %s: %d px, %s parameters, %s MACs, %d classes",
		len(c.Candidates), c.Phi, c.Baseline, c.Resolution, report.Grouped(c.Params), report.WithUnit(c.MACs), c.Classes)
	return p.err
}

// add adds the results of training.
func (c *coefficientsJSON) add(r *search.Results, path string) {
	c.Results, c.Coefficients = rankingJSON(r.Ranking), path
	c.Winner = &c.Results[0]
	for _, s := range search.Judge(r.Ranking).Ties {
		c.Ties = append(c.Ties, s.Candidate.Name)
	}
}
