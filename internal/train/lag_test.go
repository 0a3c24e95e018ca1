package train

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/augment"
	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/data/datatest"
	"effnet/internal/optim"
	"effnet/internal/report"
)

// late is a CPU whose readers are never ready before they are waited for, as a GPU's
// are while it computes.
type late struct{ *cpu.Backend }

type lateReader struct {
	backend.Reader
	taken *bool
}

func (l late) NewReader(n int) (backend.Reader, error) {
	r, err := l.Backend.NewReader(n)
	return lateReader{r, new(bool)}, err
}
func (r lateReader) Begin(src backend.View) error { *r.taken = false; return r.Reader.Begin(src) }
func (r lateReader) Ready() bool                  { return *r.taken }
func (r lateReader) Take(dst []float32) error     { *r.taken = true; return r.Reader.Take(dst) }

// trainedFiles are the files that a training run leaves, and its error.
func trainedFiles(t *testing.T, b backend.Backend, set *data.Set, change func(*Options)) (map[string][]byte, error) {
	t.Helper()
	arch, reading := small(t)
	reading.BatchSize, reading.Shuffle, reading.DropLast = 4, true, true
	opt := Options{Arch: arch, Epochs: 2, BatchSize: 4, Optimizer: optim.Options{Rule: "rmsprop", Momentum: 0.9, Decay: 0.9, Eps: 1e-3}, EMA: 0.9, Schedule: "constant", PeakLR: 0.01,
		LogInterval: 2, Every: Every{Steps: 3}, Out: t.TempDir(), TrainLoader: reading, EvalLoader: reading}
	opt.EvalLoader.Shuffle = false
	opt.Preprocess = checkpoint.Preprocess{Resolution: 32, Crop: string(augment.CropTimm), CropPct: 1, Interpolation: string(augment.Bilinear), Mean: reading.Mean, Std: reading.Std}
	change(&opt)
	_, err := Run(context.Background(), b, opt, set, set, report.NewLog(io.Discard, nil, 0, true))
	files := map[string][]byte{}
	for _, name := range []string{"last.safetensors", "last-ema.safetensors", "diverged.safetensors"} {
		if text, err := os.ReadFile(filepath.Join(opt.Out, name)); err == nil {
			files[name] = text
		}
	}
	return files, err
}

// A training whose losses are read a step late ends in the same bits, and one that
// diverges says the same of it.
func TestLateLosses(t *testing.T) {
	b, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	set := datatest.Coloured(t, 21, 32)
	for name, change := range map[string]func(*Options){
		"trained":       func(*Options) {},
		"micro-batches": func(o *Options) { o.Optimizer.MicroBatches = 2 },
		"diverged":      func(o *Options) { o.PeakLR = 1e20 },
		"head diverged": func(o *Options) { o.FineTune.HeadLR, o.LogInterval = 1e41, 0 },
		"clipped":       func(o *Options) { o.PeakLR, o.Optimizer.ClipNorm, o.LogInterval = 1e20, 1, 0 },
	} {
		now, errNow := trainedFiles(t, b, set, change)
		then, errThen := trainedFiles(t, late{b}, set, change)
		if (errNow == nil) != (name == "trained" || name == "micro-batches") {
			t.Fatalf("%s: %v", name, errNow)
		}
		var dNow, dThen *Diverged
		if errors.As(errNow, &dNow) != errors.As(errThen, &dThen) || (dNow == nil) != (name == "trained" || name == "micro-batches") {
			t.Fatalf("%s: %v, and later %v", name, errNow, errThen)
		}
		if dNow != nil && (dNow.Epoch != dThen.Epoch || dNow.Step != dThen.Step || dNow.Step < 2 || dNow.Layer != dThen.Layer) {
			t.Errorf("%s: %v, and later %v", name, errNow, errThen)
		}
		if dNow != nil && (dNow.Layer == "" || strings.HasPrefix(dNow.Layer, "Conv2D of conv_stem")) {
			t.Errorf("%s: the loss that was not finite has reached the weights: %v", name, errNow)
		}
		if len(now) == 0 || len(now) != len(then) {
			t.Errorf("%s: %d files, and later %d", name, len(now), len(then))
		}
		for file, text := range now {
			if !bytes.Equal(text, then[file]) {
				t.Errorf("%s: %s has other content later", name, file)
			}
		}
	}
}
