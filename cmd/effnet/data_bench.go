package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/setup"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type dataBenchOptions struct {
	Seconds float64
	Eval    bool
	JSON    bool
}

// AddFlags registers the options.
func (o *dataBenchOptions) AddFlags(flags *pflag.FlagSet) {
	flags.Float64Var(&o.Seconds, "seconds", 5, "seconds to time reading for, after a first pass over the images or half that time")
	flags.BoolVar(&o.Eval, "eval", false, "prepare images as evaluation does, without augmentation")
	flags.BoolVar(&o.JSON, "json", false, "print JSON")
}

func newDataBenchCommand() *cobra.Command {
	var opts dataBenchOptions
	cmd := &cobra.Command{
		Use:   "bench DIR",
		Short: "Measure how fast training images are read",
		Long: `Read the training images of DIR as train would, with the same settings, and throw the
batches away. If training computes faster than this, it waits for its images.`,
		Example: `  effnet data bench photos --img-size 224 -j 1
  effnet data bench photos.pack --config configs/imagenet-b0.yaml --json`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(cmd.Flags())
			if err != nil {
				return err
			}
			return runDataBench(cmd.Context(), cmd.OutOrStdout(), args[0], cfg, opts)
		},
	}
	addSettings(cmd.Flags(), "data bench", "")
	opts.AddFlags(cmd.Flags())
	return cmd
}

// dataBenchResult is the JSON.
type dataBenchResult struct {
	ImagesPerSec float64 `json:"images_per_sec"`
	Images       int     `json:"images"` // read while the clock ran
	Workers      int     `json:"workers"`
	Size         int     `json:"size"` // pixels
}

func runDataBench(ctx context.Context, w io.Writer, dir string, cfg config.Config, opts dataBenchOptions) error {
	if !(opts.Seconds > 0 && opts.Seconds <= 3600) {
		return usageError{fmt.Errorf("--seconds %v: want more than 0, at most 3600", opts.Seconds)}
	}
	set, _, err := setup.Images(dir, cfg)
	if err != nil {
		return err
	}
	cfg, arch, err := archWithin(ctx, cfg, len(set.Classes))
	if err != nil {
		return err
	}
	options, err := setup.Options(cfg, arch, set)
	if err != nil {
		return err
	}
	loading := options.TrainLoader
	if opts.Eval {
		loading = options.EvalLoader
	}
	loader, err := data.NewLoader(set, loading)
	if err != nil {
		return err
	}
	r, err := measureLoader(ctx, loader, time.Duration(opts.Seconds*float64(time.Second)))
	if err != nil {
		return err
	}
	r.Workers, r.Size = loading.Workers, loading.Size
	if opts.JSON {
		return json.NewEncoder(w).Encode(r)
	}
	_, err = fmt.Fprintf(w, "%.0f images/s to %d px with %d workers (%d images of %s)\n", r.ImagesPerSec, r.Size, r.Workers, r.Images, set.Dir)
	return err
}

// measureLoader reads epoch after epoch: first to fill the system's cache, then
// against the clock.
func measureLoader(ctx context.Context, l *data.Loader, long time.Duration) (r dataBenchResult, err error) {
	start, timed := time.Now(), false
	for epoch := 0; ; epoch++ {
		for batch, err := range l.Epoch(ctx, epoch, 0) {
			if err != nil {
				return r, err
			}
			spent := time.Since(start)
			switch {
			case !timed && (epoch > 0 || spent > long/2):
				start, timed = time.Now(), true
			case timed:
				r.Images += batch.Count
				if spent = time.Since(start); spent > long {
					r.ImagesPerSec = float64(r.Images) / spent.Seconds()
					return r, nil
				}
			}
		}
	}
}
