package main

import (
	"encoding/json"
	"fmt"
	"io"

	"effnet/internal/config"
	"effnet/internal/device"
	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/setup"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type summaryOptions struct {
	Classes int
	JSON    bool
}

// AddFlags registers the options.
func (o *summaryOptions) AddFlags(flags *pflag.FlagSet) {
	flags.IntVar(&o.Classes, "classes", 1000, "outputs of the classifier")
	flags.BoolVar(&o.JSON, "json", false, "print one JSON object")
}

func newSummaryCommand() *cobra.Command {
	var opts summaryOptions
	cmd := &cobra.Command{
		Use:   "summary",
		Short: "Print a network's stages, parameters and multiply-adds",
		Long: `Print a network's stages with their parameters and multiply-adds (MACs: those of
one image's convolutions, squeeze-and-excitation and classifier).

The published variants were rounded by hand, so they differ from the formula's:
the second table compares the published coefficients with the formula's nearest ones.`,
		Example: `  effnet summary --variant b4
  effnet summary --phi 1 --alpha 1.2 --beta 1.1 --gamma 1.15
  effnet summary --flops-budget 1.5G --params-budget 10M
  effnet summary --config configs/fashion-mnist.yaml --classes 10 --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd.Flags())
			if err != nil {
				return err
			}
			if cfg, _, err = archWithin(cmd.Context(), cfg, opts.Classes); err != nil {
				return err
			}
			return runSummary(cmd.OutOrStdout(), cfg, opts)
		},
	}
	addSettings(cmd.Flags(), "summary", "")
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runSummary(w io.Writer, cfg config.Config, opts summaryOptions) error {
	s, err := summarize(cfg, opts.Classes)
	if err != nil {
		return err
	}
	if opts.JSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false) // the blocks' names hold ampersands
		return e.Encode(s)
	}
	return s.print(w)
}

// summary is what the command prints; its JSON keys are an interface.
type summary struct {
	Name    string `json:"name"`
	Classes int    `json:"classes"`
	size
	Stages    []scale.Row `json:"stages"`
	Published *published  `json:"published"` // null for a baseline that has no variants
	Formula   formula     `json:"formula"`
	Memory    memory      `json:"train_memory"`
}

// memory is what training takes, in bytes.
type memory struct {
	Image   int64 `json:"image"`   // a batch of one image: intermediate values, images that arrive
	Weights int64 `json:"weights"` // weights, gradients and RMSProp's two values a weight
}

// memoryOf returns the memory that training a network with RMSProp takes on the CPU.
func memoryOf(cfg config.Config, a scale.Arch) (memory, error) {
	host := device.Host()
	cfg.Device, cfg.Precision, cfg.Opt = host.Name, host.Precisions[0], "rmsprop"
	cfg.BatchSize, cfg.GradAccum, cfg.EMA, cfg.Progressive = 1, 1, 0, 0
	m, err := setup.Memory(cfg, a, 1, 0)
	return memory{Image: m.Batch, Weights: m.Weights}, err
}

// size is a network's coefficients and cost.
type size struct {
	Width      float64 `json:"width"`
	Depth      float64 `json:"depth"`
	Resolution int     `json:"resolution"`
	Params     int64   `json:"params"`
	MACs       int64   `json:"macs"`

	Activations int64 `json:"activations"` // values that the layers with multiply-adds make of an image
}

type published struct {
	Variant string `json:"variant"`
	size
}

type formula struct {
	Phi     float64 `json:"phi"`
	Alpha   float64 `json:"alpha"`
	Beta    float64 `json:"beta"`
	Gamma   float64 `json:"gamma"`
	Product float64 `json:"product"` // alpha * beta^2 * gamma^2

	MaxResolution int     `json:"max_resolution,omitempty"`
	LateDepth     float64 `json:"late_depth,omitempty"` // base of an extra depth of the last two stages, if above 1
	size
}

func sizeOf(a scale.Arch, classes int) size {
	a.Classes = classes
	cost := scale.Count(a)
	return size{Width: a.Width, Depth: a.Depth, Resolution: a.Resolution, Params: cost.Params, MACs: cost.MACs, Activations: cost.Activations}
}

// summarize compares the configured network with the published variant and with the
// formula: one of them is what the configuration asks for, the other the nearest to it.
func summarize(cfg config.Config, classes int) (*summary, error) {
	a, err := cfg.Arch(classes)
	if err != nil {
		return nil, usageError{err}
	}
	s := &summary{Name: a.Name, Classes: classes, size: sizeOf(a, classes), Stages: scale.Count(a).Rows}
	if s.Memory, err = memoryOf(cfg, a); err != nil {
		return nil, err
	}

	k := cfg.Scaling()
	var baseline scale.Baseline
	var variant scale.Published
	name, hasVariant := cfg.Published()
	if hasVariant {
		if variant, err = scale.LookupVariant(name); err != nil {
			return nil, err
		}
		baseline, k.Coefficients = variant.Baseline, k.Fit(variant)
	} else {
		if baseline, err = cfg.Baseline.Table(); err != nil {
			return nil, err
		}
		if cfg.Baseline.Own == nil {
			variant, hasVariant = k.Nearest(baseline.Name)
		}
	}

	if hasVariant {
		a, err := variant.Arch()
		if err != nil {
			return nil, err
		}
		s.Published = &published{Variant: variant.Name, size: sizeOf(a, classes)}
	}
	if a, err = baseline.Enlarge(k); err != nil {
		return nil, err
	}
	s.Formula = formula{Phi: k.Phi, Alpha: k.Alpha, Beta: k.Beta, Gamma: k.Gamma, Product: k.Product(), MaxResolution: k.MaxResolution, size: sizeOf(a, classes)}
	if k.LateDepth > 1 {
		s.Formula.LateDepth = k.LateDepth
	}
	return s, nil
}

func (s *summary) print(w io.Writer) error {
	p := &printer{w: w}
	p.line("%s: %d px, width %.4g, depth %.4g, %d classes\n", s.Name, s.Resolution, s.Width, s.Depth, s.Classes)
	const row = "%-5v  %-22s  %10v  %8v  %7v  %12s  %8s  %11s"
	p.line(row, "stage", "block", "resolution", "channels", "repeats", "params", "MACs", "activations")
	for _, r := range s.Stages {
		p.line(row, r.Stage, r.Block, r.Resolution, r.Channels, r.Repeats, report.Grouped(r.Params), report.WithUnit(r.MACs), report.WithUnit(r.Activations))
	}
	p.line(row, "total", "", "", "", "", report.Grouped(s.Params), report.WithUnit(s.MACs), report.WithUnit(s.Activations))

	const compared = "%-27s  %7s  %7s  %10v  %12s  %8s  %11s"
	coefficients := func(name string, z size) {
		p.line(compared, name, fmt.Sprintf("%.3f", z.Width), fmt.Sprintf("%.3f", z.Depth), z.Resolution, report.Grouped(z.Params), report.WithUnit(z.MACs), report.WithUnit(z.Activations))
	}
	p.line("")
	p.line(compared, "", "width", "depth", "resolution", "params", "MACs", "activations")
	if s.Published != nil {
		coefficients("published "+s.Published.Variant, s.Published.size)
	}
	coefficients(fmt.Sprintf("formula, phi %.2f", s.Formula.Phi), s.Formula.size)
	p.line("\ntraining memory: %s per image, %s for weights, gradients and RMSProp", report.Bytes(s.Memory.Image), report.Bytes(s.Memory.Weights))
	p.line("formula: depth %.4g^phi, width %.4g^phi, resolution %.4g^phi; %.4g times the MACs for each phi",
		s.Formula.Alpha, s.Formula.Beta, s.Formula.Gamma, s.Formula.Product)
	if s.Formula.MaxResolution > 0 {
		p.line("resolution: at most %d px", s.Formula.MaxResolution)
	}
	if s.Formula.LateDepth > 0 {
		p.line("depth of the last two stages: %.4g^phi more", s.Formula.LateDepth)
	}
	return p.err
}

// printer writes lines until one fails.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
