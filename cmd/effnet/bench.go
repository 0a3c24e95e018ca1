package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"effnet/internal/bench"
	"effnet/internal/config"
	"effnet/internal/device"
	"effnet/internal/scale"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type benchOptions struct {
	deviceOptions
	Mode           string
	BatchSize      int
	Steps, Warmup  int
	Profile, Alone bool
	Model          bool
}

// AddFlags registers the options.
func (o *benchOptions) AddFlags(flags *pflag.FlagSet) {
	o.deviceOptions.AddFlags(flags)
	flags.StringVar(&o.Mode, "mode", bench.Train, "train or infer")
	flags.IntVarP(&o.BatchSize, "batch-size", "b", 16, "images per step")
	flags.IntVar(&o.Steps, "steps", 10, "steps to time")
	flags.IntVar(&o.Warmup, "warmup", 2, "steps to run first, untimed")
	flags.BoolVar(&o.Profile, "profile", false, "also time each launch: tables by operation and by layer")
	flags.BoolVar(&o.Model, "model", false, "only predict, from the plan, what a GPU would do in a step; needs no GPU")
	flags.BoolVar(&o.Alone, "alone", false, "also time each operation of training and inference alone, on the CPU")
}

// Validate names the first option out of range.
func (o *benchOptions) Validate() error {
	switch {
	case o.Mode != bench.Train && o.Mode != bench.Infer:
		return usageError{fmt.Errorf("--mode %q: want train or infer", o.Mode)}
	case o.BatchSize < 1:
		return usageError{fmt.Errorf("--batch-size %d: want 1 or more", o.BatchSize)}
	case o.Steps < 1:
		return usageError{fmt.Errorf("--steps %d: want 1 or more", o.Steps)}
	case o.Warmup < 0:
		return usageError{fmt.Errorf("--warmup %d: want 0 or more", o.Warmup)}
	}
	d, err := device.Lookup(o.Device)
	switch {
	case err != nil:
		return err
	case o.Model && d.Card() == nil:
		return usageError{fmt.Errorf("--model: only with --device %s", device.Modelled())}
	case o.Model && (o.Profile || o.Alone):
		return usageError{errors.New("--model measures nothing: not with --profile or --alone")}
	case o.Alone && !d.Host:
		return usageError{fmt.Errorf("--alone: only with --device %s (--profile times a graphics card's)", device.Host().Name)}
	}
	return o.deviceOptions.Validate()
}

func newBenchCommand() *cobra.Command {
	var opts benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the speed of training or inference",
		Long: `Measure the speed of training or inference on random images. A training step is
the forward and backward pass, the running statistics and the optimizer's update;
an inference step is the forward pass. Neither reads image files.

--profile and --alone compare times with two peaks, which are measured first: on the
CPU, multiply-adds in registers and copies between arrays too large for any cache, on
all threads; on a GPU, a large matrix product and a copy.

--model runs nothing. It counts the launches of a step, the bytes of a GPU's memory
that each reads and writes, and the multiply-adds of products, and gives each launch
the time that an H100 takes for these. Next to the bytes it prints those of the
operations' operands, each counted once, which is the least that these operations can
do. With --profile on a GPU, it prints the model's times next to the measured ones.

The settings choose the network, its optimizer and the kernels. The batch size, the
threads and the device are flags only.`,
		Example: `  effnet bench --variant b0
  effnet bench --mode infer --variant b4 -b 1 --profile
  effnet bench --img-size 32 -b 256 --threads 1 --json
  effnet bench --model --device cuda --precision bf16 -b 256`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd.Flags())
			if err != nil {
				return err
			}
			opts.Kernels = cfg.Kernels
			return runBench(cmd.Context(), cmd.OutOrStdout(), cfg, opts)
		},
	}
	addSettings(cmd.Flags(), "bench", "")
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runBench(ctx context.Context, w io.Writer, cfg config.Config, opts benchOptions) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	cfg, arch, err := archWithin(ctx, cfg, 1000)
	if err != nil {
		return err
	}
	d, err := device.Lookup(opts.Device)
	if err != nil {
		return err
	}
	measured := bench.Options{Mode: opts.Mode, Precision: opts.Precision, Threads: opts.Threads, Batch: opts.BatchSize,
		Steps: opts.Steps, Warmup: opts.Warmup, Profile: opts.Profile, Alone: opts.Alone}
	if opts.Model {
		return runModel(w, d, cfg, arch, measured, opts.JSON)
	}
	b, err := openBackend(opts.Device, opts.Precision, opts.Kernels, opts.Threads)
	if err != nil {
		return err
	}
	defer b.Close()
	r, err := bench.Run(ctx, d, b, cfg, arch, measured)
	if err != nil {
		return err
	}
	if opts.JSON {
		return json.NewEncoder(w).Encode(r)
	}
	return printBench(w, r)
}

func runModel(w io.Writer, d *device.Device, cfg config.Config, arch scale.Arch, opts bench.Options, asJSON bool) error {
	r, err := bench.Model(d, cfg, arch, opts)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	p := &printer{w: w}
	p.line("%s at %d px, %s, batch %d, %s, modelled on an %s: %.2f TB/s of copies, %.0f TFLOP/s of products, %.0f us a launch",
		r.Variant, r.Size, r.Mode, r.Batch, r.Precision, r.Card.Name, r.Card.Copy/1e12, r.Card.FLOPS[r.Precision]/1e12, 1e6*r.Card.Launch)
	p.line("%.1f ms per step, %.0f images/s; %d launches, %.2f GB, %.2f times the operands'; %.0f MiB of the card's memory",
		1e3*r.Step.Model, float64(r.Batch)/r.Step.Model, r.Step.Launches, float64(r.Step.Moved)/1e9, float64(r.Step.Moved)/float64(r.Step.Bytes), r.DeviceMemory)
	printModel(p, "operation", r.ByOp)
	printModel(p, "launch", topOf(r.ByKernel))
	printModel(p, "layer", topOf(r.ByLayer))
	return p.err
}

