package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"effnet/internal/backend"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/device"
	"effnet/internal/model"
	"effnet/internal/optim"
	"effnet/internal/scale"
	"effnet/internal/train"
)

// machine says what a run runs on.
func machine(b backend.Backend) [][2]string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return [][2]string{
		{"host", host}, {"system", runtime.GOOS + "/" + runtime.GOARCH}, {"cores", strconv.Itoa(runtime.NumCPU())},
		{"device", b.Name()}, {"effnet", version}, {"Go", runtime.Version()}, {"started", time.Now().Format(time.RFC3339)},
	}
}

// plan is what a training will take.
type plan struct {
	arch         scale.Arch
	frozen       model.Frozen
	micro, batch int // batches of a step, images of a batch
	images       int // 0 if they are not known
	arena        int64
	weights      int64
	ahead        int64 // batches that are read ahead, where the device's memory has them
}

func planTraining(cfg config.Config, arch scale.Arch, images int) (plan, error) {
	p := plan{arch: arch, frozen: frozen(cfg), micro: cfg.GradAccum, batch: cfg.BatchSize, images: images}
	optimizer := optim.Options{Rule: strings.TrimSuffix(cfg.Opt, "w")}
	slots := optimizer.SlotCount()
	if cfg.EMA > 0 {
		slots++
	}
	d, err := device.Lookup(cfg.Device)
	if err != nil {
		return p, err
	}
	if !d.Host {
		return p.onDevice(d, cfg, optimizer, slots)
	}
	value := int64(1)
	if cfg.REProb > 0 { // float32 instead of pixels
		value = 4
	}
	const arrive = 2 // see train.Input
	p.ahead = value * int64(cfg.Prefetch+1+arrive) * int64(p.batch) * int64(arch.Resolution) * int64(arch.Resolution) * 3
	p.arena, p.weights, err = model.Memory(arch, p.frozen, cfg.BatchSize, slots)
	return p, err
}

// onDevice is p with the memory that it takes of a device that has its own.
func (p plan) onDevice(d *device.Device, cfg config.Config, optimizer optim.Options, slots int) (plan, error) {
	planner, err := d.Planner(cfg.Precision, cfg.Threads)
	if err != nil {
		return p, err
	}
	options := train.Options{Arch: p.arch, BatchSize: cfg.BatchSize, Optimizer: optimizer, EMA: cfg.EMA, FineTune: train.FineTune{Frozen: p.frozen}}
	options.TrainLoader.Erase.Prob = cfg.REProb
	err = train.Allocate(planner, options)
	p.weights = scale.Count(p.arch).Params * 4 * int64(2+slots)
	p.arena = planner.Bytes() - p.weights
	return p, err
}

// bytes is all of it.
func (p plan) bytes() int64 { return p.arena + p.weights + p.ahead }

// mustFit returns an error for a training that takes more memory than there is.
func mustFit(cfg config.Config, arch scale.Arch, images int, total int64) error {
	p, err := planTraining(cfg, arch, images)
	if err != nil {
		return err
	}
	if need := p.bytes(); total > 0 && need > total {
		return &backend.Error{Device: cfg.Device, Op: "memory", Err: fmt.Errorf("training %s at %d px in batches of %d takes %.1f GiB of %.1f (use a smaller -b, or -b auto)",
			arch.Name, arch.Resolution, cfg.BatchSize, float64(need)/(1<<30), float64(total)/(1<<30))}
	}
	return nil
}

// fitBatch makes the batch size that fits a setting.
func (j *job) fitBatch(arch scale.Arch, images int) error {
	cfg, err := fitBatch(j.cfg, arch, images)
	if err != nil || cfg.BatchSize == j.cfg.BatchSize {
		return err
	}
	return j.lay("memory", map[string]any{"batch-size": cfg.BatchSize})
}

