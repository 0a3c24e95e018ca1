package jpeg

import (
	"bytes"
	"image"
	"testing"

	"effnet/internal/imagetest"
	"effnet/internal/pixel"
)

func variants(t testing.TB) []imagetest.Variant {
	t.Helper()
	return imagetest.Variants(t, "testdata/variants.json.gz")
}

// Every variant of the format has Pillow's pixels, and those that Pillow refuses
// are refused.
func TestVariants(t *testing.T) {
	count := map[string]int{}
	for _, set := range pixel.Available() {
		d := &Decoder{set: set}
		for _, v := range variants(t) {
			count[v.Kind]++
			h, pix, err := d.decode(v.File, everything)
			switch {
			case v.Refused != "":
				if err == nil {
					t.Errorf("%s: %s: no error, Pillow has %q", v.Kind, v.Name, v.Refused)
				}
			case err != nil:
				t.Errorf("%s: %s: %v", v.Kind, v.Name, err)
			case h.Width != v.W || h.Height != v.H:
				t.Errorf("%s: %s: %dx%d, want %dx%d", v.Kind, v.Name, h.Width, h.Height, v.W, v.H)
			case imagetest.Hash(pix) != v.Pixels:
				t.Errorf("%s, %s: %s: other pixels", set.Name, v.Kind, v.Name)
			}
			if got := Orientation(v.File); v.Refused == "" && got != v.Orientation {
				t.Errorf("%s: %s: orientation %d, want %d", v.Kind, v.Name, got, v.Orientation)
			}
		}
	}
	t.Logf("files, times the sets of loops: %v", count)
}

// Regions of every variant are those of the whole.
func TestVariantRegions(t *testing.T) {
	d := New()
	for _, v := range variants(t) {
		if v.Refused != "" {
			continue
		}
		_, whole, err := d.decode(v.File, everything)
		if err != nil {
			t.Fatalf("%s: %s: %v", v.Kind, v.Name, err)
		}
		w, h := v.W, v.H
		for _, r := range []image.Rectangle{
			image.Rect(w/2, h/2, w, h), image.Rect(w/3, h/3, w/3+1, h/3+1), image.Rect(0, h-1, w, h), image.Rect(w-1, 0, w, h),
			image.Rect(min(9, w-1), min(17, h-1), w, h), image.Rect(0, 0, min(w, 9), min(h, 9)),
		} {
			_, pix, err := d.decode(v.File, r)
			if err != nil {
				t.Fatalf("%s: %s: %v: %v", v.Kind, v.Name, r, err)
			}
			for y := r.Min.Y; y < r.Max.Y; y++ {
				from, to := 3*(y*w+r.Min.X), 3*(y*w+r.Max.X)
				if !bytes.Equal(pix[from:to], whole[from:to]) {
					t.Fatalf("%s: %s: region %v: row %d differs", v.Kind, v.Name, r, y)
				}
			}
		}
	}
}
