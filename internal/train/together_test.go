package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"effnet/internal/augment"
	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/data/datatest"
	"effnet/internal/model"
	"effnet/internal/optim"
	"effnet/internal/ranks"
	"effnet/internal/report"
)

// A job is a training over ranks in this process.
type job struct {
	size     int // 0: a run without ranks
	sets     func(rank int) (trainSet, evalSet *data.Set)
	options  func(rank int, o *Options)
	backend  func(rank int, b backend.Backend) backend.Backend
	ctx      func(rank int) context.Context
	out      string
	timeout  time.Duration
	reported chan string    // by watchdogs
	ended    func(rank int) // may be nil
}

// run runs the job, and returns what each rank ended with.
func (j *job) run(t *testing.T, set *data.Set) ([]*Result, []error) {
	t.Helper()
	size := max(j.size, 1)
	results, errs := make([]*Result, size), make([]error, size)
	var wg sync.WaitGroup
	j.reported = make(chan string, size)
	report := func(text string) { j.reported <- text }
	for rank, transport := range ranks.Local(size) {
		var g *ranks.Group
		if j.size > 0 {
			g = ranks.New(transport, ranks.Options{Timeout: j.timeout, Report: report})
		}
		wg.Go(func() {
			results[rank], errs[rank] = j.rank(t, set, rank, g)
			if j.ended != nil {
				j.ended(rank)
			}
			if errs[rank] != nil && !errors.As(errs[rank], new(*ranks.Stopped)) {
				transport.Abort(1)
			}
		})
	}
	wg.Wait()
	return results, errs
}

// rank runs a rank with a backend of its own.
func (j *job) rank(t *testing.T, set *data.Set, rank int, g *ranks.Group) (*Result, error) {
	cpus, err := cpu.New(1)
	if err != nil {
		return nil, err
	}
	defer cpus.Close()
	arch, reading := small(t)
	arch.Stages, arch.Head = arch.Stages[:3], 64
	arch.Dropout, arch.StochasticDepth = 0.2, 0.2
	reading.BatchSize, reading.Shuffle, reading.DropLast, reading.Seed = 2, true, true, 5
	reading.Transform = augment.Train{Scale: [2]float64{0.5, 1}, Ratio: [2]float64{3. / 4, 4. / 3}, HFlip: 0.5}
	reading.Mix = augment.Mix{Mixup: 0.4, CutMix: 1, Prob: 0.7, SwitchProb: 0.5}
	opt := Options{Arch: arch, Epochs: 2, BatchSize: 2, Seed: 3, Optimizer: optim.Options{Rule: "rmsprop", Momentum: 0.9, Decay: 0.9, Eps: 1e-3, ClipNorm: 1, WeightDecay: 1e-4, MicroBatches: 8},
		EMA: 0.9, Schedule: "cosine", PeakLR: 0.02, WarmupEpochs: 0.5, Smoothing: 0.1, LogInterval: 1, Out: j.out, TrainLoader: reading, EvalLoader: reading, Ranks: g}
	opt.EvalLoader.Shuffle, opt.EvalLoader.DropLast, opt.EvalLoader.Mix = false, false, augment.Mix{}
	opt.EvalLoader.Transform = augment.Eval{Crop: augment.CropTimm, CropPct: 1}
	opt.Preprocess = checkpoint.Preprocess{Resolution: 32, Crop: string(augment.CropTimm), CropPct: 1, Interpolation: string(augment.Bilinear), Mean: reading.Mean, Std: reading.Std}
	if rank > 0 {
		opt.Out = filepath.Join(j.out, "not-there") // which no rank but 0 needs
	}
	if j.options != nil {
		j.options(rank, &opt)
	}
	trainSet, evalSet := set, set
	if j.sets != nil {
		trainSet, evalSet = j.sets(rank)
	}
	ctx := t.Context()
	if j.ctx != nil {
		ctx = j.ctx(rank)
	}
	var b backend.Backend = cpus
	if j.backend != nil {
		b = j.backend(rank, b)
	}
	return Run(ctx, b, opt, trainSet, evalSet, report.NewLog(io.Discard, nil, 0, true))
}