// fitBatch chooses the batch size where it is 0: the most images, in steps of 8
// above 8, with which a training takes no more than memory.
func fitBatch(cfg config.Config, arch scale.Arch, images int) (config.Config, error) {
	if cfg.BatchSize > 0 {
		return cfg, nil
	}
	limit := int64(cfg.Memory * (1 << 30))
	if limit == 0 {
		memory, err := deviceMemory(cfg.Device)
		if err != nil {
			return cfg, err
		}
		limit = memory / 4 * 3
	}
	if limit == 0 {
		return cfg, usageError{errors.New("--memory: this system does not say how much it has (give the GiB that a batch may fill)")}
	}
	var failed error
	fits := func(batch int) bool {
		cfg.BatchSize = batch
		p, err := planTraining(cfg, arch, images)
		if err != nil {
			failed = err
		}
		return err == nil && p.bytes() <= limit
	}
	size := func(i int) int { // 1, 2, ..., 8, 16, 24, ...
		if i < 8 {
			return i + 1
		}
		return 8 * (i - 6)
	}
	most := sort.Search(520, func(i int) bool { return size(i) > images || !fits(size(i)) })
	switch {
	case failed != nil:
		return cfg, failed
	case most == 0:
		fits(1)
		return cfg, usageError{fmt.Errorf("--memory: one image alone takes more than %.3g GiB (%s at %d px)", float64(limit)/(1<<30), arch.Name, arch.Resolution)}
	}
	cfg.BatchSize = size(most - 1)
	return cfg, nil
}

func (p plan) write(w io.Writer, epochs int) {
	cost := scale.Count(p.arch)
	fmt.Fprintf(w, "%s at %d px, %d classes: %.2fM parameters, %.1fM multiply-adds an image\n",
		p.arch.Name, p.arch.Resolution, p.arch.Classes, float64(cost.Params)/1e6, float64(cost.MACs)/1e6)
	fmt.Fprintf(w, "memory: %.1f MiB for a batch of %d, %.1f MiB for weights, gradients, averages and the optimizer's values\n",
		float64(p.arena)/(1<<20), p.batch, float64(p.weights)/(1<<20))
	if p.images > 0 {
		fmt.Fprintf(w, "%d images: %d epochs of %d batches, %d a step\n", p.images, epochs, p.images/p.batch, p.micro)
	}
}

// dryRun prints what a training would do and measures how long its steps take,
// if there are images to train on.
func (j *job) dryRun(ctx context.Context, w io.Writer) error {
	if err := j.writeSettings(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if j.dir == "" {
		arch, err := j.arch(ctx, make([]string, 1000))
		if err == nil {
			err = j.fitBatch(arch, math.MaxInt)
		}
		if err != nil {
			return err
		}
		p, err := planTraining(j.cfg, arch, 0)
		if err != nil {
			return err
		}
		p.write(w, j.cfg.Epochs)
		return nil
	}
	options, err := j.open(ctx)
	if err != nil {
		return err
	}
	p, err := planTraining(j.cfg, options.Arch, j.trainSet.Len())
	if err != nil {
		return err
	}
	p.write(w, j.cfg.Epochs)
	b, err := openBackend(j.cfg.Device, j.cfg.Precision, j.cfg.Threads)
	if err != nil {
		return err
	}
	defer b.Close()
	return estimate(w, b, options, j.trainSet)
}

// estimate times a few batches.
func estimate(w io.Writer, b backend.Backend, options train.Options, set *data.Set) error {
	fastest, err := fastestStep(b, options)
	if err != nil {
		return err
	}
	batches := set.Len() / options.BatchSize * options.Epochs
	fmt.Fprintf(w, "about %s: %.1f images/s, without evaluation and if reading keeps up\n",
		(fastest * time.Duration(batches)).Round(time.Second), float64(options.BatchSize)/fastest.Seconds())
	return nil
}

// fastestStep is the time of a batch's training, without reading it.
func fastestStep(b backend.Backend, options train.Options) (time.Duration, error) {
	net, err := model.New(options.Arch, b)
	if err == nil {
		err = net.Initialise(options.Seed)
	}
	if err != nil {
		return 0, err
	}
	gradients, err := backend.NewView(b, net.Weights.Len)
	if err != nil {
		return 0, err
	}
	compile := net.TrainingAt
	if options.FineTune.CacheFeatures {
		compile = net.HeadTraining
	}
	training, err := compile(model.Pass{Resolution: options.Arch.Resolution, Dropout: options.Arch.Dropout, Batch: options.BatchSize,
		Seed: options.Seed, Frozen: options.FineTune.Frozen}, gradients)
	if err != nil {
		return 0, err
	}
	fastest := time.Duration(1<<63 - 1)
	for step := range uint64(4) {
		start := time.Now()
		if err := errors.Join(training.Run(step), b.Sync()); err != nil {
			return 0, err
		}
		fastest = min(fastest, time.Since(start))
	}
	return fastest, nil
}
