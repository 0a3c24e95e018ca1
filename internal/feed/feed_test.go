package feed

import (
	"context"
	"iter"
	"slices"
	"testing"

	"effnet/internal/augment"
	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/data"
	"effnet/internal/data/datatest"
)

// What a pass reads is what a loader of float32 yields, to the bit, whether pixels or
// float32 are brought to the device, and while the next batch arrives.
func TestInput(t *testing.T) {
	b, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	set := datatest.Coloured(t, 11, 9)
	opt := data.Options{
		Pipeline:  data.Pipeline{Size: 9, Interpolation: augment.Bilinear, Transform: augment.Eval{Crop: augment.CropTimm, CropPct: 1}, Mean: [3]float64{124, 116, 104}, Std: [3]float64{58, 57, 57.5}},
		BatchSize: 3, Workers: 2, Prefetch: 1, Shuffle: true, Mix: augment.Mix{Mixup: 1, CutMix: 1, Prob: 0.8, SwitchProb: 0.5},
	}
	epoch := func(opt data.Options) func() (*data.Batch, error, bool) {
		loader, err := data.NewLoader(set, opt)
		if err != nil {
			t.Fatal(err)
		}
		next, stop := iter.Pull2(loader.Epoch(context.Background(), 0, 0))
		t.Cleanup(stop)
		return next
	}
	for _, opt := range []data.Options{opt, opt.WithPixels()} {
		images, err := backend.NewView(b, 3*9*9*3)
		if err != nil {
			t.Fatal(err)
		}
		targets, err := backend.NewView(b, 6)
		if err != nil {
			t.Fatal(err)
		}
		in, err := NewInput(b, opt, images, targets)
		if err != nil {
			t.Fatal(err)
		}
		plain, next := epoch(data.Options{Pipeline: opt.Pipeline, BatchSize: 3, Workers: 1, Shuffle: true, Mix: opt.Mix}), epoch(opt)
		stage := func(number int) {
			batch, err, ok := next()
			if err != nil || !ok {
				t.Fatal(err)
			}
			if err := in.Send(batch, slices.Repeat([]float32{float32(number)}, 6)); err != nil {
				t.Fatal(err)
			}
		}
		stage(0)
		got, gotTargets := make([]float32, images.Len), make([]float32, 6)
		for number := range 4 {
			if err := in.Take(); err != nil {
				t.Fatal(err)
			}
			if number < 3 {
				stage(number + 1)
			}
			want, _, _ := plain()
			if err := b.Download(got, images); err != nil || !slices.Equal(got, want.Images) {
				t.Errorf("pixels %v, batch %d: other values, %v", opt.Pixels, number, err)
			}
			if err := b.Download(gotTargets, targets); err != nil || gotTargets[5] != float32(number) {
				t.Errorf("batch %d has the targets of %v, %v", number, gotTargets[5], err)
			}
		}
	}
}
