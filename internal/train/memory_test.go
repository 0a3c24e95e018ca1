package train

import (
	"context"
	"io"
	"runtime"
	"testing"

	"effnet/internal/augment"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cuda"
	"effnet/internal/data/datatest"
	"effnet/internal/model"
	"effnet/internal/optim"
	"effnet/internal/report"
	"effnet/internal/scale"
)

// CountMemory says in advance what a run takes, to the byte, whatever is trained, and how.
func TestCountedMemoryIsARuns(t *testing.T) {
	erase := augment.Erase{Prob: 0.5, Mode: augment.EraseConst, Count: 1, MinArea: 0.1, MaxArea: 0.2, MinAspect: 0.5}
	stage := func(epoch, size int) Stage {
		return Stage{Epoch: epoch, Resolution: size, Transform: augment.Eval{Crop: augment.CropTimm, CropPct: 1}}
	}
	asItIs := func(*Options) {}
	headOnly := func(o *Options) { o.FineTune.Frozen = model.Frozen{Body: true} }
	for _, c := range []struct {
		name   string
		change func(*Options)
		// Options whose runs have one pass each, those of this run one after the other:
		// what counts memory frees none of the first for the second.
		parts []func(*Options)
	}{
		{"as it is", asItIs, nil},
		{"erasing", func(o *Options) { o.TrainLoader.Erase = erase }, nil},
		{"averaging", func(o *Options) { o.EMA = 0.9 }, nil},
		{"accumulating", func(o *Options) { o.Optimizer.MicroBatches = 2 }, nil},
		{"clipping", func(o *Options) { o.Optimizer.ClipNorm = 1 }, nil},
		{"half frozen", func(o *Options) { o.FineTune.Frozen = model.Frozen{Stages: 4} }, nil},
		{"norms frozen", func(o *Options) { o.FineTune.Frozen = model.Frozen{Norms: true} }, nil},
		{"head only", headOnly, nil},
		{"thawed", func(o *Options) { headOnly(o); o.FineTune.UnfreezeEpoch = 1 }, []func(*Options){headOnly, asItIs}},
		{"growing images", func(o *Options) { o.Stages = []Stage{stage(0, 24), stage(1, 32)} },
			[]func(*Options){func(o *Options) { o.Stages = []Stage{stage(0, 24)} }, asItIs}},
	} {
		if c.parts == nil {
			c.parts = []func(*Options){c.change}
		}
		counters(t, c.name, func(t *testing.T, counter func() (Counter, error)) {
			opt := smallRun(t)
			c.change(&opt)
			counted, err := CountMemory(counter, opt, 8, 8)
			if err != nil {
				t.Fatal(err)
			}
			var most int64
			for _, change := range c.parts {
				part := smallRun(t)
				change(&part)
				most = max(most, taken(t, counter, part))
			}
			if got := counted.Weights + counted.Batch; got != most || most < 10<<20 {
				t.Errorf("%d bytes counted, a run takes %d", got, most)
			}
			if counted.Read <= 0 {
				t.Error("no batch is read")
			}
		})
	}
}

// With cached features it is what computing them takes, or training on them, if that is
// more.
func TestCountedMemoryOfFeatures(t *testing.T) {
	counters(t, "features", func(t *testing.T, counter func() (Counter, error)) {
		opt := smallRun(t)
		opt.FineTune = FineTune{Frozen: model.Frozen{Body: true}, CacheFeatures: true}
		counted, err := CountMemory(counter, opt, 8, 8)
		if err != nil {
			t.Fatal(err)
		}
		b, err := counter()
		if err != nil {
			t.Fatal(err)
		}
		features, err := countFeatures(b, opt, 8)
		if err != nil {
			t.Fatal(err)
		}
		head, err := counter()
		if err != nil {
			t.Fatal(err)
		}
		r := &run{Options: opt, backend: head, rehearsal: counting}
		if err := r.rehearse(8, 8, r.opening()); err != nil {
			t.Fatal(err)
		}
		least := max(features.Weights+features.Batch, head.Bytes())
		if got := counted.Weights + counted.Batch; got != least {
			t.Errorf("%d bytes counted, want %d", got, least)
		}
		// Counters free nothing: a run has a sweep of each set, and all else, but for what
		// passes share.
		if got, all := taken(t, counter, opt), head.Bytes()+2*features.Batch; got < least || got > all {
			t.Errorf("a run takes %d bytes, want %d to %d", got, least, all)
		}
	})
}

// counters runs a test on each device's.
func counters(t *testing.T, name string, test func(t *testing.T, counter func() (Counter, error))) {
	for device, counter := range map[string]func() (Counter, error){
		"cpu":  func() (Counter, error) { return cpu.NewCounter(2, 0), nil },
		"cuda": func() (Counter, error) { return cuda.NewCounter("bf16"), nil },
	} {
		t.Run(name+"/"+device, func(t *testing.T) { test(t, counter) })
	}
}

// Counting a run takes no memory of the network's size: -b auto, summary and --dry-run
// count those that a machine has no room for.
func TestCountingTakesNoMemory(t *testing.T) {
	arch, err := scale.Variant("l2") // 480 million parameters
	if err != nil {
		t.Fatal(err)
	}
	opt := smallRun(t)
	opt.Arch, opt.EMA = arch, 0.9
	opt.TrainLoader.Size, opt.EvalLoader.Size = arch.Resolution, arch.Resolution
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := CountMemory(func() (Counter, error) { return cpu.NewCounter(2, 0), nil }, opt, 8, 8)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; err != nil || took > 256<<20 || m.Weights < 5*4*480e6 {
		t.Errorf("%d MiB were allocated to count %d of weights (%v)", took>>20, m.Weights>>20, err)
	}
}

// smallRun is a run of two epochs.
func smallRun(t *testing.T) Options {
	t.Helper()
	arch, reading := small(t)
	return Options{Arch: arch, Epochs: 2, BatchSize: 3, Optimizer: optim.Options{Rule: "rmsprop"}, Schedule: "constant",
		Out: t.TempDir(), TrainLoader: reading, EvalLoader: reading}
}

// taken is what a run takes of a counter when it begins.
func taken(t *testing.T, counter func() (Counter, error), opt Options) int64 {
	t.Helper()
	set := datatest.Coloured(t, 8, 32)
	b, err := counter()
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRun(context.Background(), b, opt, set, set, report.NewLog(io.Discard, nil, 0, true))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.observer.close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
