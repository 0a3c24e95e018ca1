package classify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"effnet/classify"
	"effnet/internal/predict/predicttest"
)

func open(t testing.TB, o classify.Options) *classify.Classifier {
	t.Helper()
	c, err := classify.Open(predicttest.File(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func photos(t testing.TB, n int) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("%d.png", i)))
		if err := os.WriteFile(paths[i], predicttest.Encoded(t, predicttest.Photo(i)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// Eight goroutines get the bits that effnet predict prints.
func TestSameAsPredict(t *testing.T) {
	network, paths := predicttest.File(t), photos(t, 20)
	command := exec.CommandContext(t.Context(), "go", append([]string{"run", "../cmd/effnet", "predict", network, "--topk", "0", "--json"}, paths...)...)
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []struct {
		Predictions []struct {
			Class, Label string
			Index        int
			Probability  float64
		}
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	c, err := classify.Open(network, classify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := g; i < 2*len(paths); i++ {
				i := i % len(paths)
				results, err := c.Classify(t.Context(), classify.File(paths[i]))
				if err != nil {
					t.Error(err)
					return
				}
				for k, p := range results[0].Top(0) {
					if w := want[i].Predictions[k]; p.Name != w.Class || p.Label != w.Label || p.Index != w.Index || p.Probability != w.Probability {
						t.Errorf("image %d: %+v, predict says %+v", i, p, w)
					}
				}
			}
		})
	}
	all.Wait()
}

func TestResults(t *testing.T) {
	c := open(t, classify.Options{Batch: 4})
	paths := photos(t, 6)
	var images []classify.Image
	for _, path := range paths {
		images = append(images, classify.File(path))
	}
	results, err := c.Classify(t.Context(), images...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		var sum, odds float64
		for _, z := range r.Logits {
			odds += math.Exp(float64(z))
		}
		for k, p := range r.Probabilities {
			sum += p
			if want := math.Exp(float64(r.Logits[k])) / odds; math.Abs(p-want) > 1e-6 {
				t.Errorf("image %d: probability %d is %v, of the logits %v", i, k, p, want)
			}
		}
		top := r.Top(2)
		if math.Abs(sum-1) > 1e-9 || len(top) != 2 || top[0] != r.Best() || top[0].Probability < top[1].Probability || top[0].Probability != slices.Max(r.Probabilities) {
			t.Errorf("image %d: sum %v, top %+v, best %+v", i, sum, top, r.Best())
		}
	}
	features, err := c.Features(t.Context(), images...)
	if err != nil || len(features) != 6 || len(features[0]) != len(features[5]) || slices.Equal(features[0], features[5]) {
		t.Errorf("%d features, %v", len(features), err)
	}
	if none, err := c.Classify(t.Context()); err != nil || len(none) != 0 {
		t.Errorf("no images: %v, %v", none, err)
	}
	if got, want := c.Classes()[2], (classify.Class{Name: "c", Label: "C", Index: 2}); got != want {
		t.Errorf("class %+v, want %+v", got, want)
	}
	if p := c.Preprocessing(); p.Side != 32 || p.Crop != "timm" || p.CropPct != 0.9 || p.Interpolation != "bicubic" || p.Mean[0] != 124 || p.Std[2] != 57 {
		t.Errorf("%+v", p)
	}
}

func TestCAM(t *testing.T) {
	c := open(t, classify.Options{})
	m := classify.Decoded("photo", predicttest.Photo(1))
	cam, err := c.CAM(t.Context(), m, classify.Likeliest)
	if err != nil {
		t.Fatal(err)
	}
	results, err := c.Classify(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if cam.Prediction != results[0].Best() || len(cam.Values) != cam.Side*cam.Side || cam.Picture.Rect.Dx() != 32 || cam.Overlay().Rect != cam.Picture.Rect {
		t.Errorf("%+v of %+v", cam, results[0].Best())
	}
	if third, err := c.CAM(t.Context(), m, 3); err != nil || third.Prediction.Name != "d" || slices.Equal(third.Values, cam.Values) == (cam.Prediction.Index != 3) {
		t.Errorf("%+v, %v", third, err)
	}
}

// Every kind of error can be told apart, and says what it is about.
func TestErrors(t *testing.T) {
	c := open(t, classify.Options{})
	var cut bytes.Buffer
	if err := jpeg.Encode(&cut, predicttest.Photo(1), nil); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "none.jpg")
	for name, m := range map[string]classify.Image{
		"upload":  classify.Bytes("upload", cut.Bytes()[:cut.Len()/2]),
		"text":    classify.Reader("text", strings.NewReader("no image")),
		missing:   classify.File(missing),
		"nothing": classify.Bytes("nothing", nil),
	} {
		_, err := c.Classify(t.Context(), classify.Decoded("good", predicttest.Photo(2)), m)
		if e, ok := errors.AsType[*classify.ImageError](err); !ok || e.Name != name || !strings.HasPrefix(err.Error(), "classify: "+name+": ") {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, os.ErrNotExist) != (name == missing) {
			t.Errorf("%s: the cause is lost: %v", name, err)
		}
	}
	if _, err := c.CAM(t.Context(), classify.Decoded("good", predicttest.Photo(2)), 99); !errors.As(err, new(*classify.OptionError)) {
		t.Errorf("a class that is not there: %v", err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged.safetensors")
	if err := os.WriteFile(damaged, []byte("damaged"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{damaged, missing} {
		_, err := classify.Open(path, classify.Options{})
		if e, ok := errors.AsType[*classify.NetworkError](err); !ok || e.Network != path {
			t.Errorf("%s: %v", path, err)
		}
	}
	network := predicttest.File(t)
	for _, o := range []classify.Options{{Device: "tpu"}, {Precision: "fp8"}, {Kernels: "mmx"}, {Batch: -1}, {Threads: -1}} {
		_, err := classify.Open(network, o)
		if !errors.As(err, new(*classify.OptionError)) || strings.Contains(err.Error(), "--") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestContextAndClose(t *testing.T) {
	c, err := classify.Open(predicttest.File(t), classify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := classify.Decoded("photo", predicttest.Photo(1))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Classify(ended, m); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := c.Features(late, m); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline that is past: %v", err)
	}
	if err := errors.Join(c.Shutdown(t.Context()), c.Close()); err != nil {
		t.Error(err)
	}
	if _, err := c.Classify(t.Context(), m); !errors.Is(err, classify.ErrClosed) {
		t.Errorf("a closed classifier: %v", err)
	}
}
