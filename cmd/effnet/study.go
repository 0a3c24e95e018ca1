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

	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/trial"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type studyOptions struct {
	trialOptions
	Times []float64
}

// AddFlags registers the options.
func (o *studyOptions) AddFlags(flags *pflag.FlagSet) {
	o.Seeds, o.Halving = 3, 1
	o.trialOptions.AddFlags(flags)
	flags.Float64SliceVar(&o.Times, "times", []float64{2, 4}, "multiply-adds of the scaled networks, as multiples of the baseline's")
}

func newStudyCommand() *cobra.Command {
	var opts studyOptions
	cmd := &cobra.Command{
		Use:   "scale-study DIR|PACK",
		Short: "Compare ways of scaling a network on a folder of images",
		Long: `Train a baseline and networks scaled from it by depth alone, width alone, resolution
alone, and by all three (alpha, beta, gamma), at the same multiply-adds, as Tan and Le
(2019) did for their figures 3 and 8 and tables 3 and 7, and say which is better and
how sure that is. Each network is the one whose counted multiply-adds come nearest.

The run folder receives study.csv and study.jsonl, report.html, and each training's own
folder under trials. An interrupted study goes on with --resume. The settings are those
of --recipe study, unless a file, the environment or flags say otherwise.`,
		Example: `  effnet scale-study photos --config configs/mini.yaml
  effnet scale-study photos --coefficients runs/search/coefficients.yaml --times 2,4,8`,
		Args: folderArgs(1, &opts.DryRun),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newContest(cmd.Flags(), strings.Join(args, ""), "study", &opts.trialOptions, "times")
			if err != nil {
				return err
			}
			return runStudy(cmd.Context(), cmd.OutOrStdout(), c, &opts)
		},
	}
	addConfigFlag(cmd.Flags(), "study")
	addCoefficientsFlag(cmd.Flags())
	addSettings(cmd.Flags(), func(key string) bool {
		return !slices.Contains(budgetKeys, key) && !slices.Contains(finetuneKeys, key) && key != "variant" && key != "phi"
	})
	opts.AddFlags(cmd.Flags())
	return cmd
}

// runStudy makes the networks, trains them and compares the methods.
func runStudy(ctx context.Context, w io.Writer, c *contest, opts *studyOptions) error {
	r, err := c.scaled(opts.Times)
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
	c.show = c.showStudy
	standings, err := c.run(ctx)
	if err != nil {
		return err
	}
	comparisons := c.compare(standings)
	if opts.JSON {
		r.Results, r.Comparisons = contestants(standings), comparisons
		return json.NewEncoder(w).Encode(r)
	}
	if err := c.printStandings(w, standings); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n%s\n", strings.Join(c.conclusions(comparisons), "\n"), filepath.Join(c.cfg.Out, "report.html"))
	return err
}

// studyResult is what the command prints; its JSON keys are an interface.
type studyResult struct {
	Baseline    string       `json:"baseline"`
	Classes     int          `json:"classes"`
	Alpha       float64      `json:"alpha"`
	Beta        float64      `json:"beta"`
	Gamma       float64      `json:"gamma"`
	Networks    []scaled     `json:"networks"`
	Results     []contestant `json:"results,omitempty"`
	Comparisons []comparison `json:"comparisons,omitempty"`
}

// scaled is a network of the study.
type scaled struct {
	Method     string  `json:"method"`
	Times      float64 `json:"times"`  // multiply-adds that were asked for
	Factor     float64 `json:"factor"` // of the dimension; phi of compound
	Resolution int     `json:"resolution"`
	Params     int64   `json:"params"`
	MACs       int64   `json:"macs"`
	Relative   float64 `json:"relative"` // macs over the baseline's
}

// baselineMethod is the method of the network that is not scaled.
const baselineMethod = "baseline"

// scaled lists the networks, and makes the plan unless a study goes on.
func (c *contest) scaled(times []float64) (*studyResult, error) {
	baseline, err := c.baseline()
	if err != nil {
		return nil, err
	}
	k := c.cfg.Coefficients()
	r := &studyResult{Baseline: baseline.Name, Classes: c.classes(), Alpha: k.Alpha, Beta: k.Beta, Gamma: k.Gamma}
	if c.resumed() {
		return r, nil
	}
	if len(times) == 0 || slices.ContainsFunc(times, func(t float64) bool { return !(t > 1 && t <= 64) }) {
		return nil, usageError{fmt.Errorf("--times %v is not allowed (want numbers above 1, to 64)", times)}
	}
	var entries []trial.Entry
	add := func(m scale.Method, times, x float64, a scale.Arch) {
		cost := scale.Count(a)
		if len(r.Networks) > 0 {
			a.Name = fmt.Sprintf("%s-x%g", m, times)
		}
		n := scaled{string(m), times, x, a.Resolution, cost.Params, cost.MACs, 1}
		if len(r.Networks) > 0 {
			n.Relative = float64(n.MACs) / float64(r.Networks[0].MACs)
		}
		r.Networks = append(r.Networks, n)
		entries = append(entries, trial.Entry{Name: a.Name, Arch: a, Labels: []string{n.Method, number(times), number(x)}})
	}
	a, err := baseline.By(scale.DepthOnly, 1, k)
	if err != nil {
		return nil, usageError{err}
	}
	a.Name, a.Classes = baselineMethod, c.classes()
	add(baselineMethod, 1, 1, a)
	for _, times := range times {
		for _, m := range scale.Methods {
			x, a, err := baseline.Match(m, times, k, c.classes())
			if err != nil {
				return nil, usageError{err}
			}
			add(m, times, x, a)
		}
	}
	return r, c.setPlan([]string{"method", "times", "factor"}, entries)
}

