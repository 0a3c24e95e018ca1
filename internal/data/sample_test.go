package data

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"effnet/internal/augment"
)

// lopsided returns a Set of classes of 60, 12 and 3 images.
func lopsided(t testing.TB) *Set {
	t.Helper()
	var names []string
	for c, n := range []int{60, 12, 3} {
		for i := range n {
			names = append(names, fmt.Sprintf("train/%d/%03d.png", c, i))
		}
	}
	s, err := OpenTrain(tree(t, names...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBalancedSampler(t *testing.T) {
	s := lopsided(t)
	opt := trainOptions()
	opt.Sampler = Balanced
	l := loader(t, s, opt)
	perClass, seen := make([]int, 3), map[draw]bool{}
	const epochs = 40
	for epoch := range epochs {
		order := l.order(epoch)
		if len(order) != s.Len() || !slices.Equal(order, l.order(epoch)) {
			t.Fatalf("epoch %d: %d images of %d, or others each time", epoch, len(order), s.Len())
		}
		clear(seen)
		times := make([]int, s.Len())
		for _, d := range order {
			perClass[s.Label(int(d.image))]++
			if times[d.image]++; int(d.occurrence) != times[d.image]-1 || seen[d] {
				t.Fatalf("epoch %d: %+v comes %d times", epoch, d, times[d.image])
			}
			seen[d] = true
		}
		for c, from := 0, 0; c < 3; c++ {
			class := times[from:][:s.Counts()[c]]
			if slices.Max(class)-slices.Min(class) > 1 {
				t.Errorf("epoch %d, class %d: the images come %v times", epoch, c, class)
			}
			from += len(class)
		}
	}
	// 1000 draws a class are expected; the standard deviation is 26.
	for c, n := range perClass {
		if math.Abs(float64(n)-1000) > 4*26 {
			t.Errorf("class %d: drawn %d times in %d epochs, expected 1000", c, n, epochs)
		}
	}
	if slices.Equal(l.order(0), l.order(1)) {
		t.Error("two epochs of the same images")
	}
}

func TestRepeats(t *testing.T) {
	s := noise(t, 22)
	opt := trainOptions()
	once := loader(t, s, opt)
	opt.Repeats = 3
	l := loader(t, s, opt)
	base, order := once.order(4), l.order(4)
	if len(order) != 22 {
		t.Fatalf("%d images, want 22", len(order))
	}
	for i, d := range order {
		if want := (draw{base[i/3].image, int32(i % 3)}); d != want {
			t.Errorf("place %d: %+v, want %+v", i, d, want)
		}
	}
	first := map[int]uint64{} // what an image looks like without repeats
	for _, y := range epochOf(t, once, 4, 0, nil) {
		for pos, i := range y.index {
			first[i] = y.images[pos]
		}
	}
	n, seen := 0, map[uint64]bool{}
	for _, y := range epochOf(t, l, 4, 0, nil) {
		for pos, i := range y.index {
			if sum := y.images[pos]; n%3 == 0 && sum != first[i] || seen[sum] {
				t.Errorf("place %d: image %d looks as it should not", n, i)
			}
			seen[y.images[pos]] = true
			n++
		}
	}
}

// Balanced and repeated, an image's draws all differ.
func TestRepeatsOfABalancedEpoch(t *testing.T) {
	opt := trainOptions()
	opt.Sampler, opt.Repeats = Balanced, 4
	seen := map[uint64]bool{}
	for _, d := range loader(t, lopsided(t), opt).order(0) {
		if seen[d.index()] {
			t.Fatalf("%+v twice", d)
		}
		seen[d.index()] = true
	}
}

// The streams of images, of their repeats, of batches and of the order are
// different ones.
func TestStreamIndices(t *testing.T) {
	seen := map[uint64]string{shuffleIndex: "order"}
	add := func(index uint64, what string) {
		if seen[index] != "" {
			t.Errorf("%s and %s have one stream", seen[index], what)
		}
		seen[index] = what
	}
	add(subsetIndex, "subset")
	for _, i := range []int32{0, 1, math.MaxInt32} {
		add(uint64(i)|mixIndex, fmt.Sprint("batch ", i))
		for _, occurrence := range []int32{0, 1, math.MaxInt32} {
			add(draw{i, occurrence}.index(), fmt.Sprint(i, occurrence))
		}
	}
	if (draw{image: 7}).index() != 7 {
		t.Error("an image's stream is not that of its index")
	}
}

func TestMixedBatches(t *testing.T) {
	s := noise(t, 22)
	plain := trainOptions()
	plain.BatchSize = 5
	opt := plain
	opt.Mix = augment.Mix{Mixup: 0.4, CutMix: 1, Prob: 0.8, SwitchProb: 0.5}
	l := loader(t, s, plain)
	var want []uint64
	for batch := range l.Epoch(context.Background(), 2, 0) {
		if batch.Lambda != 1 {
			t.Errorf("lambda %v where nothing is mixed", batch.Lambda)
		}
		rng := stream{opt.Seed, 2, mixIndex + uint64(len(want)/2)}.rand()
		mixed, lambda := opt.Mix.Draw(opt.Size, opt.Size, rng)
		mixed.Apply(batch.Images[:batch.Count*l.values()], batch.Count, opt.Size)
		want = append(want, batchSum(batch.Images), math.Float64bits(lambda))
	}
	lambdas := map[float64]bool{}
	for _, n := range [][2]int{{1, 0}, {3, 2}} {
		opt.Workers, opt.Prefetch = n[0], n[1]
		for from := range 6 {
			var got []uint64
			for batch := range loader(t, s, opt).Epoch(context.Background(), 2, from) {
				got = append(got, batchSum(batch.Images), math.Float64bits(batch.Lambda))
				lambdas[batch.Lambda] = true
			}
			if !slices.Equal(got, want[2*from:]) {
				t.Errorf("%d workers, from batch %d: other batches", n[0], from)
			}
		}
	}
	if len(lambdas) < 3 {
		t.Errorf("lambdas %v", lambdas)
	}
}

// Erasing comes after all that the transform draws, in the normalised image.
func TestErase(t *testing.T) {
	s := noise(t, 3)
	opt := trainOptions()
	plain := loader(t, s, opt)
	opt.Erase = augment.Erase{Prob: 1, Mode: augment.EraseConst, Count: 1, MinArea: 0.2, MaxArea: 0.4, MinAspect: 0.5}
	erased := loader(t, s, opt)
	a, b := make([]float32, plain.values()), make([]float32, plain.values())
	for i := range 3 {
		for l, dst := range map[*Loader][]float32{plain: a, erased: b} {
			if err := l.renderers[0].read(dst, s, i, stream{1, 0, uint64(i)}); err != nil {
				t.Fatal(err)
			}
		}
		zeros := 0
		for j := range a {
			if b[j] == 0 {
				zeros++
			} else if a[j] != b[j] {
				t.Fatalf("image %d: value %d is %v, was %v", i, j, b[j], a[j])
			}
		}
		if zeros < 3*64/10 || zeros > 3*64/2 {
			t.Errorf("image %d: %d of %d values erased", i, zeros, len(a))
		}
	}
	opt.Erase.Count = 0
	if opt.Validate() == nil {
		t.Error("erasing no rectangles is allowed")
	}
}

// A hundred epochs take no more memory than a few.
func TestEpochsDoNotGrow(t *testing.T) {
	s := noise(t, 24)
	spoil(t, s, 3, 17)
	opt := trainOptions()
	opt.OnCorrupt, opt.Repeats, opt.Workers, opt.Prefetch = Skip, 2, 3, 2
	opt.Mix = augment.Mix{Mixup: 0.2, Prob: 1}
	l := loader(t, s, opt)
	heap := func() (bytes uint64, goroutines int) {
		var m runtime.MemStats
		for range 2 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	var bytes uint64
	var goroutines int
	for epoch := range 110 {
		if epoch == 10 {
			bytes, goroutines = heap()
		}
		for _, err := range l.Epoch(context.Background(), epoch, 0) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	// The ended workers of the last epoch may still be there for a moment.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		b, g := heap()
		if b < bytes+64<<10 && g <= goroutines {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes and %d goroutines after 110 epochs, %d and %d after 10", b, g, bytes, goroutines)
		}
	}
}
