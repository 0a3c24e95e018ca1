package data

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"effnet/internal/augment"
)

func options(tr augment.Transform) Options {
	return Options{
		Pipeline: Pipeline{Size: 8, Interpolation: augment.Bicubic, Transform: tr,
			Mean: [3]float64{123.675, 116.28, 103.53}, Std: [3]float64{58.395, 57.12, 57.375}},
		BatchSize: 4, Workers: 2, Prefetch: 1,
	}
}

func trainOptions() Options {
	opt := options(augment.Train{Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3. / 4, 4. / 3}, HFlip: 0.5})
	opt.Shuffle, opt.Seed = true, 7
	return opt
}

func loader(t testing.TB, s *Set, opt Options) *Loader {
	t.Helper()
	l, err := NewLoader(s, opt)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// greys returns a Set of n images in three classes; image i is all grey i.
func greys(t testing.TB, n int) *Set {
	t.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("train/%d/%03d.png", i*3/n, i))
	}
	s, err := OpenTrain(tree(t, names...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noise returns a Set of n images whose every pixel differs.
func noise(t testing.TB, n int) *Set {
	t.Helper()
	s := greys(t, n)
	pattern := goldenFiles(t)[0].File
	for i := range n {
		if err := os.WriteFile(s.Path(i), pattern, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestEpochInOrder(t *testing.T) {
	s := greys(t, 10)
	for _, dropLast := range []bool{false, true} {
		opt := options(augment.Eval{Crop: augment.CropTF})
		opt.DropLast, opt.Prefetch = dropLast, 0 // every batch in the memory of the one before
		l := loader(t, s, opt)
		next := 0
		for batch, err := range l.Epoch(context.Background(), 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			per := len(batch.Images) / opt.BatchSize
			for pos := range opt.BatchSize {
				pixels := batch.Images[pos*per:][:per]
				label, index, value := 0, 0, float32(0)
				if pos < batch.Count {
					label, index = s.Label(next), next
					value = float32((float64(next) - opt.Mean[0]) / opt.Std[0])
					next++
				}
				if batch.Labels[pos] != label || batch.Index[pos] != index || pixels[0] != value || pixels[per-3] != value {
					t.Errorf("position %d: label %d, index %d, value %v; want %d, %d, %v",
						pos, batch.Labels[pos], batch.Index[pos], pixels[0], label, index, value)
				}
			}
		}
		if want := map[bool]int{false: 10, true: 8}[dropLast]; next != want || l.Batches() != (want+3)/4 {
			t.Errorf("DropLast %v: %d images in %d batches, want %d", dropLast, next, l.Batches(), want)
		}
	}
}

// sums returns a checksum of each batch of an epoch.
func sums(t *testing.T, l *Loader, epoch, from int) (sums []uint64) {
	t.Helper()
	for batch, err := range l.Epoch(context.Background(), epoch, from) {
		if err != nil {
			t.Fatal(err)
		}
		h := fnv.New64a()
		fmt.Fprint(h, batch.Images, batch.Labels, batch.Index, batch.Count)
		sums = append(sums, h.Sum64())
	}
	return sums
}

func TestEpochIsTheSameForAnyWorkers(t *testing.T) {
	s := noise(t, 22)
	want := sums(t, loader(t, s, trainOptions()), 3, 0)
	if len(want) != 6 {
		t.Fatalf("%d batches, want 6", len(want))
	}
	for _, workers := range []int{1, 2, 4} {
		for _, prefetch := range []int{0, 1, 9} {
			opt := trainOptions()
			opt.Workers, opt.Prefetch = workers, prefetch
			l := loader(t, s, opt)
			sums(t, l, 2, 0) // what an epoch leaves behind does not show in the next
			for from := range len(want) + 1 {
				if got := sums(t, l, 3, from); !slices.Equal(got, want[from:]) {
					t.Errorf("%d workers, prefetch %d, from batch %d: other batches", workers, prefetch, from)
				}
			}
		}
	}
	other := trainOptions()
	other.Seed++
	if slices.Equal(sums(t, loader(t, s, other), 3, 0), want) {
		t.Error("another seed: the same batches")
	}
	if slices.Equal(sums(t, loader(t, s, trainOptions()), 4, 0), want) {
		t.Error("another epoch: the same batches")
	}
}

// Every image of this set is the same photograph: what differs is drawn.
func TestAugmentationDiffersByImageAndEpoch(t *testing.T) {
	s := noise(t, 12)
	opt := trainOptions()
	opt.BatchSize, opt.Shuffle = 1, false
	l := loader(t, s, opt)
	seen := map[string]bool{}
	for epoch := range 3 {
		for batch, err := range l.Epoch(context.Background(), epoch, 0) {
			if err != nil {
				t.Fatal(err)
			}
			seen[fmt.Sprint(batch.Images)] = true
		}
	}
	if len(seen) != 36 {
		t.Errorf("%d different crops of 36", len(seen))
	}
}

func TestShuffleVisitsEachImageOnce(t *testing.T) {
	s := greys(t, 30)
	l := loader(t, s, trainOptions())
	var orders [2][]int
	for epoch := range orders {
		for batch, err := range l.Epoch(context.Background(), epoch, 0) {
			if err != nil {
				t.Fatal(err)
			}
			orders[epoch] = append(orders[epoch], batch.Index[:batch.Count]...)
		}
		if slices.IsSorted(orders[epoch]) {
			t.Errorf("epoch %d is not shuffled", epoch)
		}
	}
	if slices.Equal(orders[0], orders[1]) {
		t.Error("two epochs in the same order")
	}
	for _, order := range orders {
		slices.Sort(order)
		for i, v := range order {
			if i != v {
				t.Fatalf("visited %v", order)
			}
		}
	}
}

// The error is that of the first bad image in order, whatever is decoded first,
// and the batches before it arrive.
func TestEpochStopsAtFirstBadImage(t *testing.T) {
	s := greys(t, 20)
	for _, i := range []int{9, 10, 16} {
		if err := os.WriteFile(s.Path(i), []byte("text"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for workers := 1; workers <= 4; workers++ {
		opt := options(augment.Eval{Crop: augment.CropTF})
		opt.Workers, opt.Prefetch = workers, 4
		l := loader(t, s, opt)
		for range 5 {
			good := 0
			var failure error
			for _, err := range l.Epoch(context.Background(), 0, 0) {
				if failure != nil {
					t.Fatal("the epoch continues after its error")
				}
				if failure = err; err == nil {
					good++
				}
			}
			e, ok := errors.AsType[*Error](failure)
			if good != 2 || !ok || e.Path != s.Path(9) {
				t.Fatalf("%d workers: %v after %d batches, want %s after 2", workers, failure, good, s.Path(9))
			}
		}
	}
}

func TestEpochLeavesNoGoroutines(t *testing.T) {
	s := greys(t, 40)
	before := runtime.NumGoroutine()
	opt := trainOptions()
	opt.Workers, opt.Prefetch = 4, 3
	l := loader(t, s, opt)

	for range l.Epoch(context.Background(), 0, 0) {
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	batches := 0
	var last error
	for _, err := range l.Epoch(ctx, 0, 0) {
		if last = err; err == nil {
			batches++
			cancel()
		}
	}
	if batches != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled in the first batch: %d batches, then %v", batches, last)
	}
	for _, err := range l.Epoch(ctx, 0, 0) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before the epoch: %v", err)
		}
	}
	func() {
		defer func() { recover() }()
		for range l.Epoch(context.Background(), 0, 0) {
			panic("in the loop")
		}
	}()
	if n := len(sums(t, l, 0, 0)); n != 10 {
		t.Errorf("an epoch after those: %d batches, want 10", n)
	}
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// A counter is a Transform that counts the images it is done with.
type counter struct {
	augment.Eval
	delay time.Duration
	calls *atomic.Int64
}

func (c counter) Finish(*augment.Image, *rand.Rand, *[]uint8) {
	time.Sleep(c.delay)
	c.calls.Add(1)
}

func TestEpochWaitsForItsWorkers(t *testing.T) {
	var calls atomic.Int64
	l := loader(t, greys(t, 40), options(counter{augment.Eval{Crop: augment.CropTF}, 5 * time.Millisecond, &calls}))
	for range l.Epoch(context.Background(), 0, 0) {
		break
	}
	n := calls.Load()
	if time.Sleep(20 * time.Millisecond); calls.Load() != n {
		t.Errorf("%d images were decoded after the loop had ended", calls.Load()-n)
	}
}

// A slow consumer holds the workers back: only Prefetch batches are made ahead.
func TestEpochPrefetches(t *testing.T) {
	var calls atomic.Int64
	opt := options(counter{augment.Eval{Crop: augment.CropTF}, 0, &calls})
	opt.Prefetch = 2
	n := int64(0)
	for _, err := range loader(t, greys(t, 40), opt).Epoch(context.Background(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		want := min((n+2)*4, 40)
		for deadline := time.Now().Add(time.Minute); calls.Load() < want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("batch %d: %d images decoded ahead, want %d", n, calls.Load(), want)
			}
		}
		if time.Sleep(2 * time.Millisecond); calls.Load() != want {
			t.Fatalf("batch %d: %d images decoded, want %d", n, calls.Load(), want)
		}
	}
}

func TestEpochRefusesMisuse(t *testing.T) {
	l := loader(t, greys(t, 12), trainOptions())
	for _, from := range []int{-1, 4} {
		for _, err := range l.Epoch(context.Background(), 0, from) {
			if err == nil {
				t.Errorf("from batch %d of 3: no error", from)
			}
		}
	}
	for range l.Epoch(context.Background(), 0, 0) {
		for _, err := range l.Epoch(context.Background(), 0, 0) {
			if err == nil {
				t.Error("an epoch inside an epoch: no error")
			}
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"image size":    func(o *Options) { o.Size = 0 },
		"image size 1":  func(o *Options) { o.Size = 1 << 20 },
		"transform":     func(o *Options) { o.Transform = nil },
		"crop scale":    func(o *Options) { o.Transform = augment.Train{} },
		"interpolation": func(o *Options) { o.Interpolation = "nearest" },
		"std":           func(o *Options) { o.Std = [3]float64{} },
		"batch size":    func(o *Options) { o.BatchSize = 0 },
		"workers":       func(o *Options) { o.Workers = 0 },
		"prefetch":      func(o *Options) { o.Prefetch = -1 },
		"GiB":           func(o *Options) { o.Size, o.BatchSize = 4096, 1<<16 },
		"do not fill":   func(o *Options) { o.BatchSize, o.DropLast = 13, true },
	} {
		opt := trainOptions()
		change(&opt)
		if _, err := NewLoader(greys(t, 12), opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %s", err, want)
		}
	}
}

func BenchmarkEpoch(b *testing.B) {
	shared := os.Getenv("EFFNET_SHARED")
	if shared == "" {
		b.Skip("no photographs to read: set EFFNET_SHARED to a folder with data/imagenette-mini")
	}
	s, err := OpenTrain(shared + "/data/imagenette-mini")
	if err != nil {
		b.Fatal(err)
	}
	opt := trainOptions()
	opt.Size, opt.BatchSize, opt.Prefetch = 224, 32, 2
	l := loader(b, s, opt)
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range l.Epoch(context.Background(), 0, 0) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(s.Len()*b.N)/b.Elapsed().Seconds(), "images/s")
}
