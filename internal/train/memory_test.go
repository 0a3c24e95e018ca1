package train

import (
	"context"
	"io"
	"testing"

	"effnet/internal/augment"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cuda"
	"effnet/internal/model"
	"effnet/internal/optim"
	"effnet/internal/report"
)

// CountMemory says in advance what a run takes, whatever is trained, and how.
func TestCountedMemoryIsARuns(t *testing.T) {
	erase := augment.Erase{Prob: 0.5, Mode: augment.EraseConst, Count: 1, MinArea: 0.1, MaxArea: 0.2, MinAspect: 0.5}
	stage := func(epoch, size int) Stage {
		return Stage{Epoch: epoch, Resolution: size, Transform: augment.Eval{Crop: augment.CropTimm, CropPct: 1}}
	}
	for name, change := range map[string]func(*Options){
		"as it is":       func(*Options) {},
		"erasing":        func(o *Options) { o.TrainLoader.Erase = erase },
		"averaging":      func(o *Options) { o.EMA = 0.9 },
		"accumulating":   func(o *Options) { o.Optimizer.MicroBatches = 2 },
		"clipping":       func(o *Options) { o.Optimizer.ClipNorm = 1 },
		"half frozen":    func(o *Options) { o.FineTune.Frozen = model.Frozen{Stages: 4} },
		"norms frozen":   func(o *Options) { o.FineTune.Frozen = model.Frozen{Norms: true} },
		"head only":      func(o *Options) { o.FineTune.Frozen = model.Frozen{Body: true} },
		"thawed":         func(o *Options) { o.FineTune = FineTune{Frozen: model.Frozen{Body: true}, UnfreezeEpoch: 1} },
		"on features":    func(o *Options) { o.FineTune = FineTune{Frozen: model.Frozen{Body: true}, CacheFeatures: true} },
		"growing images": func(o *Options) { o.Stages = []Stage{stage(0, 24), stage(1, 32)} },
	} {
		for device, counter := range map[string]func() (Counter, error){
			"cpu":  func() (Counter, error) { return cpu.NewCounter(2), nil },
			"cuda": func() (Counter, error) { return cuda.NewCounter("bf16"), nil },
		} {
			t.Run(name+"/"+device, func(t *testing.T) {
				arch, reading := small(t)
				opt := Options{Arch: arch, Epochs: 2, BatchSize: 3, Optimizer: optim.Options{Rule: "rmsprop"}, Schedule: "constant",
					Out: t.TempDir(), TrainLoader: reading, EvalLoader: reading}
				change(&opt)
				planned, err := CountMemory(counter, opt, 8, 8)
				if err != nil {
					t.Fatal(err)
				}
				taken := taken(t, counter, opt)
				got, least := planned.Weights+planned.Batch, taken
				if len(opt.phases()) > 1 || opt.FineTune.CacheFeatures { // counters free nothing when a pass makes room for the next
					least = taken / 5 * 4
				}
				if got < least || got > taken || taken < 10<<20 {
					t.Errorf("%d bytes planned, a run takes %d", got, taken)
				}
				if planned.Read <= 0 {
					t.Error("no batch is read")
				}
			})
		}
	}
}

// taken is the most that a run takes of a counter, when it begins and in each phase.
func taken(t *testing.T, counter func() (Counter, error), opt Options) (most int64) {
	t.Helper()
	set := coloured(t, 8, 32)
	for _, p := range opt.phases() {
		b, err := counter()
		if err != nil {
			t.Fatal(err)
		}
		r, err := newRun(context.Background(), b, opt, set, set, report.NewLog(io.Discard, nil, 0, true))
		if err != nil {
			t.Fatal(err)
		}
		defer r.observer.close()
		if p != r.phase {
			if err := r.change(p); err != nil {
				t.Fatal(err)
			}
		}
		most = max(most, b.Bytes())
	}
	return most
}