// must runs a job that goes well, and returns the result of rank 0 and the hashes of what
// it wrote.
func (j *job) must(t *testing.T, set *data.Set) (*Result, map[string]string) {
	t.Helper()
	if j.out == "" {
		j.out = t.TempDir()
	}
	results, errs := j.run(t, set)
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("%d ranks: %v", j.size, err)
	}
	for rank, r := range results {
		if a, b := numbers(r), numbers(results[0]); a != b {
			t.Errorf("rank %d of %d: %s, and on rank 0 %s", rank, j.size, a, b)
		}
	}
	return results[0], hashes(t, j.out)
}

// numbers are those of a result that do not depend on time.
func numbers(r *Result) string {
	var text strings.Builder
	for _, e := range r.Epochs {
		fmt.Fprintln(&text, e.Epoch, e.Step, e.LR, e.TrainLoss, e.TrainTop1, e.ValLoss, e.ValTop1, e.ValTop5, e.EMALoss, e.EMATop1)
	}
	fmt.Fprintln(&text, r.Best.Top1, r.Best.Top5, r.Best.Loss, r.Best.Images, r.Best.Skipped)
	return text.String()
}

// hashes are those of a run's networks, SHA-256.
func hashes(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range []string{"last.safetensors", "last-ema.safetensors", "best.safetensors"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		sum := sha256.Sum256(text)
		all[name] = hex.EncodeToString(sum[:])
	}
	return all
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(want) == 0 || len(got) != len(want) {
		t.Errorf("%s: %d files, want %d", what, len(got), len(want))
	}
	for name, hash := range want {
		if got[name] != hash {
			t.Errorf("%s: %s is %.12s, want %.12s", what, name, got[name], hash)
		}
	}
}

