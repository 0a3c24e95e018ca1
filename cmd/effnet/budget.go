package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"effnet/internal/bench"
	"effnet/internal/config"
	"effnet/internal/report"
	"effnet/internal/scale"
)

// latencyPrecision is the precision of phi in a search by latency. With the paper's
// coefficients, one pixel of 224 is 0.03 of phi.
const latencyPrecision = 0.02

// archWithin returns cfg with the phi that its budgets choose, if it has any, and the
// network. It reports on stderr what was chosen, and what it measured.
func archWithin(ctx context.Context, cfg config.Config, classes int) (config.Config, scale.Arch, error) {
	if cfg.HasBudget() {
		var err error
		cfg, err = choosePhi(os.Stderr, cfg, classes, func(a scale.Arch) (time.Duration, error) { return latency(ctx, cfg, a) })
		if err != nil {
			return cfg, scale.Arch{}, err
		}
	}
	a, err := cfg.Arch(classes)
	if err != nil {
		err = usageError{err}
	}
	return cfg, a, err
}

// choosePhi returns cfg with the largest phi that all of its budgets allow. measure
// times the forward pass of one image.
func choosePhi(w io.Writer, cfg config.Config, classes int, measure func(scale.Arch) (time.Duration, error)) (config.Config, error) {
	count, most, err := cfg.Budgets()
	if err != nil {
		return cfg, usageError{err}
	}
	arch := func(phi float64) (scale.Arch, error) {
		a, err := cfg.WithPhi(phi).Arch(classes)
		if err != nil {
			err = usageError{err}
		}
		return a, err
	}
	var phi float64
	var cost scale.Cost
	var took time.Duration
	if most == 0 {
		phi, _, cost, err = count.LargestPhi(arch)
	} else {
		s := &latencySearch{w: w, count: count, most: most, measure: measure}
		phi, _, err = scale.LargestPhi(latencyPrecision, arch, s.fits)
		if cost, took = s.cost, s.took; errors.Is(err, scale.ErrOverBudget) {
			err = fmt.Errorf("%w: %s", err, spent(cfg, cost, took))
		}
	}
	switch {
	case errors.Is(err, scale.ErrOverBudget) || errors.Is(err, scale.ErrUnbounded):
		return cfg, usageError{err}
	case err != nil:
		return cfg, err
	}
	fmt.Fprintf(w, "phi %.4g: %s allowed\n", phi, spent(cfg, cost, took))
	return cfg.WithPhi(phi), nil
}

// latencySearch answers for scale.LargestPhi by measuring.
type latencySearch struct {
	w       io.Writer
	count   scale.Budget
	most    time.Duration
	measure func(scale.Arch) (time.Duration, error)

	// Of the last network that fitted, which is the largest; of the baseline if none did.
	cost scale.Cost
	took time.Duration // 0 if not measured
}

func (s *latencySearch) fits(a scale.Arch) (ok bool, err error) {
	cost := scale.Count(a)
	var took time.Duration
	if ok = s.count.Allows(cost); ok {
		if took, err = s.measure(a); err != nil {
			return false, err
		}
		fmt.Fprintf(s.w, "%d px, %s multiply-adds: %s per image\n", a.Resolution, report.WithUnit(cost.MACs), rounded(took))
		ok = took <= s.most
	}
	if ok || s.cost.MACs == 0 {
		s.cost, s.took = cost, took
	}
	return ok, nil
}

// spent compares a network's costs with what the budgets allow, in the words in which
// the budgets were given.
func spent(cfg config.Config, cost scale.Cost, took time.Duration) string {
	var all []string
	for _, b := range []struct{ cost, budget string }{
		{report.WithUnit(cost.MACs) + " multiply-adds", cfg.FLOPsBudget},
		{report.WithUnit(cost.Params) + " parameters", cfg.ParamsBudget},
		{rounded(took), cfg.LatencyBudget},
	} {
		if b.budget != "" && (b.budget != cfg.LatencyBudget || took > 0) {
			all = append(all, b.cost+" of "+b.budget)
		}
	}
	return strings.Join(all, ", ")
}

// rounded formats a time with three or four digits.
func rounded(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 10000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

// latency measures the forward pass of one image, with random weights.
func latency(ctx context.Context, cfg config.Config, a scale.Arch) (time.Duration, error) {
	b, err := openBackend(cfg.Device, cfg.Precision, cfg.Kernels, cfg.Threads)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	return bench.Latency(ctx, b, cfg, a)
}
