package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/search"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type studyOptions struct {
	searchOptions
	Times   []float64
	Methods []string
}

// AddFlags registers the options.
func (o *studyOptions) AddFlags(flags *pflag.FlagSet) {
	o.Seeds, o.Halving = 3, 1
	o.searchOptions.AddFlags(flags)
	flags.Float64SliceVar(&o.Times, "times", []float64{2, 4}, "multiply-adds of the scaled networks, as multiples of the baseline's")
	flags.StringSliceVar(&o.Methods, "methods", []string{"depth", "width", "resolution", "compound"}, "ways of scaling to compare, compound among them: depth, width, resolution, compound, fast (Dollár et al. 2021), capped (compound up to --max-img-size), late (compound with --late-depth, and --max-img-size if set)")
}

func newStudyCommand() *cobra.Command {
	var opts studyOptions
	cmd := &cobra.Command{
		Use:   "scale-study DIR|PACK",
		Short: "Compare ways of scaling a network on a folder of images",
		Long: `Train a baseline, and networks scaled from it by depth alone, width alone, resolution
alone, and all three (alpha, beta, gamma), at the same multiply-adds. Report which is
better, and how certain that is. Tan and Le (2019) did this for their figures 3 and 8
and tables 3 and 7. Of each kind, the network is trained whose counted multiply-adds
come nearest. --methods adds the fast rule of Dollár et al. (2021), which mostly widens,
and compound scaling with a largest image size or with extra layers in the last stages,
as EfficientNetV2 has them.

The run folder receives study.csv and study.jsonl, report.html, and each training run's
own folder under trials. --resume continues an interrupted study. The settings are those
of --recipe study, unless a file, the environment or flags say otherwise.`,
		Example: `  effnet scale-study photos --config configs/mini.yaml
  effnet scale-study photos --methods compound,fast,width --times 4
  effnet scale-study photos --methods compound,capped,late --max-img-size 64 --late-depth 1.2
  effnet scale-study photos --coefficients runs/search/coefficients.yaml --times 2,4,8`,
		Args: folderArgs(1, &opts.DryRun),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSearchJob(cmd.Flags(), strings.Join(args, ""), search.Study{}.Name(), &opts.searchOptions, "times", "methods")
			if err != nil {
				return err
			}
			return s.shared(cmd.Context(), cmd.OutOrStdout(), func(w io.Writer) error { return s.study(cmd.Context(), w, &opts) })
		},
	}
	addSettings(cmd.Flags(), "scale-study", "study")
	opts.AddFlags(cmd.Flags())
	return cmd
}

// study makes the networks, trains them and compares the methods.
func (s *searchJob) study(ctx context.Context, w io.Writer, opts *studyOptions) error {
	_, table, err := s.baseline()
	if err != nil {
		return err
	}
	base, err := s.cost(table)
	if err != nil {
		return err
	}
	k := s.cfg.Scaling()
	q := search.Study{Baseline: table, Rule: k, Times: opts.Times}
	for _, m := range opts.Methods {
		q.Methods = append(q.Methods, scale.Method(m))
	}
	out := &studyJSON{Baseline: table.Name, Classes: s.classes(), Alpha: k.Alpha, Beta: k.Beta, Gamma: k.Gamma}
	if !s.resumed() {
		if err := s.planStudy(w, q, out); err != nil {
			return err
		}
	}
	if s.opts.DryRun {
		return s.printPlan(w, out)
	}
	r, err := s.run(ctx, q, base)
	if err != nil || !s.party.first() {
		return err
	}
	if s.opts.JSON {
		out.Results, out.Comparisons = rankingJSON(r.Ranking), q.Compare(r)
		return json.NewEncoder(w).Encode(out)
	}
	if err := printRanking(w, r); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n%s\n", strings.Join(q.Answer(r), "\n"), filepath.Join(s.cfg.Out, "report.html"))
	return err
}

// planStudy makes the plan of a new study, and lists its networks.
func (s *searchJob) planStudy(w io.Writer, q search.Study, out *studyJSON) (err error) {
	if len(q.Times) == 0 || slices.ContainsFunc(q.Times, func(t float64) bool { return !(t > 1 && t <= 64) }) {
		return usageError{fmt.Errorf("--times %v is not allowed (want numbers above 1, to 64)", q.Times)}
	}
	if !slices.Contains(q.Methods, scale.AllThree) || len(q.Methods) < 2 {
		return usageError{fmt.Errorf("--methods %v is not allowed (want %s and others, to compare it with)", q.Methods, scale.AllThree)}
	}
	if late := slices.Contains(q.Methods, scale.Late); s.cfg.LateDepth > 1 && !late || s.cfg.MaxImgSize > 0 && !late && !slices.Contains(q.Methods, scale.Capped) {
		return usageError{fmt.Errorf("--late-depth and --max-img-size do nothing with --methods %v (add %s or %s)", q.Methods, scale.Capped, scale.Late)}
	}
	if out.Networks, err = q.Networks(s.classes()); err != nil {
		return usageError{err}
	}
	if err := s.setPlan(q.Plan(out.Networks)); err != nil || s.opts.JSON {
		return err
	}
	return out.print(w)
}

// studyJSON is what the command prints; its keys are an interface.
type studyJSON struct {
	Baseline    string              `json:"baseline"`
	Classes     int                 `json:"classes"`
	Alpha       float64             `json:"alpha"`
	Beta        float64             `json:"beta"`
	Gamma       float64             `json:"gamma"`
	Networks    []search.Scaled     `json:"networks"`
	Results     []scoreJSON         `json:"results,omitempty"`
	Comparisons []search.Comparison `json:"comparisons,omitempty"`
}

func (s *studyJSON) print(w io.Writer) error {
	p := &printer{w: w}
	const row = "%-10v  %5v  %8v  %10v  %12v  %8v  %11v  %9v"
	p.line(row, "method", "times", "factor", "resolution", "params", "MACs", "activations", "MACs/base")
	for _, n := range s.Networks {
		p.line(row, n.Method, n.Times, fmt.Sprintf("%.5g", n.Factor), n.Resolution, report.Grouped(n.Params), report.WithUnit(n.MACs), report.WithUnit(n.Activations), fmt.Sprintf("%.3f", n.Relative))
	}
	p.line("\n%s scaled to multiples of its multiply-adds; factor scales one dimension, and is phi for all three (compound: alpha %g, beta %g, gamma %g); %d classes",
		s.Baseline, s.Alpha, s.Beta, s.Gamma, s.Classes)
	return p.err
}
