package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"effnet/internal/backend"
	"effnet/internal/device"
	"effnet/internal/model"
)

// work is the time of some launches and what they asked of the machine.
type work struct {
	Name    string  `json:"name"`
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
	FLOPs   int64   `json:"flops"`    // see backend.Cost
	Bytes   int64   `json:"bytes"`    // likewise
	Floor   float64 `json:"peak_sec"` // seconds that the nearer peak of each launch allows
}

// launch is one launch of a Spec, whose time is not known yet.
func launch(p device.Peaks, spec backend.Spec, types []backend.DType) work {
	flops, bytes := backend.Cost(spec, types)
	return work{Count: 1, FLOPs: flops, Bytes: bytes, Floor: max(float64(flops)/p.FLOPS, float64(bytes)/p.Copy)}
}

func (u *work) add(o work) {
	u.Count += o.Count
	u.Seconds += o.Seconds
	u.FLOPs += o.FLOPs
	u.Bytes += o.Bytes
	u.Floor += o.Floor
}

// bound is the peak that the work is nearer to, on the whole.
func (u work) bound(p device.Peaks) string {
	if float64(u.FLOPs)/p.FLOPS > float64(u.Bytes)/p.Copy {
		return "FMA"
	}
	return "copy"
}

// profiled is what --profile times: a step, or a part of what one of several
// workers does in it.
type profiled struct {
	Workers int          `json:"workers"`
	Large   int          `json:"images_large"` // images at once where maps are large
	Small   int          `json:"images_small"` // and where they have their smallest size
	Peaks   device.Peaks `json:"peaks"`        // of the threads that it runs on
}

func (s *benchmark) profiled(ctx context.Context, d *device.Device, all device.Peaks) (*profiled, error) {
	if s.training != nil {
		return &profiled{1, s.batch, s.batch, all}, nil
	}
	b, workers, large, small := s.inference.Work()
	if workers > 1 {
		one, err := d.Peaks(ctx, b, d.Precisions[0])
		if err != nil {
			return nil, err
		}
		all = one
	}
	return &profiled{workers, large, small, all}, nil
}

// profile times every launch of a step, the fastest of so many runs, and sums
// them by operation and by layer, the slowest first.
func (s *benchmark) profile(runs int, p device.Peaks) (byOp, byLayer []work, err error) {
	var timings []model.Timing
	if s.training != nil {
		timings, err = s.training.Profile(runs)
	} else {
		timings, err = s.inference.Profile(runs)
	}
	if err != nil {
		return nil, nil, err
	}
	ops, layers := map[string]*work{}, map[string]*work{}
	for _, t := range timings {
		u := launch(p, t.Spec, t.Types)
		u.Seconds = t.Seconds
		count(ops, t.Op, u)
		count(layers, t.Layer, u)
	}
	if s.training != nil {
		var u work
		for _, spec := range s.update.Specs() {
			u.add(launch(p, spec, nil))
		}
		if u.Seconds, err = s.timeUpdate(runs); err != nil {
			return nil, nil, err
		}
		count(ops, kind(s.update.Specs()[0]), u)
		count(layers, "optimizer", u)
	}
	return slowestFirst(ops), slowestFirst(layers), nil
}

// timeUpdate is the seconds of the optimizer's fastest step.
func (s *benchmark) timeUpdate(runs int) (float64, error) {
	best := math.Inf(1)
	for range runs {
		var failed error
		seconds, err := backend.Time(s.backend, func() { _, failed = s.update.Step(learningRate) })
		if err := errors.Join(failed, err); err != nil {
			return 0, err
		}
		best = min(best, seconds[0])
	}
	return best, nil
}

func count(sums map[string]*work, name string, u work) {
	if sums[name] == nil {
		sums[name] = &work{Name: name}
	}
	sums[name].add(u)
}

func slowestFirst(sums map[string]*work) []work {
	all := make([]work, 0, len(sums))
	for _, u := range sums {
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b work) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// topLayers is how many layers a profile prints; the rest is summed.
const topLayers = 20

func (r *benchResult) print(w io.Writer) error {
	p := &printer{w: w}
	images := func(seconds float64) float64 { return float64(r.Batch) / seconds }
	p.line("%s at %d px, %s, batch %d, threads %d, %s", r.Variant, r.Size, r.Mode, r.Batch, r.Threads, r.Kernels)
	p.line("%.1f images/s (%.1f to %.1f in %d steps), %.1f ms a step, peak RSS %.0f MiB, planned arena %.0f MiB",
		r.ImagesPerSec, images(slices.Max(r.StepSec)), images(slices.Min(r.StepSec)), len(r.StepSec), 1e3*median(r.StepSec), r.PeakRSS, r.Arena)
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
		layers := r.ByLayer
		if len(layers) > topLayers {
			rest := work{Name: fmt.Sprintf("%d others", len(layers)-topLayers)}
			for _, u := range layers[topLayers:] {
				rest.add(u)
			}
			layers = append(slices.Clone(layers[:topLayers]), rest)
		}
		printProfile(p, "layer", layers, peak)
	}
	if r.Alone != nil {
		printAlone(p, r.Alone, *r.Peaks)
	}
	return p.err
}

// printProfile prints a table and its sum. "of peak" is the share of the nearer
// peak that was reached; what works in a cache passes the copies'.
func printProfile(p *printer, title string, all []work, peak device.Peaks) {
	const row = "%-34s  %5v  %9s  %6s  %7s  %6s  %7s  %s"
	total := work{Name: "total"}
	for _, u := range all {
		total.add(u)
	}
	p.line("")
	p.line(row, title, "count", "ms", "share", "GFLOP/s", "GB/s", "of peak", "bound")
	for _, u := range append(slices.Clip(all), total) {
		p.line(row, u.Name, u.Count, fmt.Sprintf("%.3f", 1e3*u.Seconds), percent(u.Seconds/total.Seconds),
			giga(u.FLOPs, u.Seconds), giga(u.Bytes, u.Seconds), percent(u.Floor/u.Seconds), u.bound(peak))
	}
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

// giga is billions a second, "-" for none.
func giga(n int64, seconds float64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(n)/seconds/1e9)
}
