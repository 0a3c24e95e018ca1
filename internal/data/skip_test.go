package data

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/augment"
)

// spoil makes images of a Set unusable.
func spoil(t testing.TB, s *Set, images ...int) {
	t.Helper()
	for _, i := range images {
		if err := os.WriteFile(s.Path(i), []byte("text"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// A yielded batch.
type yielded struct {
	index, labels []int
	images        []uint64 // checksums
}

func batchSum(image []float32) uint64 {
	h := uint64(0)
	for _, v := range image {
		h = mix(h ^ uint64(math.Float32bits(v)))
	}
	return h
}

func epochOf(t *testing.T, l *Loader, epoch, from int, each func(b int)) (all []yielded) {
	t.Helper()
	for batch, err := range l.Epoch(context.Background(), epoch, from) {
		if err != nil {
			t.Fatal(err)
		}
		y := yielded{slices.Clone(batch.Index[:batch.Count]), slices.Clone(batch.Labels), nil}
		for pos := range l.opt.BatchSize {
			y.images = append(y.images, batchSum(batch.Images[pos*l.values():][:l.values()]))
		}
		if all = append(all, y); each != nil {
			each(from + len(all))
		}
	}
	return all
}

// left is what Epoch's comment says of an epoch of the given order: the images
// that its batches have, and what was found to be unusable.
func left(order []draw, bad map[int]bool, size int, dropLast bool) (good []draw, found []int) {
	for len(order) > 0 && (!dropLast || len(good)%size != 0 || len(order) >= size) {
		d, last := order[0], len(order)-1
		if !bad[int(d.image)] {
			good, order = append(good, d), order[1:]
			continue
		}
		if !slices.Contains(found, int(d.image)) {
			found = append(found, int(d.image))
		}
		order[0] = order[last]
		order = order[:last]
	}
	if dropLast {
		good = good[:len(good)/size*size]
	}
	return good, found
}

type skipCase struct {
	name    string
	bad     []int // images or, if atEnd, places in the order of epoch 0
	atPlace bool
	change  func(*Options)
}

func skipCases() []skipCase {
	drop := func(o *Options) { o.DropLast = true }
	inOrder := func(o *Options) { o.Shuffle = false }
	cases := []skipCase{
		{"one", []int{5}, true, func(*Options) {}},
		{"first and last", []int{0, 21}, true, drop},
		{"the tail", []int{20, 21}, true, func(*Options) {}},
		{"the last batch", []int{18, 19, 20, 21}, true, func(*Options) {}},
		{"the last full batch", []int{16, 17, 18, 19}, true, drop},
		{"more than spares", []int{1, 6, 11}, true, drop},
		{"a batch and the tail", []int{4, 5, 6, 7, 17, 19, 21}, true, drop},
		{"in order", []int{3, 4, 5, 20}, false, inOrder},
		{"all but one", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21}, false, inOrder},
		{"a class", []int{0, 1, 2, 3, 4, 5, 6, 7}, false, func(o *Options) { o.Sampler = Balanced }},
	}
	r := rand.New(rand.NewPCG(5, 6))
	for k := range 8 {
		cases = append(cases, skipCase{fmt.Sprint("random ", k), r.Perm(22)[:1+2*k], false, func(o *Options) {
			o.DropLast, o.Repeats = k%2 == 0 && k < 7, k/2
			if k%3 == 2 {
				o.Sampler = Balanced
			}
		}})
	}
	return cases
}

// What is skipped, and what takes its place, is as Epoch says, whatever the
// number of workers, and wherever another loader takes over.
func TestSkip(t *testing.T) {
	for _, c := range skipCases() {
		t.Run(c.name, func(t *testing.T) {
			s := noise(t, 22)
			opt := trainOptions()
			opt.OnCorrupt = Skip
			c.change(&opt)
			bad := map[int]bool{}
			for _, i := range c.bad {
				if c.atPlace {
					i = int(loader(t, s, opt).order(0)[i].image)
				}
				bad[i] = true
			}
			want := expected(t, s, opt, bad)
			for i := range bad {
				spoil(t, s, i)
			}
			for _, n := range [][2]int{{1, 0}, {1, 9}, {3, 0}, {3, 2}} {
				opt.Workers, opt.Prefetch = n[0], n[1]
				testTakeover(t, s, opt, want)
			}
		})
	}
}

// An expectation is what two epochs yield and skip.
type expectation struct {
	batches [2][]yielded
	skipped [2][]Skipped // by the end of each
}

// expected returns the expectation of a Set whose bad images are not yet spoiled.
func expected(t *testing.T, s *Set, opt Options, bad map[int]bool) (e expectation) {
	t.Helper()
	zero := batchSum(make([]float32, opt.Size*opt.Size*3))
	for epoch := range e.batches {
		l := loader(t, s, opt) // which knows what is skipped, and reads nothing
		good, found := left(l.order(epoch), bad, opt.BatchSize, opt.DropLast)
		for part := range slices.Chunk(good, opt.BatchSize) {
			y := yielded{labels: make([]int, opt.BatchSize)}
			for pos, d := range part {
				y.index, y.labels[pos] = append(y.index, int(d.image)), s.Label(int(d.image))
				pixels := make([]float32, l.values())
				if err := l.renderers[0].read(pixels, s, int(d.image), stream{opt.Seed, uint64(epoch), d.index()}); err != nil {
					t.Fatal(err)
				}
				y.images = append(y.images, batchSum(pixels))
			}
			for len(y.images) < opt.BatchSize {
				y.images = append(y.images, zero)
			}
			e.batches[epoch] = append(e.batches[epoch], y)
		}
		for _, i := range found {
			opt.Skipped = append(opt.Skipped, Skipped{Index: i, Epoch: epoch})
		}
		e.skipped[epoch] = slices.Clone(opt.Skipped)
	}
	return e
}

// testTakeover runs two epochs, and at every batch of the first lets another
// loader go on.
func testTakeover(t *testing.T, s *Set, opt Options, want expectation) {
	t.Helper()
	check := func(what string, epoch, from int, got []yielded, l *Loader) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want.batches[epoch][from:]) {
			t.Errorf("%s: epoch %d: other batches", what, epoch)
		}
		if got := unmixed(l.Skipped()); !slices.Equal(got, want.skipped[epoch]) {
			t.Errorf("%s: epoch %d: skipped %v, want %v", what, epoch, got, want.skipped[epoch])
		}
	}
	l := loader(t, s, opt)
	var at [][]Skipped
	first := epochOf(t, l, 0, 0, func(int) { at = append(at, l.Skipped()) })
	check("whole", 0, 0, first, l)
	check("whole", 1, 0, epochOf(t, l, 1, 0, nil), l)
	for b, skipped := range at {
		opt.Skipped = skipped
		l := loader(t, s, opt)
		what := fmt.Sprint("from batch ", b+1)
		check(what, 0, b+1, epochOf(t, l, 0, b+1, nil), l)
		check(what, 1, 0, epochOf(t, l, 1, 0, nil), l)
	}
}

// unmixed is skipped without the errors.
func unmixed(skipped []Skipped) []Skipped {
	var p []Skipped
	for _, s := range skipped {
		p = append(p, Skipped{Index: s.Index, Epoch: s.Epoch})
	}
	return p
}

// What is read ahead is not yet skipped.
func TestSkippedIsOfYieldedBatches(t *testing.T) {
	s := greys(t, 20)
	spoil(t, s, 5, 14)
	opt := options(augment.Eval{Crop: augment.CropTF})
	opt.OnCorrupt, opt.Prefetch = Skip, 4
	l := loader(t, s, opt)
	var got []int
	for range l.Epoch(context.Background(), 0, 0) {
		got = append(got, len(l.Skipped()))
	}
	if want := []int{0, 1, 1, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("skipped %v by each batch, want %v", got, want)
	}
	e, ok := errors.AsType[*Error](l.Skipped()[0].Err)
	if !ok || e.Path != s.Path(5) {
		t.Errorf("the first is %v", l.Skipped()[0])
	}
	text := DescribeSkipped(l.Skipped())
	if !strings.HasPrefix(text, "skipped 2 unusable images: "+s.Path(5)+": ") || !strings.Contains(text, "; "+s.Path(14)+": ") {
		t.Error(text)
	}
	if text := DescribeSkipped(slices.Repeat(l.Skipped()[:1], 5)); strings.Count(text, "005.png") != 3 || !strings.HasSuffix(text, "; and 2 more") {
		t.Error(text)
	}
}

func TestSkipNeedsSomethingToUse(t *testing.T) {
	s := greys(t, 10)
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	spoil(t, s, all...)
	good, err := os.ReadFile(filepath.Join(tree(t, "good.png"), "good.png"))
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []string{"no image can be used: skipped 10 unusable images: " + s.Path(0), "too few images can be used for a batch of 4", "", ""} {
		if n > 0 {
			if err := os.WriteFile(s.Path(n), good, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		opt := options(augment.Eval{Crop: augment.CropTF})
		opt.OnCorrupt, opt.DropLast = Skip, n == 1
		l := loader(t, s, opt)
		for epoch := range 2 { // in the second, all that is unusable is known
			var failure error
			for _, err := range l.Epoch(context.Background(), epoch, 0) {
				failure = err
			}
			e, ok := errors.AsType[*Error](failure)
			if want == "" && failure != nil || want != "" && (!ok || e.Path != s.Dir || !strings.Contains(e.Reason, want)) {
				t.Errorf("%d good images, epoch %d: %v, want %q", n, epoch, failure, want)
			}
		}
	}
}

func TestSkippedOfAnotherSet(t *testing.T) {
	opt := trainOptions()
	for _, i := range []int{-1, 12} {
		opt.Skipped = []Skipped{{Index: i}}
		if _, err := NewLoader(greys(t, 12), opt); err == nil {
			t.Errorf("image %d of 12: no error", i)
		}
	}
}
