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
		s := &latencySearch{w: w, arch: arch, count: count, most: most, measure: measure, took: map[string]time.Duration{}}
		best, failed := s.largestPhi()
		phi, cost, took, err = best.phi, best.cost, best.took, failed
		if errors.Is(err, scale.ErrOverBudget) {
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

// latencySearch finds the largest phi whose network answers in time, by a model of time
// that is fitted to few measurements.
type latencySearch struct {
	w       io.Writer
	arch    func(phi float64) (scale.Arch, error)
	count   scale.Budget
	most    time.Duration
	measure func(scale.Arch) (time.Duration, error)

	measured []scale.Timed
	took     map[string]time.Duration // of those, by the networks' keys
	best     fitting
}

// fitting is the largest network so far that is within the budgets.
type fitting struct {
	phi  float64
	cost scale.Cost
	took time.Duration
	ok   bool // otherwise cost and took are the baseline's, which is not
}

// latencyTries is how often a network of the model's choice is measured. Each
// measurement corrects the model where it matters.
const latencyTries = 4

// largestPhi measures phi 0, 1, 2 and so on until a network is too slow or costs too
// much, fits the model, and measures what it chooses.
func (s *latencySearch) largestPhi() (fitting, error) {
	for phi := 0.; ; phi++ {
		a, err := s.arch(phi)
		if err != nil && phi > 0 {
			break // larger than any network can be
		}
		if err != nil {
			return s.best, err
		}
		within, err := s.try(phi, a, 0)
		if err != nil {
			return s.best, err
		}
		if !within {
			break
		}
	}
	if !s.best.ok {
		return s.best, fmt.Errorf("scale: %w", scale.ErrOverBudget)
	}
	correction := 1.
	for range latencyTries {
		model, err := scale.FitTime(s.measured)
		if err != nil {
			return s.best, err
		}
		predict := func(a scale.Arch) time.Duration {
			if t, known := s.took[a.Key()]; known {
				return t
			}
			return time.Duration(correction * model.Seconds(a) * float64(time.Second))
		}
		phi, a, err := scale.LargestPhi(latencyPrecision, s.arch, func(a scale.Arch) (bool, error) {
			return s.count.Allows(scale.Count(a)) && predict(a) <= s.most, nil
		})
		if err != nil {
			return s.best, err
		}
		if _, known := s.took[a.Key()]; known {
			break
		}
		predicted := predict(a)
		if _, err := s.try(phi, a, predicted); err != nil {
			return s.best, err
		}
		correction *= float64(predict(a)) / float64(predicted)
	}
	return s.best, nil
}

// try says whether a network is within the budgets, and measures it if its counts are.
func (s *latencySearch) try(phi float64, a scale.Arch, predicted time.Duration) (bool, error) {
	tried := fitting{phi: phi, cost: scale.Count(a)}
	if s.count.Allows(tried.cost) {
		var err error
		if tried.took, err = s.time(a, tried.cost, predicted); err != nil {
			return false, err
		}
		tried.ok = tried.took <= s.most
	}
	if phi == 0 || tried.ok && phi > s.best.phi {
		s.best = tried
	}
	return tried.ok, nil
}

// time measures a network, and prints its time next to what was predicted, if
// anything was.
func (s *latencySearch) time(a scale.Arch, cost scale.Cost, predicted time.Duration) (time.Duration, error) {
	t, err := s.measure(a)
	if err != nil {
		return 0, err
	}
	s.took[a.Key()] = t
	s.measured = append(s.measured, scale.Timed{Arch: a, Seconds: t.Seconds()})
	note := ""
	if predicted > 0 {
		note = fmt.Sprintf(" (%s predicted)", rounded(predicted))
	}
	fmt.Fprintf(s.w, "%d px, %s multiply-adds: %s per image%s\n", a.Resolution, report.WithUnit(cost.MACs), rounded(t), note)
	return t, nil
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