func (r *studyResult) print(w io.Writer) error {
	p := &printer{w: w}
	const row = "%-10v  %5v  %8v  %10v  %12v  %8v  %9v"
	p.line(row, "method", "times", "factor", "resolution", "params", "MACs", "MACs/base")
	for _, n := range r.Networks {
		p.line(row, n.Method, n.Times, fmt.Sprintf("%.5g", n.Factor), n.Resolution, report.Grouped(n.Params), report.WithUnit(n.MACs), fmt.Sprintf("%.3f", n.Relative))
	}
	p.line("\n%s scaled to multiples of its multiply-adds; factor is of one dimension, and phi of compound (alpha %g, beta %g, gamma %g); %d classes",
		r.Baseline, r.Alpha, r.Beta, r.Gamma, r.Classes)
	return p.err
}

// comparison is compound scaling against another method at the same multiply-adds.
type comparison struct {
	Times      float64 `json:"times"`
	Method     string  `json:"method"`
	Difference float64 `json:"difference"`         // of the means: compound's less the method's
	Interval   float64 `json:"interval,omitempty"` // half of the 95% interval; 0 if no spread is known
}

// compare sets compound against the others, in the plan's order.
func (c *contest) compare(standings []trial.Standing) (all []comparison) {
	spread := trial.SpreadOf(standings)
	find := func(name string) *trial.Standing {
		i := slices.IndexFunc(standings, func(t trial.Standing) bool { return t.Entry.Name == name && t.Failed == "" && t.Top1 != nil })
		if i < 0 {
			return nil
		}
		return &standings[i]
	}
	for _, e := range c.plan.Entries {
		method, times := e.Labels[0], e.Labels[1]
		other, compound := find(e.Name), find(fmt.Sprintf("%s-x%s", scale.AllThree, times))
		if method == string(scale.AllThree) || method == baselineMethod || other == nil || compound == nil {
			continue
		}
		d := comparison{Method: method, Difference: compound.Mean() - other.Mean()}
		d.Times, _ = strconv.ParseFloat(times, 64) // number wrote it
		if v := spread.Difference(len(compound.Top1), len(other.Top1)); !math.IsNaN(v) {
			d.Interval = v
		}
		all = append(all, d)
	}
	return all
}

// conclusions are comparisons in words, a sentence a multiple.
func (c *contest) conclusions(all []comparison) (sentences []string) {
	for i := 0; i < len(all); {
		times := all[i].Times
		var parts []string
		for ; i < len(all) && all[i].Times == times; i++ {
			d := all[i]
			text := fmt.Sprintf("%+.2f points over %s", 100*d.Difference, d.Method)
			if d.Interval > 0 {
				text = fmt.Sprintf("%+.2f ± %.2f points over %s (%s)", 100*d.Difference, 100*d.Interval, d.Method, d.verdict())
			}
			parts = append(parts, text)
		}
		sentences = append(sentences, fmt.Sprintf("At %g times the multiply-adds, compound scaling has %s.", times, strings.Join(parts, ", ")))
	}
	return sentences
}

// verdict is what the interval says.
func (d comparison) verdict() string {
	switch {
	case d.Difference > d.Interval:
		return "better"
	case d.Difference < -d.Interval:
		return "worse"
	}
	return "no difference that seeds do not explain"
}

// showStudy adds to a page what a study shows: accuracy over cost, learning curves.
func (c *contest) showStudy(p *report.Search, standings []trial.Standing) {
	p.Title = "Scaling study: " + c.dir
	progress, done := c.progress()
	p.Verdict = progress
	if done {
		said := append(c.conclusions(c.compare(standings)), "Compound scaling, or all other methods, failed.")
		p.Verdict, p.Notes = said[0], append(said[1:len(said)-1], p.Notes...)
	}
	for i, t := range standings {
		outcome := ""
		if t.Failed != "" {
			outcome = "failed: " + t.Failed
		}
		p.Rows[i].Cells = append(p.Rows[i].Cells, outcome)
		p.Rows[i].Set = t.Entry.Labels[0] == string(scale.AllThree)
	}
	spread := trial.SpreadOf(standings)
	methods := append([]scale.Method{baselineMethod}, scale.Methods...)
	cost := make([]report.Line, 0, len(methods))
	var curves []report.Line
	for kind, m := range methods {
		line := report.Line{Name: string(m), Kind: kind, Joined: true, Dotted: true}
		for _, e := range c.plan.Entries {
			i := slices.IndexFunc(standings, func(t trial.Standing) bool { return t.Entry.Name == e.Name })
			t := standings[i]
			if t.Top1 == nil || e.Labels[0] != string(m) && e.Labels[0] != baselineMethod {
				continue
			}
			line.Points = append(line.Points, c.point(t, spread))
			if e.Labels[0] == string(m) {
				name := ""
				if len(curves) == 0 || curves[len(curves)-1].Kind != kind {
					name = string(m)
				}
				curves = append(curves, c.curve(t, name, kind))
			}
		}
		cost = append(cost, line)
	}
	p.Charts = append(p.Charts, report.Plot("Top-1 (%) over million multiply-adds, with 95% intervals of the means", "M", cost),
		report.Plot("Top-1 (%), mean of the seeds", "epoch", curves))
}