// However many ranks share a run, it ends in the same bits, with the same numbers: of
// dropout, stochastic depth, mixing, averages, clipping; with images that grow, layers that
// thaw, repeated images; with an update of fewer batches at the end of an epoch, of which
// some ranks have none; and with images that cannot be used.
func TestRanksEndInTheSameBits(t *testing.T) {
	set := datatest.Coloured(t, 38, 32) // 19 batches: two updates of 8 and one of 3
	damaged := datatest.Coloured(t, 38, 32)
	for _, i := range []int{1, 4, 16, 17, 30, 36} {
		if err := os.WriteFile(damaged.Path(i), []byte("no image"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	stage := func(epoch, size int) Stage {
		return Stage{Epoch: epoch, Resolution: size, Dropout: 0.1, Transform: augment.Eval{Crop: augment.CropTimm, CropPct: 1}}
	}
	for name, c := range map[string]struct {
		set    *data.Set
		change func(o *Options)
		sizes  []int
	}{
		"as it is":       {set, func(*Options) {}, []int{1, 2, 4, 8}},
		"growing images": {set, func(o *Options) { o.Stages = []Stage{stage(0, 24), stage(1, 32)} }, []int{4}},
		"thawing": {set, func(o *Options) {
			o.FineTune = FineTune{Frozen: model.Frozen{Stages: 2}, UnfreezeEpoch: 1}
		}, []int{2}},
		"features": {set, func(o *Options) {
			o.FineTune = FineTune{Frozen: model.Frozen{Body: true}, CacheFeatures: true}
			o.TrainLoader.Mix = augment.Mix{}
		}, []int{1, 4}},
		"norms frozen": {set, func(o *Options) { o.FineTune.Frozen.Norms = true }, []int{2}},
		"repeats":      {set, func(o *Options) { o.TrainLoader.Repeats, o.TrainLoader.Sampler = 3, data.Balanced }, []int{4}},
		"six batches":  {set, func(o *Options) { o.Optimizer.MicroBatches = 6 }, []int{3, 6}},
		"unusable images": {damaged, func(o *Options) {
			o.TrainLoader.OnCorrupt, o.EvalLoader.OnCorrupt, o.TrainLoader.Repeats = data.Skip, data.Skip, 2
		}, []int{2, 4, 8}},
		"more ranks than images to evaluate": {set, func(o *Options) { o.Epochs = 1 }, []int{8}},
	} {
		t.Run(name, func(t *testing.T) {
			job := job{options: func(_ int, o *Options) { c.change(o) }}
			if strings.HasPrefix(name, "more ranks") {
				few := set.Select([]int{1, 5, 9})
				job.sets = func(int) (*data.Set, *data.Set) { return set, few }
			}
			alone := job
			result, want := alone.must(t, c.set)
			for _, size := range c.sizes {
				shared := job
				shared.size = size
				got, files := shared.must(t, c.set)
				same(t, fmt.Sprint(size, " ranks"), files, want)
				if a, b := numbers(got), numbers(result); a != b {
					t.Errorf("%d ranks:\n%s, want\n%s", size, a, b)
				}
			}
		})
	}
}

// stopping is a context that ends after a backend has done a number of training steps.
type stopping struct {
	backend.Backend
	left int
	stop func()
}

func (s *stopping) Send(dst backend.View, src []byte) error {
	if s.left--; s.left == 0 {
		s.stop()
	}
	return s.Backend.Send(dst, src)
}

// A run that is stopped on one of four ranks stops on all, after the same update, and goes
// on over two, one or eight to the bits of one that was never stopped. Three are refused,
// with the numbers that are not.
func TestRanksStopAndResume(t *testing.T) {
	set := datatest.Coloured(t, 38, 32)
	want := func() map[string]string {
		_, files := (&job{}).must(t, set)
		return files
	}()
	for sends, batches := range map[int]int{1: 8, 9: 16, 30: 19} { // in the first update, the second, and in an evaluation
		for _, size := range []int{0, 2, 8} {
			ctx, cancel := context.WithCancel(t.Context())
			four := job{size: 4, out: t.TempDir(),
				ctx: func(rank int) context.Context {
					if rank == 2 {
						return ctx
					}
					return t.Context()
				},
				backend: func(rank int, b backend.Backend) backend.Backend {
					if rank == 2 {
						return &stopping{b, sends, cancel}
					}
					return b
				}}
			_, errs := four.run(t, set)
			for rank, err := range errs {
				if stopped := (*ranks.Stopped)(nil); !errors.As(err, &stopped) || stopped.Rank != 2 || !errors.Is(err, context.Canceled) {
					t.Fatalf("rank %d: %v", rank, err)
				}
			}
			if newest, err := stateFiles(four.out); err != nil || len(newest) != 1 || filepath.Base(newest[0]) != fmt.Sprintf("state-%010d.safetensors", batches) {
				t.Errorf("stopped after %d sends: %v, %v", sends, newest, err)
			}
			if sends == 1 {
				three := job{size: 3, out: four.out, options: func(_ int, o *Options) { o.Resume = true }}
				if _, errs := three.run(t, set); !strings.Contains(fmt.Sprint(errs[0]), "3 ranks cannot share an update of 8 batches") || !strings.Contains(fmt.Sprint(errs[0]), "start 1, 2, 4 or 8") {
					t.Errorf("3 ranks: %v", errs)
				}
			}
			again := job{size: size, out: four.out, options: func(_ int, o *Options) { o.Resume = true }}
			_, files := again.must(t, set)
			same(t, fmt.Sprintf("stopped after %d sends, then %d ranks", sends, size), files, want)
		}
	}
}

// A rank with other images or settings is refused by all, with what differs.
func TestRanksThatDiffer(t *testing.T) {
	set := datatest.Coloured(t, 20, 32)
	changed := datatest.Coloured(t, 20, 32)
	text, err := os.ReadFile(changed.Path(3))
	if err == nil {
		err = os.WriteFile(changed.Path(5), text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		job  job
		want string
	}{
		"fewer images": {job{sets: func(rank int) (*data.Set, *data.Set) {
			if rank == 1 {
				return set.Select([]int{0, 1, 2, 3, 4, 5, 6, 7}), set
			}
			return set, set
		}}, "rank 1 differs from rank 0: data.images is 8 there and 20 on rank 0"},
		"other images": {job{sets: func(rank int) (*data.Set, *data.Set) {
			if rank == 1 {
				return set, changed
			}
			return set, set
		}}, "rank 1 differs from rank 0: the digest of the evaluation images is "},
		"another setting": {job{options: func(rank int, o *Options) { o.Identity = []Fact{{Key: "lr", Value: fmt.Sprint(0.1 * float64(1+rank))}} }},
			"rank 1 differs from rank 0: lr is 0.2 there and 0.1 on rank 0"},
		"another beginning": {job{options: func(rank int, o *Options) { o.Seed = uint64(rank) }},
			"the weights of rank 1 differ from those of rank 0"},
	} {
		c.job.size, c.job.out = 2, t.TempDir()
		_, errs := c.job.run(t, set)
		for rank, err := range errs {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: rank %d: %v", name, rank, err)
			}
		}
	}
}

// poisoned spoils the targets of a rank's batches, from one on.
type poisoned struct {
	backend.Backend
	after int // sends
}

func (p *poisoned) Send(dst backend.View, src []byte) error {
	if p.after--; p.after < 0 && len(src) == 4*2*2 { // the targets of a batch
		src = bytes.Repeat([]byte{0xff}, len(src))
	}
	return p.Backend.Send(dst, src)
}

// A loss that is not a number on one rank ends all, at the same step, and rank 0 keeps
// the batch.
func TestRankWhoseLossIsNotANumber(t *testing.T) {
	set := datatest.Coloured(t, 38, 32)
	j := job{size: 4, out: t.TempDir(), backend: func(rank int, b backend.Backend) backend.Backend {
		if rank == 2 {
			return &poisoned{b, 6}
		}
		return b
	}}
	_, errs := j.run(t, set)
	for rank, err := range errs {
		var d *Diverged
		if !errors.As(err, &d) || d.Epoch != 1 || d.Step <= 8 || d.Step > 16 || (d.Inputs != "") != (rank == 0) {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
	if _, err := os.Stat(filepath.Join(j.out, "diverged.safetensors")); err != nil {
		t.Error(err)
	}
}

// hanging waits for ever in a training step.
type hanging struct {
	backend.Backend
	after   int // sends
	release chan struct{}
}

func (h *hanging) Send(dst backend.View, src []byte) error {
	if h.after--; h.after == 0 {
		<-h.release
	}
	return h.Backend.Send(dst, src)
}

// A rank that hangs is noticed by the others, who end the job.
func TestRankThatHangs(t *testing.T) {
	set := datatest.Coloured(t, 38, 32)
	h := &hanging{after: 9, release: make(chan struct{})}
	j := job{size: 2, out: t.TempDir(), timeout: 2 * time.Second, ended: func(rank int) {
		if rank == 0 {
			close(h.release)
		}
	}, backend: func(rank int, b backend.Backend) backend.Backend {
		if rank == 1 {
			h.Backend = b
			return h
		}
		return b
	}}
	_, errs := j.run(t, set)
	if aborted := (*ranks.Aborted)(nil); !errors.As(errs[0], &aborted) || aborted.Code != ranks.ExitCode {
		t.Errorf("rank 0: %v", errs[0])
	}
	if text := <-j.reported; !strings.Contains(text, "rank 0 of 2 has waited") || !strings.Contains(text, "of epoch 1") {
		t.Errorf("reported: %s", text)
	}
}

// Training that no longer improves ends early on all ranks, after the same epoch.
func TestRanksStopEarly(t *testing.T) {
	set := datatest.Coloured(t, 20, 32)
	early := func(_ int, o *Options) { o.Epochs, o.Patience, o.PeakLR, o.EMA = 6, 1, 0, 0 }
	result, want := (&job{options: early}).must(t, set)
	if n := len(result.Epochs); n < 2 || n > 5 {
		t.Fatalf("%d epochs", n)
	}
	_, files := (&job{size: 4, options: early}).must(t, set)
	same(t, "4 ranks", files, want)
}

// A rank that all wait for is named.
func TestSlowRank(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		busy []time.Duration
		want string
	}{
		{nil, ""}, {[]time.Duration{9 * s}, ""}, {[]time.Duration{9 * s, 10 * s, 8 * s, 12 * s}, ""}, {[]time.Duration{s / 10, s / 2}, ""},
		{[]time.Duration{10 * s, 9 * s, 25 * s, 11 * s}, "all ranks wait for rank 2, which computed for 25s of this epoch; half of them took 10s or less"},
		{[]time.Duration{30 * s, 10 * s}, "all ranks wait for rank 0, which computed for 30s of this epoch; half of them took 10s or less"},
	} {
		if got := (&together{busy: c.busy}).slowRank(); got != c.want {
			t.Errorf("%v: %q, want %q", c.busy, got, c.want)
		}
	}
}
