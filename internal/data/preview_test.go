package data

import (
	"bytes"
	"context"
	"math"
	"slices"
	"testing"

	"effnet/internal/augment"
)

// The sheet shows what evaluation and the first epochs of training read.
func TestPreviewIsWhatTrainingSees(t *testing.T) {
	s := noise(t, 9)
	training := trainOptions()
	training.BatchSize = 1
	training.Erase = augment.Erase{Prob: 0.5, Mode: augment.ErasePixel, Count: 1, MinArea: 0.02, MaxArea: 1. / 3, MinAspect: 0.3}
	evaluation := options(augment.Eval{Crop: augment.CropTF})
	const rows, cols = 4, 3
	sheet, err := Preview(s, training, evaluation, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	size := training.Size
	if b := sheet.Bounds(); b.Dx() != cols*size || b.Dy() != rows*size {
		t.Fatalf("a sheet of %v", b)
	}
	picks := pick(s, rows, training.Seed)
	for r, i := range picks {
		if want := r % 3; s.Label(i) != want {
			t.Errorf("row %d is of class %d, want %d", r, s.Label(i), want)
		}
	}
	wantCell := func(r, c int, pixels []float32) {
		t.Helper()
		for p, v := range pixels {
			x, y, channel := p/3%size, p/3/size, p%3
			if c == 0 && y < 16 {
				continue // the label
			}
			want := min(max(math.Round(float64(v)*training.Std[channel]+training.Mean[channel]), 0), 255)
			if got := sheet.Pix[sheet.PixOffset(c*size+x, r*size+y)+channel]; float64(got) != want {
				t.Fatalf("row %d, column %d, pixel %d,%d: %d, want %v", r, c, x, y, got, want)
			}
		}
	}
	l := loader(t, s, training)
	for epoch := range cols - 1 {
		seen := 0
		for batch, err := range l.Epoch(context.Background(), epoch, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if r := slices.Index(picks, batch.Index[0]); r >= 0 {
				wantCell(r, epoch+1, batch.Images)
				seen++
			}
		}
		if seen == 0 {
			t.Error("no image of the sheet in the epoch")
		}
	}
	for r, i := range picks {
		pixels, err := evaluation.Load(s.Path(i))
		if err != nil {
			t.Fatal(err)
		}
		wantCell(r, 0, pixels)
	}
	again, err := Preview(s, training, evaluation, rows, cols)
	if err != nil || !bytes.Equal(again.Pix, sheet.Pix) {
		t.Errorf("another sheet the second time: %v", err)
	}
	training.Mix = augment.Mix{Mixup: 1, Prob: 1}
	if mixed, err := Preview(s, training, evaluation, rows, cols); err != nil || bytes.Equal(mixed.Pix, sheet.Pix) {
		t.Errorf("mixup does not show: %v", err)
	}
}
