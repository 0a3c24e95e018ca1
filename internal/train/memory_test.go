package train

import (
	"context"
	"io"
	"testing"

	"effnet/internal/augment"
	"effnet/internal/backend/cuda"
	"effnet/internal/optim"
	"effnet/internal/report"
)

// Allocate makes what a run makes, of pixels and of erased images.
func TestAllocateIsARuns(t *testing.T) {
	for _, erasing := range []float64{0, 0.5} {
		allocated(t, augment.Erase{Prob: erasing, Mode: augment.EraseConst, Count: 1, MinArea: 0.1, MaxArea: 0.2, MinAspect: 0.5})
	}
}

func allocated(t *testing.T, erase augment.Erase) {
	t.Helper()
	arch, reading := small(t)
	opt := Options{Arch: arch, Epochs: 1, BatchSize: 3, Optimizer: optim.Options{Rule: "rmsprop"}, EMA: 0.9, Schedule: "constant", Out: t.TempDir(), TrainLoader: reading, EvalLoader: reading}
	opt.TrainLoader.Erase = erase
	planned, taken := cuda.NewPlanner("bf16"), cuda.NewPlanner("bf16")
	if err := Allocate(planned, opt); err != nil {
		t.Fatal(err)
	}
	set := coloured(t, 8, 32)
	r, err := newRun(context.Background(), taken, opt, set, set, report.NewLog(io.Discard, nil, 0, true))
	if err != nil {
		t.Fatal(err)
	}
	defer r.observer.close()
	if planned.Bytes() != taken.Bytes() || taken.Bytes() < 100<<20 {
		t.Errorf("%d bytes planned, a run takes %d", planned.Bytes(), taken.Bytes())
	}
}
