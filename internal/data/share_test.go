package data

import (
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"effnet/internal/augment"
)

// What ranks take of an epoch is together what one loader yields, batch by batch, to the
// bit: with unusable images in any place, images that come again, and from the middle of an
// epoch. A batch has no images on the ranks that the epoch's end leaves without.
func TestSharesMakeAnEpoch(t *testing.T) {
	dir := t.TempDir()
	const images = 50
	for i := range images {
		folder := filepath.Join(dir, "train", strconv.Itoa(i%2))
		if err := os.MkdirAll(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(folder, strconv.Itoa(i)+".png"))
		if err != nil {
			t.Fatal(err)
		}
		m := image.NewGray(image.Rect(0, 0, 4, 4))
		m.Pix[i%16] = uint8(i * 5)
		if i%7 == 3 {
			_, err = f.WriteString("no image")
		} else {
			err = png.Encode(f, m)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	set, err := OpenTrain(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ranks, each, batch, repeats int }{{2, 1, 3, 0}, {2, 2, 3, 0}, {4, 2, 3, 0}, {4, 1, 5, 3}, {3, 4, 4, 2}, {8, 1, 6, 0}, {2, 1, 7, 2}} {
		opt := Options{Pipeline: Pipeline{Size: 4, Interpolation: augment.Bilinear, Transform: augment.Eval{Crop: augment.CropTimm, CropPct: 1}, Std: [3]float64{1, 1, 1}},
			BatchSize: c.batch, Workers: 2, Prefetch: 1, Seed: 9, Shuffle: true, DropLast: true, OnCorrupt: Skip, Repeats: c.repeats, Mix: augment.Mix{Mixup: 1, Prob: 1}}
		group := c.ranks * c.each
		whole := epochs(t, set, opt, 0)
		for _, from := range []int{0, group} {
			if from > set.Len()/c.batch {
				continue
			}
			shared := make([][][]string, c.ranks)
			m := &exchange{size: c.ranks, texts: make([][]byte, c.ranks)}
			m.changed.L = &m.mu
			var wg sync.WaitGroup
			for rank := range c.ranks {
				mine := opt
				mine.Share = Share{Rank: rank, Ranks: c.ranks, Each: c.each, Gather: func(b []byte) ([][]byte, error) { return m.gather(rank, b), nil }}
				wg.Go(func() { shared[rank] = epochs(t, set, mine, from) })
			}
			wg.Wait()
			for epoch, want := range whole {
				if epoch == 0 {
					want = want[min(from, len(want)):]
				}
				var got []string
				for i := range shared[0][epoch] {
					if i%c.each > 0 {
						continue
					}
					for rank := range c.ranks {
						got = append(got, shared[rank][epoch][i:i+c.each]...)
					}
				}
				if len(got)%group != 0 || len(got)-len(want) >= group {
					t.Fatalf("%+v, epoch %d: %d batches, want %d and the rest of a group", c, epoch, len(got), len(want))
				}
				for i, text := range got[min(len(want), len(got)):] {
					if text != "" {
						t.Errorf("%+v, epoch %d: batch %d after the last is %.40s", c, epoch, i, text)
					}
				}
				if !slices.Equal(got[:len(want)], want) {
					t.Errorf("%+v, epoch %d from batch %d: other batches", c, epoch, from)
				}
			}
		}
	}
}

// epochs are the batches of three epochs, as text, the first from a batch on; "" is one
// without images.
func epochs(t *testing.T, set *Set, opt Options, from int) (all [][]string) {
	l, err := NewLoader(set, opt)
	if err != nil {
		t.Error(err)
		return make([][]string, 3)
	}
	if from > 0 { // the images that the batches before it have found to be unusable
		alone := opt
		alone.Share = Share{}
		before, err := NewLoader(set, alone)
		if err != nil {
			t.Error(err)
		}
		n := 0
		for _, err := range before.Epoch(t.Context(), 0, 0) {
			if err != nil {
				t.Error(err)
			}
			if n++; n == from {
				break
			}
		}
		opt.Skipped = before.Skipped()
		if l, err = NewLoader(set, opt); err != nil {
			t.Error(err)
		}
	}
	for epoch := range 3 {
		var batches []string
		for b, err := range l.Epoch(t.Context(), epoch, from) {
			switch {
			case err != nil:
				t.Error(err)
				return make([][]string, 3)
			case b.Count == 0:
				batches = append(batches, "")
			default:
				batches = append(batches, fmt.Sprint(b.Index, b.Labels, b.Count, b.Lambda, b.Images))
			}
		}
		all, from = append(all, batches), 0
	}
	return all
}

// exchange is where ranks gather.
type exchange struct {
	size, here, round int
	texts             [][]byte
	mu                sync.Mutex
	changed           sync.Cond
}

func (e *exchange) wait() {
	round := e.round
	if e.here++; e.here == e.size {
		e.here, e.round = 0, e.round+1
		e.changed.Broadcast()
	}
	for e.round == round {
		e.changed.Wait()
	}
}

func (e *exchange) gather(rank int, b []byte) [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.texts[rank] = b
	e.wait()
	all := slices.Clone(e.texts)
	e.wait()
	return all
}
