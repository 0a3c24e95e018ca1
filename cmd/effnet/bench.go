package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"effnet/internal/backend"
	"effnet/internal/config"
	"effnet/internal/device"
	"effnet/internal/model"
	"effnet/internal/optim"
	"effnet/internal/scale"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type benchOptions struct {
	deviceOptions
	Mode             string
	BatchSize        int
	Steps, Warmup    int
	Profile, Kernels bool
}

// AddFlags registers the options.
func (o *benchOptions) AddFlags(flags *pflag.FlagSet) {
	o.deviceOptions.AddFlags(flags)
	flags.StringVar(&o.Mode, "mode", "train", "train or infer")
	flags.IntVarP(&o.BatchSize, "batch-size", "b", 16, "images a step")
	flags.IntVar(&o.Steps, "steps", 10, "steps to time")
	flags.IntVar(&o.Warmup, "warmup", 2, "steps before those")
	flags.BoolVar(&o.Profile, "profile", false, "also time each launch: tables by operation and by layer")
	flags.BoolVar(&o.Kernels, "kernels", false, "also time each operation of training and inference alone, on the CPU")
}

// Validate names the first option out of range.
func (o *benchOptions) Validate() error {
	switch {
	case o.Mode != "train" && o.Mode != "infer":
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
	case o.Kernels && !d.Host:
		return usageError{fmt.Errorf("--kernels: only with --device %s (--profile times a graphics card's)", device.Host().Name)}
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
an inference step is the forward pass. Neither reads images.

--profile and --kernels set times against two peaks measured first: multiply-adds
in registers and copies between arrays that no cache holds, on all threads; of a
graphics card, a large matrix product and a copy.

The network and its optimizer are the settings'; the batch size, the threads and
the device are flags only.`,
		Example: `  effnet bench --variant b0
  effnet bench --mode infer --variant b4 -b 1 --profile
  effnet bench --img-size 32 -b 256 --threads 1 --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd.Flags())
			if err != nil {
				return err
			}
			return runBench(cmd.Context(), cmd.OutOrStdout(), cfg, opts)
		},
	}
	addSettings(cmd.Flags(), "bench", "")
	opts.AddFlags(cmd.Flags())
	return cmd
}

// benchResult is what the command prints; its JSON keys are an interface.
type benchResult struct {
	Variant      string    `json:"variant"`
	Mode         string    `json:"mode"`
	Batch        int       `json:"batch"`
	Size         int       `json:"size"` // pixels
	Threads      int       `json:"threads"`
	Kernels      string    `json:"kernels"`                    // the set
	ImagesPerSec float64   `json:"images_per_sec"`             // of the median step
	StepSec      []float64 `json:"step_sec"`                   // in order
	PeakRSS      float64   `json:"peak_rss_mb"`                // MiB, as arena_mb
	Arena        float64   `json:"arena_mb"`                   // planned, of intermediate values
	DeviceMemory float64   `json:"device_memory_mb,omitempty"` // MiB that are allocated on a GPU
	DeviceUsed   float64   `json:"device_used_mb,omitempty"`   // MiB less that are free there than before

	Peaks    *device.Peaks `json:"peaks,omitempty"`
	Profiled *profiled     `json:"profiled,omitempty"` // --profile
	ByOp     []work        `json:"by_op,omitempty"`    // --profile
	ByLayer  []work        `json:"by_layer,omitempty"` // --profile
	Alone    []work        `json:"alone,omitempty"`    // --kernels
}

func runBench(ctx context.Context, w io.Writer, cfg config.Config, opts benchOptions) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	cfg, arch, err := archWithin(ctx, cfg, 1000)
	if err != nil {
		return err
	}
	b, err := openBackend(opts.Device, opts.Precision, opts.Threads)
	if err != nil {
		return err
	}
	defer b.Close()
	d, err := device.Lookup(opts.Device)
	if err != nil {
		return err
	}
	s, err := newBenchmark(b, cfg, arch, opts)
	if err != nil {
		return err
	}
	r := &benchResult{
		Variant: arch.Name, Mode: opts.Mode, Batch: opts.BatchSize, Size: arch.Resolution,
		Threads: workers(opts.Threads), Kernels: strings.TrimPrefix(b.Name(), "cpu/"), Arena: mib(s.arena),
	}
	if r.StepSec, err = timeSteps(ctx, s.step, opts.Warmup, opts.Steps); err != nil {
		return err
	}
	r.ImagesPerSec = float64(opts.BatchSize) / median(r.StepSec)
	r.PeakRSS = mib(peakRSS()) // before what --profile and --kernels allocate
	usage, err := d.Usage(b)
	if err != nil {
		return err
	}
	r.DeviceMemory, r.DeviceUsed = mib(usage.Allocated), mib(usage.Taken)

	if opts.Profile || opts.Kernels {
		peaks, err := d.Peaks(ctx, b, opts.Precision)
		if err != nil {
			return err
		}
		r.Peaks = &peaks
	}
	if opts.Profile {
		if r.Profiled, err = s.profiled(ctx, d, *r.Peaks); err != nil {
			return err
		}
		if r.ByOp, r.ByLayer, err = s.profile(opts.Steps, r.Profiled.Peaks); err != nil {
			return err
		}
	}
	if opts.Kernels {
		if r.Alone, err = s.alone(ctx, *r.Peaks); err != nil {
			return err
		}
	}
	if opts.JSON {
		return json.NewEncoder(w).Encode(r)
	}
	return r.print(w)
}

