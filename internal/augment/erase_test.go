package augment

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// erased erases in an image of sevens and returns it with what was erased: how
// many pixels, and the smallest rectangle around them.
func erased(e Erase, w, h int, rng *rand.Rand) (dst []float32, pixels, width, height int) {
	dst = slices.Repeat([]float32{7}, 3*w*h)
	e.Apply(dst, w, h, rng)
	left, right, top, bottom := w, 0, h, 0
	for i := 0; i < len(dst); i += 3 {
		if x, y := i/3%w, i/3/w; dst[i] != 7 {
			pixels++
			left, right = min(left, x), max(right, x+1)
			top, bottom = min(top, y), max(bottom, y+1)
		}
	}
	return dst, pixels, max(right-left, 0), max(bottom-top, 0)
}

func TestErase(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const w, h, n = 96, 64, 4000
	e := Erase{Prob: 1, Mode: EraseConst, Count: 1, MinArea: 0.02, MaxArea: 1. / 3, MinAspect: 0.3}
	mean, tall := 0.0, 0.0
	for range n {
		dst, pixels, ew, eh := erased(e, w, h, rng)
		share, aspect := float64(pixels)/(w*h), float64(eh)/float64(ew)
		if pixels != ew*eh || share < 0.018 || share > 0.34 || aspect < 0.27 || aspect > 3.7 {
			t.Fatalf("erased %d pixels of %dx%d, in %dx%d", pixels, w, h, ew, eh)
		}
		for i, v := range dst {
			if v != 7 && v != 0 || v != dst[i-i%3] {
				t.Fatalf("value %d is %v", i, v)
			}
		}
		mean += share / n
		if eh > ew {
			tall += 1.0 / n
		}
	}
	// timm.data.random_erasing.RandomErasing over 20,000 images of 64x96: 0.170, 0.460.
	if math.Abs(mean-0.170) > 0.006 || math.Abs(tall-0.460) > 0.03 {
		t.Errorf("mean share %.3f, %.3f taller than wide; timm has 0.170, 0.460", mean, tall)
	}

	whole := Erase{Prob: 1, Mode: EraseConst, Count: 1, MinArea: 1, MaxArea: 1, MinAspect: 1}
	if _, pixels, _, _ := erased(whole, 4, 4, rng); pixels != 0 {
		t.Errorf("a rectangle as large as the image erased %d pixels", pixels)
	}

	e.Count, mean = 3, 0
	for range n {
		_, pixels, _, _ := erased(e, w, h, rng)
		mean += float64(pixels) / (w * h * n)
	}
	// The same with max_count=3.
	if math.Abs(mean-0.166) > 0.005 {
		t.Errorf("mean share of 1 to 3 rectangles %.3f; timm has 0.166", mean)
	}
}

func TestErasePixels(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	e := Erase{Prob: 0.25, Mode: ErasePixel, Count: 1, MinArea: 0.1, MaxArea: 0.2, MinAspect: 0.5}
	images, values, sum, squares := 0.0, 0.0, 0.0, 0.0
	for range 2000 {
		dst, pixels, _, _ := erased(e, 30, 40, rng)
		if pixels > 0 {
			images++
		}
		for _, v := range dst {
			if v != 7 {
				values++
				sum += float64(v)
				squares += float64(v) * float64(v)
			}
		}
	}
	if images < 425 || images > 575 {
		t.Errorf("%v of 2000 images are erased, want about 500", images)
	}
	if m, s := sum/values, math.Sqrt(squares/values); math.Abs(m) > 0.01 || math.Abs(s-1) > 0.01 {
		t.Errorf("erased values have mean %.4f and deviation %.4f, want 0 and 1", m, s)
	}
}

func TestEraseOffDrawsNothing(t *testing.T) {
	rng, fresh := rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(1, 1))
	Erase{}.Apply(make([]float32, 3), 1, 1, rng)
	Mix{Mixup: 1}.Draw(1, 1, rng)
	Mix{Prob: 1}.Draw(1, 1, rng)
	if rng.Uint64() != fresh.Uint64() {
		t.Error("the generator has moved")
	}
}

func TestEraseValidate(t *testing.T) {
	ok := Erase{Prob: 0.25, Mode: EraseConst, Count: 1, MinArea: 0.02, MaxArea: 1. / 3, MinAspect: 0.3}
	for _, e := range []Erase{ok, {}, {Prob: 1, Mode: ErasePixel, Count: 3, MinArea: 1, MaxArea: 1, MinAspect: 1}} {
		if err := e.Validate(); err != nil {
			t.Error(err)
		}
	}
	for what, change := range map[string]func(*Erase){
		"probability": func(e *Erase) { e.Prob = 1.5 },
		"NaN":         func(e *Erase) { e.Prob = math.NaN() },
		"mode":        func(e *Erase) { e.Mode = "rand" },
		"count":       func(e *Erase) { e.Count = 0 },
		"no area":     func(e *Erase) { e.MinArea = 0 },
		"areas":       func(e *Erase) { e.MinArea = 0.5 },
		"area":        func(e *Erase) { e.MaxArea = 1.1 },
		"aspect":      func(e *Erase) { e.MinAspect = 2 },
	} {
		e := ok
		change(&e)
		if e.Validate() == nil {
			t.Errorf("%s: no error for %+v", what, e)
		}
	}
}

func FuzzErase(f *testing.F) {
	f.Add(uint8(0), uint8(0), 0.02, 0.3, uint64(1))
	f.Add(uint8(9), uint8(1), 1.0, 0.01, uint64(2))
	f.Fuzz(func(_ *testing.T, w, h uint8, area, aspect float64, seed uint64) {
		e := Erase{Prob: 1, Mode: EraseConst, Count: 5, MinArea: area, MaxArea: 1, MinAspect: aspect}
		if e.Validate() != nil {
			return
		}
		erased(e, int(w)+1, int(h)+1, rand.New(rand.NewPCG(seed, 0)))
	})
}

func BenchmarkErase(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	dst := make([]float32, 3*224*224)
	for _, mode := range []EraseMode{EraseConst, ErasePixel} {
		b.Run(string(mode), func(b *testing.B) {
			e := Erase{Prob: 1, Mode: mode, Count: 1, MinArea: 0.02, MaxArea: 1. / 3, MinAspect: 0.3}
			for b.Loop() {
				e.Apply(dst, 224, 224, rng)
			}
		})
	}
}