// printModel prints a table of modelled work.
func printModel(p *printer, title string, all []bench.Work) {
	const row = "%-34s  %8v  %8s  %8s  %6s  %8s  %9s  %6s"
	var total float64
	for _, u := range all {
		total += u.Model
	}
	p.line("")
	p.line(row, title, "launches", "GB", "operands", "ratio", "TFLOP", "ms", "share")
	for _, u := range all {
		operands, ratio := "-", "-"
		if u.Bytes > 0 {
			operands, ratio = fmt.Sprintf("%.3f", float64(u.Bytes)/1e9), fmt.Sprintf("%.2f", float64(u.Moved)/float64(u.Bytes))
		}
		p.line(row, u.Name, u.Launches, fmt.Sprintf("%.3f", float64(u.Moved)/1e9), operands, ratio,
			fmt.Sprintf("%.3f", float64(u.FLOPs)/1e12), fmt.Sprintf("%.3f", 1e3*u.Model), percent(u.Model/total))
	}
}

// topLayers is the number of layers that a profile prints; it sums the others.
const topLayers = 20

func printBench(w io.Writer, r *bench.Result) error {
	p := &printer{w: w}
	images := func(seconds float64) float64 { return float64(r.Batch) / seconds }
	p.line("%s at %d px, %s, batch %d, threads %d, %s", r.Variant, r.Size, r.Mode, r.Batch, r.Threads, r.Kernels)
	p.line("%.1f images/s (%.1f to %.1f in %d steps), %.1f ms per step, peak RSS %.0f MiB, planned arena %.0f MiB",
		r.ImagesPerSec, images(slices.Max(r.StepSec)), images(slices.Min(r.StepSec)), len(r.StepSec), 1e3*bench.Median(r.StepSec), r.PeakRSS, r.Arena)
	if r.DeviceMemory > 0 {
		p.line("%.0f MiB of the graphics card's memory", r.DeviceMemory)
	}
	if r.Peaks != nil {
		p.line("\npeaks: %.0f GFLOP/s of multiply-adds, %.1f GB/s of copies", r.Peaks.FLOPS/1e9, r.Peaks.Copy/1e9)
	}
	if r.ByOp != nil {
		peak := r.Profiled.Peaks
		if u := r.Profiled; u.Large < r.Batch {
			p.line("\nprofile: one of %d workers, images of a step's %d: %d where maps are large, %d where they are smallest, all in the classifier; its peaks: %.0f GFLOP/s, %.1f GB/s",
				u.Workers, r.Batch, u.Large, u.Small, peak.FLOPS/1e9, peak.Copy/1e9)
		}
		printProfile(p, "operation", r.ByOp, peak)
		printProfile(p, "layer", topOf(r.ByLayer), peak)
	}
	if r.Alone != nil {
		printAlone(p, r.Alone, *r.Peaks)
	}
	return p.err
}

// topOf returns the first topLayers of all, and the sum of the others.
func topOf(all []bench.Work) []bench.Work {
	if len(all) <= topLayers {
		return all
	}
	rest := bench.Work{Name: fmt.Sprintf("%d others", len(all)-topLayers)}
	for _, u := range all[topLayers:] {
		rest.Add(u)
	}
	return append(slices.Clone(all[:topLayers]), rest)
}

// printProfile prints a table and its sum. "of peak" is the share of the nearer peak
// that was reached; it exceeds 100 % of copies for work inside a cache.
func printProfile(p *printer, title string, all []bench.Work, peak device.Peaks) {
	const row = "%-34s  %5v  %9s  %6s  %7s  %6s  %7s  %s"
	total := bench.Work{Name: "total"}
	for _, u := range all {
		total.Add(u)
	}
	p.line("")
	last, model := "bound", func(u bench.Work) string { return u.Bound(peak) }
	if total.Model > 0 {
		last = "bound  launches  model ms"
		model = func(u bench.Work) string {
			return fmt.Sprintf("%-5s  %8d  %8.3f", u.Bound(peak), u.Launches, 1e3*u.Model)
		}
	}
	p.line(row, title, "count", "ms", "share", "GFLOP/s", "GB/s", "of peak", last)
	for _, u := range append(slices.Clip(all), total) {
		p.line(row, u.Name, u.Count, fmt.Sprintf("%.3f", 1e3*u.Seconds), percent(u.Seconds/total.Seconds),
			giga(u.FLOPs, u.Seconds), giga(u.Bytes, u.Seconds), percent(u.Floor/u.Seconds), model(u))
	}
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

// giga formats billions per second, or "-" for none.
func giga(n int64, seconds float64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(n)/seconds/1e9)
}

// printAlone prints the operations' times, and the shares of both peaks.
func printAlone(p *printer, all []bench.Work, peak device.Peaks) {
	const row = "%-62s  %5v  %9s  %7s  %6s  %6s  %6s"
	p.line("")
	p.line(row, "operation", "count", "ms", "GFLOP/s", "of FMA", "GB/s", "of copy")
	for _, u := range all {
		fma := "-"
		if u.FLOPs > 0 {
			fma = percent(float64(u.FLOPs) / u.Seconds / peak.FLOPS)
		}
		p.line(row, u.Name, u.Count, fmt.Sprintf("%.4f", 1e3*u.Seconds), giga(u.FLOPs, u.Seconds), fma,
			giga(u.Bytes, u.Seconds), percent(float64(u.Bytes)/u.Seconds/peak.Copy))
	}
}