// learningRate keeps the weights near their start, however many steps there are.
const learningRate = 1e-4

// benchmark is a network ready to be measured.
type benchmark struct {
	backend   backend.Backend
	net       *model.Network
	batch     int
	optimizer optim.Options

	training  *model.Training  // nil in inference
	update    *optim.Optimizer // nil in inference
	inference *model.Inference // nil in training
	step      func() error
	arena     int64 // bytes
}

// newBenchmark makes a network of random weights, a batch of random images and,
// in training, random targets.
func newBenchmark(b backend.Backend, cfg config.Config, arch scale.Arch, opts benchOptions) (*benchmark, error) {
	net, err := model.New(arch, b)
	if err != nil {
		return nil, err
	}
	if err := net.Initialise(uint64(cfg.Seed)); err != nil {
		return nil, err
	}
	s := &benchmark{backend: b, net: net, batch: opts.BatchSize, optimizer: optim.Options{
		Rule: cfg.Opt, Momentum: cfg.Momentum, Decay: cfg.Decay, Eps: cfg.OptEps, WeightDecay: cfg.WeightDecay,
	}}
	if opts.Mode == "infer" {
		return s, s.infer()
	}
	return s, s.train(uint64(cfg.Seed), cfg.Smoothing)
}

func (s *benchmark) infer() error {
	var err error
	if s.inference, err = s.net.Inference(s.batch); err != nil {
		return err
	}
	s.arena = s.inference.ArenaBytes()
	s.step = func() error { return errors.Join(s.inference.Run(), s.backend.Sync()) }
	return s.backend.Upload(s.inference.Images, randomImages(s.inference.Images.Len))
}

func (s *benchmark) train(seed uint64, smoothing float64) error {
	var err error
	t, err := s.net.Training(s.batch, seed)
	if err != nil {
		return err
	}
	if s.update, err = optim.New(s.backend, s.optimizer, s.net.Weights, t.GradientView(), optim.Groups(s.net.Weights.Len, s.net.Decayed)); err != nil {
		return err
	}
	step := uint64(0)
	s.training, s.arena = t, t.ArenaBytes()
	s.step = func() error {
		step++
		if err := t.Run(step); err != nil {
			return err
		}
		_, err := s.update.Step(learningRate)
		return errors.Join(err, s.backend.Sync())
	}
	if err := s.backend.Upload(t.Images, randomImages(t.Images.Len)); err != nil {
		return err
	}
	return s.backend.Upload(t.Targets, randomTargets(s.batch, s.net.Arch.Classes, float32(smoothing)))
}

// randomImages are uniform, of mean 0 and variance 1.
func randomImages(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = (r.Float32()*2 - 1) * 1.7320508
	}
	return x
}

// randomTargets are smoothed labels, [N,classes].
func randomTargets(n, classes int, smoothing float32) []float32 {
	r := rand.New(rand.NewPCG(2, 2))
	y := make([]float32, n*classes)
	for i := range y {
		y[i] = smoothing / float32(classes)
	}
	for i := range n {
		y[i*classes+r.IntN(classes)] += 1 - smoothing
	}
	return y
}

// timeSteps returns the seconds of each step after the warm-up.
func timeSteps(ctx context.Context, step func() error, warmup, steps int) ([]float64, error) {
	var seconds []float64
	for i := range warmup + steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := step(); err != nil {
			return nil, err
		}
		if i >= warmup {
			seconds = append(seconds, time.Since(start).Seconds())
		}
	}
	return seconds, nil
}

// median of one value or more.
func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
