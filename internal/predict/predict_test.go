package predict

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/predict/predicttest"
	"effnet/internal/scale"
	"effnet/internal/weights"
)

const classes = predicttest.Classes

// network opens one on a number of threads.
func network(t testing.TB, threads int) *Network {
	t.Helper()
	return opened(t, predicttest.File(t), threads)
}

func opened(t testing.TB, path string, threads int) *Network {
	t.Helper()
	b, err := cpu.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	return on(t, path, b)
}

func on(t testing.TB, path string, b backend.Backend) *Network {
	t.Helper()
	w, err := weights.Open(path, weights.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Load(w, path, b)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func predictor(t testing.TB, opt Options) *Predictor {
	t.Helper()
	p, err := New(network(t, 2), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func photos(t testing.TB, n int) (set *data.Set, paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("%03d.png", i)))
		if err := os.WriteFile(paths[i], predicttest.Encoded(t, predicttest.Photo(i)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	set, err := data.Images(paths, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set, paths
}

// swept is what a sweep over a set says: the scores and features of each image.
func swept(t testing.TB, n *Network, set *data.Set, batch int) (values [][]float64, features []float32) {
	t.Helper()
	sweep, err := n.Sweep(set, data.Options{BatchSize: batch, Workers: 2}, "none")
	if err != nil {
		t.Fatal(err)
	}
	if err := sweep.Each(t.Context(), func(r Row) error {
		values = append(values, n.Scores(r.Logits)[0].Values)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	m, err := sweep.Features(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return values, m.Rows
}

// seen is what a network sees of image files, as pixels and normalised.
func seen(t testing.TB, n *Network, paths []string) (pixels [][]uint8, values [][]float32) {
	t.Helper()
	p, err := n.Pipeline().NewPreparer()
	if err != nil {
		t.Fatal(err)
	}
	table, err := n.Pipeline().Normalised()
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		pixels, values = append(pixels, make([]uint8, n.values())), append(values, make([]float32, n.values()))
		if err := p.File(pixels[i], path); err != nil {
			t.Fatal(err)
		}
		for j, v := range pixels[i] {
			values[i][j] = table[j%3*256+int(v)]
		}
	}
	return pixels, values
}

// Whatever images are computed with an image, and wherever it comes from, its answer
// is the same bits, and those of a sweep.
func TestAnswersAreASweeps(t *testing.T) {
	n := network(t, 2)
	set, paths := photos(t, 23)
	want, features := swept(t, n, set, 64)
	pixels, values := seen(t, n, paths)
	again, _ := swept(t, n, set, 5)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	width := len(features) / len(want)
	sources := []func(i int) Image{
		func(i int) Image { return File(paths[i]) },
		func(i int) Image { return Bytes("bytes", predicttest.Encoded(t, predicttest.Photo(i))) },
		func(i int) Image {
			return Reader("reader", bytes.NewReader(predicttest.Encoded(t, predicttest.Photo(i))))
		},
		func(i int) Image { return Decoded("decoded", predicttest.Photo(i)) },
		func(i int) Image { return Pixels(pixels[i]) },
		func(i int) Image { return Values(values[i]) },
	}
	for _, opt := range []Options{{Batch: 1}, {Batch: 7, Wait: time.Second}, {Batch: 16, Wait: -1, Queue: 40, Workers: 3}} {
		p := predictor(t, opt)
		var requests []Request
		for i := range want {
			requests = append(requests, Request{Image: sources[i%len(sources)](i), Features: i%2 == 0})
		}
		answers, err := p.ClassifyAll(t.Context(), requests)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range answers {
			if got := a.Heads[0].Values; !slices.Equal(got, want[i]) || !slices.Equal(again[i], want[i]) {
				t.Errorf("%+v, image %d: %v, want %v", opt, i, got, want[i])
			}
			if i%2 == 0 && !slices.Equal(a.Features, features[i*width:][:width]) || i%2 == 1 && a.Features != nil {
				t.Errorf("%+v, image %d: other features", opt, i)
			}
		}
	}
}

// Transparent pixels have the colour that is stored, and the mean with a checkpoint
// that is older than the choice.
func TestTransparentImage(t *testing.T) {
	path := predicttest.File(t)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	older := filepath.Join(t.TempDir(), "older.safetensors")
	if err := os.WriteFile(older, bytes.Replace(file, []byte("transparency"), []byte("transparenc_"), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	m := predicttest.Photo(1)
	for i := range m.Pix {
		m.Pix[i] = []uint8{200, 100, 50, 0}[i%4]
	}
	for path, want := range map[string][3]uint8{path: {200, 100, 50}, older: {124, 116, 104}} {
		n := opened(t, path, 1)
		p, err := n.Pipeline().NewPreparer()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]uint8, n.values())
		if err := errors.Join(p.Bytes(got, "m.png", predicttest.Encoded(t, m)), n.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, bytes.Repeat(want[:], len(got)/3)) {
			t.Errorf("%s: %v, want %v", filepath.Base(path), got[:6], want)
		}
	}
}

// Several views are averaged; an image that cannot be read is skipped.
func TestSweepViews(t *testing.T) {
	n := network(t, 2)
	defer n.Close()
	set, paths := photos(t, 5)
	if err := os.WriteFile(paths[1], []byte("no image"), 0o666); err != nil {
		t.Fatal(err)
	}
	sweep, err := n.Sweep(set, data.Options{BatchSize: 2, Workers: 2, OnCorrupt: data.Skip}, "flip")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	if err := sweep.Each(t.Context(), func(r Row) error {
		seen[r.Index] = true
		sum := 0.
		for _, z := range r.Logits {
			sum += math.Exp(float64(z))
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Errorf("image %d: probabilities of %v in all", r.Index, sum)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 4 || seen[1] || len(sweep.Skipped()) != 1 || sweep.DescribeSkipped() == "" {
		t.Errorf("saw %v, skipped %v", seen, sweep.Skipped())
	}
	if _, err := n.Sweep(set, data.Options{BatchSize: 2, Workers: 2}, "3crop"); err == nil {
		t.Error("unknown views are no error")
	}
}

func TestActivations(t *testing.T) {
	p := predictor(t, Options{})
	set, paths := photos(t, 1)
	a, err := p.Classify(t.Context(), Request{Image: File(paths[0]), Activations: []int{Likeliest, 2}})
	if err != nil {
		t.Fatal(err)
	}
	best := a.Heads[0].Top(1)[0]
	if len(a.Activations) != 2 || a.Activations[0].Class != best.Index || a.Activations[1].Class != 2 || a.Picture.Rect.Dx() != 32 {
		t.Fatalf("got %+v, best %+v", a.Activations, best)
	}
	n := network(t, 1)
	defer n.Close()
	picture, want, err := n.Show(set, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Activations[1]; got.Side != want.Side || !slices.Equal(got.Values, want.Values) || !bytes.Equal(picture.Pix, a.Picture.Pix) {
		t.Errorf("other activations by the predictor than by its network")
	}
	x, err := n.Pipeline().Load(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(n.Pipeline().Picture(x).Pix, picture.Pix) {
		t.Error("the picture is not the network's input")
	}
	if _, err := p.Classify(t.Context(), Request{Image: File(paths[0]), Activations: []int{classes}}); err == nil {
		t.Error("a class that is not there is no error")
	}
	if _, _, err := n.Show(set, 0, -2); err == nil {
		t.Error("a class that is not there is no error of Show")
	}
}

// A network whose head comes after the pooling answers, but not where it sees what.
func TestNoActivations(t *testing.T) {
	n := opened(t, predicttest.File(t, func(a *scale.Arch) { a.Name, a.HeadPooled = "pooled", true }), 1)
	p, err := New(n, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := p.Classify(t.Context(), Request{Image: Decoded("photo", predicttest.Photo(1))}); err != nil {
		t.Error(err)
	}
	_, err = p.Classify(t.Context(), Request{Image: Decoded("photo", predicttest.Photo(1)), Activations: []int{Likeliest}})
	if err == nil || !strings.HasPrefix(err.Error(), "pooled has no class activation maps") {
		t.Errorf("activations: %v", err)
	}
}

// slow is an image that waits to be read until it is let go.
type slow struct {
	started, letGo chan struct{}
	once           sync.Once
	file           io.Reader
}

func newSlow(t testing.TB) *slow {
	return &slow{started: make(chan struct{}), letGo: make(chan struct{}), file: bytes.NewReader(predicttest.Encoded(t, predicttest.Photo(1)))}
}

func (s *slow) Read(b []byte) (int, error) {
	s.once.Do(func() { close(s.started) })
	<-s.letGo
	return s.file.Read(b)
}

// begin classifies in the background.
func begin(ctx context.Context, p *Predictor, m Image) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := p.Classify(ctx, Request{Image: m})
		done <- err
	}()
	return done
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 60_000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal(what)
}

func (p *Predictor) waits() (waiting, accepted int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting), len(p.slots)
}

// A caller whose context ends leaves the queue, and makes room there.
func TestCancelled(t *testing.T) {
	p := predictor(t, Options{Queue: 3, Wait: time.Hour})
	s := newSlow(t)
	first := begin(t.Context(), p, Reader("slow", s))
	<-s.started
	ctx, cancel := context.WithCancel(t.Context())
	second, third := begin(ctx, p, Decoded("second", predicttest.Photo(2))), begin(ctx, p, Decoded("third", predicttest.Photo(3)))
	eventually(t, "the images do not wait for the first", func() bool { n, _ := p.waits(); return n == 2 })
	fourth := begin(t.Context(), p, Decoded("fourth", predicttest.Photo(4))) // finds no room
	impatient, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if err := <-begin(impatient, p, Decoded("fifth", predicttest.Photo(5))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without room: %v", err)
	}
	cancel()
	for _, done := range []<-chan error{second, third} {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled caller gets %v", err)
		}
	}
	eventually(t, "cancelled images keep their room", func() bool { n, accepted := p.waits(); return n == 1 && accepted == 2 })
	close(s.letGo)
	if err := errors.Join(<-first, <-fourth); err != nil {
		t.Error(err)
	}
	if err := <-begin(ctx, p, Decoded("late", predicttest.Photo(6))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	if _, accepted := p.waits(); accepted != 0 {
		t.Errorf("%d images are accepted after all are answered", accepted)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	p := predictor(t, Options{Queue: 1, Refuse: true})
	s := newSlow(t)
	first := begin(t.Context(), p, Reader("slow", s))
	<-s.started
	if err := <-begin(t.Context(), p, Decoded("second", predicttest.Photo(2))); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	close(s.letGo)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// One caller alone does not wait for others.
func TestAloneIsNotDelayed(t *testing.T) {
	p := predictor(t, Options{Wait: time.Hour})
	for i := range 3 {
		if err := <-begin(t.Context(), p, Decoded("photo", predicttest.Photo(i))); err != nil {
			t.Fatal(err)
		}
	}
}

// Others that take too long are not waited for.
func TestWaitEnds(t *testing.T) {
	p := predictor(t, Options{Wait: 10 * time.Millisecond})
	s := newSlow(t)
	first := begin(t.Context(), p, Reader("slow", s))
	<-s.started
	if err := <-begin(t.Context(), p, Decoded("second", predicttest.Photo(2))); err != nil {
		t.Error(err)
	}
	close(s.letGo)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// Shutdown answers what was accepted and nothing else.
func TestShutdown(t *testing.T) {
	p := predictor(t, Options{Wait: time.Hour})
	s := newSlow(t)
	first := begin(t.Context(), p, Reader("slow", s))
	<-s.started
	second := begin(t.Context(), p, Decoded("second", predicttest.Photo(2)))
	eventually(t, "the second does not wait", func() bool { n, _ := p.waits(); return n == 1 })
	down := make(chan error)
	go func() { down <- p.Shutdown(t.Context()) }()
	eventually(t, "Shutdown does not close", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.closed
	})
	if err := <-begin(t.Context(), p, Decoded("third", predicttest.Photo(3))); !errors.Is(err, ErrClosed) {
		t.Errorf("the third gets %v", err)
	}
	close(s.letGo)
	if err := errors.Join(<-first, <-second, <-down); err != nil {
		t.Error(err)
	}
}

// Close answers with an error what was accepted.
func TestClose(t *testing.T) {
	p := predictor(t, Options{Wait: time.Hour})
	s := newSlow(t)
	first := begin(t.Context(), p, Reader("slow", s))
	<-s.started
	second := begin(t.Context(), p, Decoded("second", predicttest.Photo(2)))
	eventually(t, "the second does not wait", func() bool { n, _ := p.waits(); return n == 1 })
	closed := make(chan error)
	go func() { closed <- p.Close() }()
	if err := <-second; !errors.Is(err, ErrClosed) {
		t.Errorf("the second gets %v", err)
	}
	close(s.letGo)
	if err := <-first; !errors.Is(err, ErrClosed) {
		t.Errorf("the first gets %v", err)
	}
	if err := errors.Join(<-closed, p.Close()); err != nil {
		t.Error(err)
	}
	if err := <-begin(t.Context(), p, Decoded("late", predicttest.Photo(3))); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed predictor says %v", err)
	}
}

// A bad image is its own caller's error only.
func TestBadImages(t *testing.T) {
	p := predictor(t, Options{})
	good := begin(t.Context(), p, Decoded("good", predicttest.Photo(1)))
	for _, m := range []Image{Bytes("photo", []byte("no image")), File(filepath.Join(t.TempDir(), "photo")), Decoded("photo", image.NewGray(image.Rectangle{}))} {
		err := <-begin(t.Context(), p, m)
		if e, ok := errors.AsType[*data.Error](err); !ok || filepath.Base(e.Path) != "photo" {
			t.Errorf("got %v, want a data.Error of photo", err)
		}
	}
	if err := <-good; err != nil {
		t.Error(err)
	}
	_, err := p.ClassifyAll(t.Context(), []Request{{Image: Decoded("good", predicttest.Photo(1))}, {Image: Bytes("photo", []byte("no image"))}})
	if !errors.As(err, new(*data.Error)) {
		t.Errorf("ClassifyAll: %v", err)
	}
}

// What no network can answer is a RequestError, before anything is computed.
func TestBadRequests(t *testing.T) {
	p := predictor(t, Options{})
	n := p.network.values()
	infinite := make([]float32, n)
	infinite[7] = float32(math.Inf(-1))
	for want, r := range map[string]Request{
		"predict: 5 pixel values, but the network takes 3072":                         {Image: Pixels(make([]uint8, 5))},
		"predict: 0 values, but the network takes 3072":                               {Image: Values([]float32{})},
		"predict: value 7 of 3072 is -Inf":                                            {Image: Values(infinite)},
		"predict: activations of normalised values: they need an image or its pixels": {Image: Values(make([]float32, n)), Activations: []int{0}},
		"predict: there is no class 5: the network has 5, from 0":                     {Image: Pixels(make([]uint8, n)), Activations: []int{classes}},
	} {
		_, err := p.Classify(t.Context(), r)
		if !errors.As(err, new(*RequestError)) || err.Error() != want {
			t.Errorf("got %v, want a RequestError %q", err, want)
		}
	}
}

// broken is a CPU to which nothing can be brought any more.
type broken struct {
	*cpu.Backend
	err error
}

func (b *broken) Send(dst backend.View, src []byte) error {
	if b.err != nil {
		return b.err
	}
	return b.Backend.Send(dst, src)
}

func TestBrokenDevice(t *testing.T) {
	b, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	lost := &backend.Error{Device: "test", Op: "stage", Err: errors.New("lost")}
	n := on(t, predicttest.File(t), &broken{b, lost})
	p, err := New(n, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-begin(t.Context(), p, Decoded("photo", predicttest.Photo(1))); !errors.Is(err, lost) {
		t.Errorf("got %v, want the device's error", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// Many callers, of which some give up, all get their own image's answer.
func TestManyCallers(t *testing.T) {
	n := network(t, 2)
	set, paths := photos(t, 6)
	want, _ := swept(t, n, set, 6)
	p, err := New(n, Options{Batch: 8, Queue: 12, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for c := range 8 {
		callers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 5))
			for range 15 {
				i := rng.IntN(len(paths))
				ctx, cancel := context.WithCancel(t.Context())
				if rng.IntN(4) == 0 {
					time.AfterFunc(time.Duration(rng.IntN(2000))*time.Microsecond, cancel)
				}
				r := Request{Image: File(paths[i]), Features: rng.IntN(2) == 0}
				if rng.IntN(5) == 0 {
					r.Activations = []int{Likeliest}
				}
				a, err := p.Classify(ctx, r)
				switch {
				case err != nil && ctx.Err() == nil:
					t.Error(err)
				case err == nil && !slices.Equal(a.Heads[0].Values, want[i]):
					t.Errorf("image %d: %v, want %v", i, a.Heads[0].Values, want[i])
				}
				cancel()
			}
		})
	}
	callers.Wait()
	if err := p.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if waiting, accepted := p.waits(); waiting != 0 || accepted != 0 {
		t.Errorf("%d wait and %d are accepted in the end", waiting, accepted)
	}
}

// Top is a stable sort, cut off.
func TestTop(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	s := Scores{Head: &Head{Classes: make([]string, 50)}, Values: make([]float64, 50)}
	for range 20 {
		for i := range s.Values {
			s.Values[i] = float64(rng.IntN(20)) // with equal ones
		}
		order := make([]int, len(s.Values))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s.Values[b], s.Values[a]) })
		for _, k := range []int{0, 1, 5, 49, 50, 99} {
			var got []int
			for _, c := range s.Top(k) {
				got = append(got, c.Index)
			}
			if want := order[:cmp.Or(min(k, 50), 50)]; !slices.Equal(got, want) {
				t.Fatalf("top %d of %v: %v, want %v", k, s.Values, got, want)
			}
		}
	}
}

func TestPassSizes(t *testing.T) {
	for most, want := range map[int][]passSize{1: {{1, 1}}, 2: {{2, 2}, {1, 1}}, 16: {{16, 12}, {4, 3}, {1, 1}}, 10: {{10, 8}, {2, 2}, {1, 1}}} {
		if sizes := passSizes(most, 0); !slices.Equal(sizes, want) {
			t.Errorf("passes of %v for %d images, want %v", sizes, most, want)
		}
	}
	for threads, want := range map[int]int{1: 16, 3: 16, 4: 1, 8: 1} {
		if size := passFor(passSizes(16, threads), 3); size != want {
			t.Errorf("three images on %d threads are computed by passes of %d, want %d", threads, size, want)
		}
	}
	if size := passFor(passSizes(16, 2), 1); size != 1 {
		t.Errorf("an image is computed by a pass of %d", size)
	}
}

func TestOptions(t *testing.T) {
	n := network(t, 1)
	defer n.Close()
	for _, opt := range []Options{{Batch: -1}, {Queue: 1 << 20}, {Workers: -2}} {
		if _, err := New(n, opt); err == nil {
			t.Errorf("%+v is no error", opt)
		}
	}
}

func TestHeads(t *testing.T) {
	logits := []float32{0, 2, 2, -1}
	for kind, want := range map[Kind][]float64{
		Sigmoid: {0.5, 1 / (1 + math.Exp(-2)), 1 / (1 + math.Exp(-2)), 1 / (1 + math.E)},
		Value:   {0, 2, 2, -1},
	} {
		s := Scores{&Head{"test", kind, []string{"a", "b", "c", "d"}, nil}, scores[kind](logits)}
		if !slices.Equal(s.Values, want) {
			t.Errorf("%s: %v, want %v", kind, s.Values, want)
		}
		if s.Best().Name != "b" || len(s.Top(0)) != 4 || s.Top(3)[2].Name != "a" || s.Top(2)[1].Name != "c" {
			t.Errorf("%s: best %+v, top %+v", kind, s.Best(), s.Top(0))
		}
	}
	sum := 0.
	for _, v := range scores[Softmax](logits) {
		sum += v
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("softmax: %v in all", sum)
	}
	n := network(t, 1)
	defer n.Close()
	head := n.Scores([]float32{0, 0, 9, 0, 0})[0]
	if c := head.Top(1)[0]; c.Name != "c" || c.Label != "C" || c.Index != 2 || head.Kind != Softmax {
		t.Errorf("got %+v of %+v", c, head.Head)
	}
}

func TestLoadFails(t *testing.T) {
	b, err := cpu.New(1)
	if err != nil {
		t.Fatal(err)
	}
	path := predicttest.File(t)
	w, err := weights.Open(path, weights.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	w.Tensors = w.Tensors[1:]
	if _, err := Load(w, path, b); !errors.As(err, new(*checkpoint.Error)) {
		t.Errorf("got %v, want a checkpoint.Error", err)
	}
}
