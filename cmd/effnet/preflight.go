package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"effnet/internal/data"
	"effnet/internal/device"
	"effnet/internal/scale"
	"effnet/internal/setup"
	"effnet/internal/train"
	"effnet/internal/words"
)

// machine describes what a run computes on.
func machine(b device.Backend) [][2]string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return [][2]string{
		{"host", host}, {"system", runtime.GOOS + "/" + runtime.GOARCH}, {"cores", strconv.Itoa(runtime.NumCPU())},
		{"device", b.Name()}, {"effnet", versionName()}, {"Go", runtime.Version()}, {"started", time.Now().Format(time.RFC3339)},
	}
}

// dryRun prints what training would do and measures how long its steps take,
// if there are images to train on.
func (j *job) dryRun(ctx context.Context, w io.Writer) error {
	if err := j.writeSettings(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if j.dir == "" {
		arch, err := j.arch(ctx, make([]string, 1000))
		if err == nil {
			err = j.fitBatch(arch, 0, 0)
		}
		if err != nil {
			return err
		}
		return j.writePlan(w, arch, 0, 0)
	}
	options, err := j.open(ctx)
	if err != nil {
		return err
	}
	if err := j.writePlan(w, options.Arch, j.trainSet.Len(), count(j.evalSet)); err != nil {
		return err
	}
	b, err := openBackend(j.cfg.Device, j.cfg.Precision, j.cfg.Kernels, j.cfg.Threads)
	if err != nil {
		return err
	}
	defer b.Close()
	return estimate(w, b, options, j.trainSet)
}

// writePlan prints what is trained and what that needs. images is 0 if unknown.
func (j *job) writePlan(w io.Writer, arch scale.Arch, images, evaluated int) error {
	m, err := setup.Memory(j.cfg, arch, images, evaluated)
	if err != nil {
		return err
	}
	cost := scale.Count(arch)
	fmt.Fprintf(w, "%s at %d px, %d classes: %.2fM parameters, %.1fM multiply-adds per image\n",
		arch.Name, arch.Resolution, arch.Classes, float64(cost.Params)/1e6, float64(cost.MACs)/1e6)
	fmt.Fprintf(w, "memory: %.1f MiB for a batch of %d, %.1f MiB for weights, gradients, averages and the optimizer's values, %.1f MiB for images read ahead\n",
		mib(m.Batch), j.cfg.BatchSize, mib(m.Weights), mib(m.Read))
	if images > 0 {
		fmt.Fprintf(w, "%s: %s of %s, %d per update\n", words.Count(images, "image"), words.Count(j.cfg.Epochs, "epoch"), words.Count(images/j.cfg.BatchSize, "batch", "batches"), j.cfg.GradAccum)
	}
	return nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// estimate times a few batches of each stage.
func estimate(w io.Writer, b device.Backend, options train.Options, set *data.Set) error {
	total, err := train.Estimate(b, options, set.Len())
	if err != nil {
		return err
	}
	images := set.Len() / options.BatchSize * options.BatchSize * options.Epochs
	fmt.Fprintf(w, "about %s: %.1f images/s, not counting evaluation, if reading keeps up\n",
		total.Round(time.Second), float64(images)/total.Seconds())
	return nil
}
