// Package bench measures how fast a network is trained or run.
package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"effnet/internal/backend"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/device"
	"effnet/internal/model"
	"effnet/internal/optim"
	"effnet/internal/scale"
	"effnet/internal/setup"
	"effnet/internal/train"
)

// What is measured.
const (
	Train = "train" // a step: forward, backward, running statistics, the optimizer's update
	Infer = "infer" // the forward pass
)

// Options says what to measure.
type Options struct {
	Mode          string // Train or Infer
	Precision     string // that the backend was opened in
	Threads       int    // likewise; 0 is one a core
	Batch         int    // images of a step
	Steps, Warmup int    // that are timed, and those before
	Profile       bool   // also each launch of a step
	Alone         bool   // also each operation alone
}

// Result is what was measured; its JSON keys are an interface.
type Result struct {
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
	Profiled *Profiled     `json:"profiled,omitempty"` // with Options.Profile
	ByOp     []Work        `json:"by_op,omitempty"`    // with Options.Profile
	ByLayer  []Work        `json:"by_layer,omitempty"` // with Options.Profile
	Alone    []Work        `json:"alone,omitempty"`    // with Options.Alone
}

// Run measures a network of random weights on a backend of a device, on random images.
func Run(ctx context.Context, d *device.Device, b backend.Backend, cfg config.Config, arch scale.Arch, opts Options) (*Result, error) {
	s, err := newBenchmark(b, cfg, arch, opts)
	if err != nil {
		return nil, err
	}
	r := &Result{
		Variant: arch.Name, Mode: opts.Mode, Batch: opts.Batch, Size: arch.Resolution,
		Threads: opts.Threads, Kernels: strings.TrimPrefix(b.Name(), device.Host().Name+"/"), Arena: mib(s.arena),
	}
	if r.Threads == 0 {
		r.Threads = runtime.GOMAXPROCS(0)
	}
	if r.StepSec, err = timeSteps(ctx, s.step, opts.Warmup, opts.Steps); err != nil {
		return nil, err
	}
	r.ImagesPerSec = float64(opts.Batch) / Median(r.StepSec)
	r.PeakRSS = mib(peakRSS()) // before what Profile and Alone allocate
	usage, err := d.Usage(b)
	if err != nil {
		return nil, err
	}
	r.DeviceMemory, r.DeviceUsed = mib(usage.Allocated), mib(usage.Taken)
	return r, s.detail(ctx, d, r, opts)
}

// detail measures what Profile and Alone ask for.
func (s *benchmark) detail(ctx context.Context, d *device.Device, r *Result, opts Options) error {
	if !opts.Profile && !opts.Alone {
		return nil
	}
	peaks, err := d.Peaks(ctx, s.backend)
	if err != nil {
		return err
	}
	r.Peaks = &peaks
	if opts.Profile {
		if r.Profiled, err = s.profiled(ctx, d, peaks); err != nil {
			return err
		}
		if r.ByOp, r.ByLayer, err = s.profile(opts.Steps, r.Profiled.Peaks, d.Card()); err != nil {
			return err
		}
	}
	if opts.Alone {
		r.Alone, err = s.alone(ctx, peaks)
	}
	return err
}

// Latency is the time of one image's forward pass, with random weights: the median of
// a few.
func Latency(ctx context.Context, b backend.Backend, cfg config.Config, arch scale.Arch) (time.Duration, error) {
	const warmup, passes = 1, 5
	s, err := newBenchmark(b, cfg, arch, Options{Mode: Infer, Batch: 1})
	if err != nil {
		return 0, err
	}
	seconds, err := timeSteps(ctx, s.step, warmup, passes)
	if err != nil {
		return 0, err
	}
	return time.Duration(Median(seconds) * float64(time.Second)), nil
}

// learningRate keeps the weights near their start, however many steps there are.
const learningRate = 1e-4

// benchmark is a network ready to be measured.
type benchmark struct {
	backend   backend.Backend
	net       *model.Network
	batch     int
	precision string
	cfg       config.Config

	training  *model.Training  // nil in inference
	update    *optim.Optimizer // nil in inference
	inference *model.Inference // nil in training
	step      func() error
	arena     int64 // bytes
}

// newBenchmark makes a network of random weights, a batch of random images and,
// in training, random targets.
func newBenchmark(b backend.Backend, cfg config.Config, arch scale.Arch, opts Options) (*benchmark, error) {
	s := &benchmark{backend: b, batch: opts.Batch, precision: opts.Precision, cfg: cfg}
	if opts.Mode == Train {
		return s, s.train(arch)
	}
	var err error
	if s.net, err = model.New(arch, b); err == nil {
		err = s.net.Initialise(uint64(cfg.Seed))
	}
	if err != nil {
		return nil, err
	}
	return s, s.infer()
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

func (s *benchmark) train(arch scale.Arch) error {
	r, err := s.rehearsal(arch)
	if err != nil {
		return err
	}
	t := r.Training()
	s.net, s.training, s.update, s.arena = r.Network(), t, r.Optimizer(), t.ArenaBytes()
	step := uint64(0)
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
	return s.backend.Upload(t.Targets, randomTargets(s.batch, arch.Classes, float32(s.cfg.Smoothing)))
}

// rehearsal is a training run by the settings with one batch an update, without evaluation
// and averages.
func (s *benchmark) rehearsal(arch scale.Arch) (*train.Rehearsal, error) {
	cfg := s.cfg
	cfg.BatchSize, cfg.GradAccum, cfg.EMA, cfg.Progressive = s.batch, 1, 0, 0
	blank := data.Blank(s.batch, arch.Classes)
	options, err := setup.Options(cfg, arch, blank)
	if err != nil {
		return nil, err
	}
	return train.Rehearse(s.backend, options, blank.Len(), 0)
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

// Median of one value or more.
func Median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
