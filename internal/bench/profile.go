package bench

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"effnet/internal/backend"
	"effnet/internal/device"
	"effnet/internal/model"
)

// Work is the time of some launches and what they asked of the machine.
type Work struct {
	Name    string  `json:"name"`
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
	FLOPs   int64   `json:"flops"`    // see backend.Cost
	Bytes   int64   `json:"bytes"`    // likewise
	Floor   float64 `json:"peak_sec"` // seconds that the nearer peak of each launch allows

	// On a device of its own a Spec may be several launches, with temporaries between them.
	Launches int     `json:"launches,omitempty"`
	Moved    int64   `json:"moved_bytes,omitempty"` // that the launches read and write
	Model    float64 `json:"model_sec,omitempty"`   // see device.Card
}

// launch is one launch of a Spec, whose time is not known yet.
func launch(p device.Peaks, spec backend.Spec, types []backend.DType) Work {
	u := cost(spec, types)
	u.Floor = max(float64(u.FLOPs)/p.FLOPS, float64(u.Bytes)/p.Copy)
	return u
}

// cost is launch where no peaks are known.
func cost(spec backend.Spec, types []backend.DType) Work {
	flops, bytes := backend.Cost(spec, types)
	return Work{Count: 1, FLOPs: flops, Bytes: bytes}
}

// model adds what a card is thought to do.
func (u *Work) model(card *device.Card, precision string, launched ...backend.Launched) {
	if card == nil {
		return
	}
	for _, l := range launched {
		u.Launches++
		u.Moved += l.Reads + l.Writes
		u.Model += card.Seconds(l, precision)
	}
}

// Add adds what other launches took.
func (u *Work) Add(o Work) {
	u.Count += o.Count
	u.Seconds += o.Seconds
	u.FLOPs += o.FLOPs
	u.Bytes += o.Bytes
	u.Floor += o.Floor
	u.Launches += o.Launches
	u.Moved += o.Moved
	u.Model += o.Model
}

// Bound is the peak that the work is nearer to, on the whole.
func (u Work) Bound(p device.Peaks) string {
	if float64(u.FLOPs)/p.FLOPS > float64(u.Bytes)/p.Copy {
		return "FMA"
	}
	return "copy"
}

// Profiled is what Options.Profile times: a step, or a part of what one of several
// workers does in it.
type Profiled struct {
	Workers int          `json:"workers"`
	Large   int          `json:"images_large"` // images at once where maps are large
	Small   int          `json:"images_small"` // and where they have their smallest size
	Peaks   device.Peaks `json:"peaks"`        // of the threads that it runs on
}

func (s *benchmark) profiled(ctx context.Context, d *device.Device, all device.Peaks) (*Profiled, error) {
	if s.training != nil {
		return &Profiled{1, s.batch, s.batch, all}, nil
	}
	b, workers, large, small := s.inference.Work()
	if workers > 1 {
		one, err := d.Peaks(ctx, b)
		if err != nil {
			return nil, err
		}
		all = one
	}
	return &Profiled{workers, large, small, all}, nil
}

// profile times every launch of a step, the fastest of the runs, and sums
// them by operation and by layer, the slowest first.
func (s *benchmark) profile(runs int, p device.Peaks, card *device.Card) (byOp, byLayer []Work, err error) {
	var timings []model.Timing
	if s.training != nil {
		timings, err = s.training.Profile(runs)
	} else {
		timings, err = s.inference.Profile(runs)
	}
	if err != nil {
		return nil, nil, err
	}
	ops, layers := map[string]*Work{}, map[string]*Work{}
	for _, t := range timings {
		u := launch(p, t.Spec, t.Types)
		u.Seconds = t.Seconds
		u.model(card, s.precision, t.Launched...)
		count(ops, t.Op, u)
		count(layers, t.Layer, u)
	}
	if s.training != nil {
		var u Work
		for _, spec := range s.update.Specs() {
			u.Add(launch(p, spec, nil))
		}
		u.model(card, s.precision, s.update.Launched()...)
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

func count(sums map[string]*Work, name string, u Work) {
	if sums[name] == nil {
		sums[name] = &Work{Name: name}
	}
	sums[name].Add(u)
}

func slowestFirst(sums map[string]*Work) []Work {
	all := make([]Work, 0, len(sums))
	for _, u := range sums {
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b Work) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Name, b.Name))
	})
	return all
}
