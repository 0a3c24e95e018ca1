package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/scale"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// searchKeys are the settings that the search for coefficients has.
var searchKeys = []string{"phi", "baseline", "img-size"}

type searchOptions struct {
	Grid         scale.Grid
	DryRun, JSON bool
}

// AddFlags registers the options.
func (o *searchOptions) AddFlags(flags *pflag.FlagSet) {
	o.Grid = scale.PaperGrid
	flags.Float64Var(&o.Grid.Step, "step", o.Grid.Step, "alpha, beta and gamma are 1 and multiples of this more")
	flags.StringVar((*string)(&o.Grid.Budget), "budget", string(o.Grid.Budget),
		"what has a target: formula (alpha * beta^2 * gamma^2), or counted and over the baseline's: macs, params")
	flags.Float64Var(&o.Grid.Target, "target", o.Grid.Target, "what one phi multiplies that by")
	flags.Float64Var(&o.Grid.Tolerance, "tolerance", o.Grid.Tolerance, "how far it may be from the target; counted, from target^phi")
	flags.BoolVar(&o.DryRun, "dry-run", false, "list the candidates; DIR may be left out")
	flags.BoolVar(&o.JSON, "json", false, "print one JSON object")
}

func newSearchCommand() *cobra.Command {
	var opts searchOptions
	cmd := &cobra.Command{
		Use:   "search-coefficients [DIR] --dry-run",
		Short: "List the candidates of a search for scaling coefficients",
		Long: `List the candidates of a grid search for alpha, beta and gamma as Tan and Le (2019,
section 3.3) made it: the networks of one phi, 1 unless --phi is given, whose cost is
near a target. It only lists candidates, with --dry-run: it does not train them yet.

Candidates that round to the same network are listed once, by the least coefficients.
--img-size is the side of the baseline's input, which gamma scales. The parameters
are for the classes of DIR; without, for 1000.`,
		Example: `  effnet search-coefficients --dry-run
  effnet search-coefficients photos --dry-run --budget macs --step 0.1 --json`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !opts.DryRun {
				return usage(cmd, errors.New("the candidates cannot be trained yet: --dry-run lists them"))
			}
			cfg, err := loadConfig(cmd.Flags())
			if err != nil {
				return err
			}
			return runSearch(cmd.OutOrStdout(), strings.Join(args, ""), cfg, opts)
		},
	}
	addConfigFlag(cmd.Flags(), "")
	addSettings(cmd.Flags(), func(key string) bool { return slices.Contains(searchKeys, key) })
	opts.AddFlags(cmd.Flags())
	return cmd
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
	Relative   float64 `json:"relative"` // macs over the baseline's
}

func runSearch(w io.Writer, dir string, cfg config.Config, opts searchOptions) error {
	if cfg.Variant != "" || cfg.HasBudget() {
		return usageError{errors.New("search-coefficients: scales a baseline: leave variant and the budgets out of the settings (see --budget)")}
	}
	baseline, err := cfg.Baseline.Table()
	if err != nil {
		return usageError{err}
	}
	if cfg.ImgSize > 0 {
		baseline.Resolution = cfg.ImgSize
	}
	if cfg.Phi != nil {
		opts.Grid.Phi = *cfg.Phi
	}
	classes := 1000
	if dir != "" {
		set, err := data.OpenTrain(dir)
		if err != nil {
			return err
		}
		classes = len(set.Classes)
	}
	r, err := listCandidates(opts.Grid, baseline, classes)
	if err != nil {
		return usageError{err}
	}
	if opts.JSON {
		return json.NewEncoder(w).Encode(r)
	}
	return r.print(w)
}

func listCandidates(g scale.Grid, baseline scale.Baseline, classes int) (*searchResult, error) {
	found, err := g.Candidates(baseline, classes)
	if err != nil {
		return nil, err
	}
	a, err := baseline.Compound(scale.Coefficients{Alpha: 1, Beta: 1, Gamma: 1})
	if err != nil {
		return nil, err
	}
	base := sizeOf(a, classes)
	r := &searchResult{Baseline: baseline.Name, Classes: classes, Phi: g.Phi, Resolution: base.Resolution, Params: base.Params, MACs: base.MACs,
		Candidates: []candidate{}}
	for _, c := range found {
		r.Candidates = append(r.Candidates, candidate{
			Alpha: c.Alpha, Beta: c.Beta, Gamma: c.Gamma, Product: c.Product(),
			Resolution: c.Network.Resolution, Params: c.Cost.Params, MACs: c.Cost.MACs, Relative: c.Relative,
		})
	}
	return r, nil
}

func (r *searchResult) print(w io.Writer) error {
	p := &printer{w: w}
	const row = "%-6v  %-6v  %-6v  %8v  %10v  %12v  %8v  %9v"
	p.line(row, "alpha", "beta", "gamma", "product", "resolution", "params", "MACs", "MACs/base")
	for _, c := range r.Candidates {
		p.line(row, c.Alpha, c.Beta, c.Gamma, fmt.Sprintf("%.3f", c.Product), c.Resolution, grouped(c.Params), short(c.MACs), fmt.Sprintf("%.3f", c.Relative))
	}
	p.line("\n%d candidates for phi %v of %s: %d px, %s parameters, %s MACs, %d classes",
		len(r.Candidates), r.Phi, r.Baseline, r.Resolution, grouped(r.Params), short(r.MACs), r.Classes)
	return p.err
}
