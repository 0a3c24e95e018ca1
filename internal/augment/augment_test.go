package augment

import (
	"encoding/json"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// source is tools/golden/augment.py's synthetic image.
func source(w, h int) *Image {
	m := new(Image)
	m.Reset(w, h)
	for i := range m.Pix {
		c, x, y := uint32(i%3), uint32(i/3%w), uint32(i/3/w)
		v := (y/3*73856093 ^ x/2*19349663 ^ c*83492791) * 2654435761
		switch v >> 30 {
		case 3:
			m.Pix[i] = 255
		case 0:
			m.Pix[i] = 0
		default:
			m.Pix[i] = uint8(v >> 24)
		}
	}
	return m
}

// transform is all a pipeline does with a Transform.
func transform(t Transform, dst, src *Image, z *Resizer, rng *rand.Rand) {
	z.Prepare(t.View(src.W, src.H, dst.W, rng), src.W, src.H, dst.W, dst.H)
	z.Draw(dst, src)
	t.Finish(dst, rng, new([]uint8))
}

func resizer(t testing.TB, i Interpolation) *Resizer {
	t.Helper()
	z, err := NewResizer(i)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestEqualsPillow(t *testing.T) {
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			Interpolation Interpolation
			W, H          int
			Box           *[4]float32
			Crop          Crop
			Pct           float64
			Out           [2]int
			Pix           []byte
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	// One Resizer for every case, so that scratch left by one is seen by the next.
	resizers := map[Interpolation]*Resizer{Bilinear: resizer(t, Bilinear), Bicubic: resizer(t, Bicubic)}
	for _, c := range golden.Cases {
		t.Run(fmt.Sprintf("%s%s_%dx%d_%v", c.Interpolation, c.Crop, c.W, c.H, c.Out), func(t *testing.T) {
			var dst Image
			dst.Reset(c.Out[0], c.Out[1])
			src, z := source(c.W, c.H), resizers[c.Interpolation]
			if c.Box != nil {
				if err := z.Resize(&dst, src, Box{c.Box[0], c.Box[1], c.Box[2], c.Box[3]}); err != nil {
					t.Fatal(err)
				}
			} else {
				transform(Eval{Crop: c.Crop, CropPct: c.Pct}, &dst, src, z, nil)
			}
			for i := range dst.Pix {
				if dst.Pix[i] != c.Pix[i] {
					t.Fatalf("pixel %d,%d channel %d: got %d, Pillow has %d",
						i/3%dst.W, i/3/dst.W, i%3, dst.Pix[i], c.Pix[i])
				}
			}
		})
	}
}

func TestResizeRefusesBox(t *testing.T) {
	z, src, dst := resizer(t, Bicubic), source(8, 6), source(4, 4)
	nan := float32(math.NaN())
	for _, box := range []Box{{0, 0, 8.1, 6}, {0, 0, 8, 6.1}, {-1, 0, 8, 6}, {3, 0, 3, 6}, {0, 5, 8, 2}, {nan, 0, 8, 6}} {
		if err := z.Resize(dst, src, box); err == nil {
			t.Errorf("box %v of an 8x6 image: no error", box)
		}
	}
}

// A huge aspect ratio must cost no more memory than the output asks for.
func TestDrawIsBounded(t *testing.T) {
	var dst Image
	dst.Reset(32, 32)
	src := source(1<<16, 1)
	z := resizer(t, Bicubic)
	transform(Eval{Crop: CropTimm, CropPct: 0.875}, &dst, src, z, nil)
	if n := cap(z.rows); n > 1<<16 {
		t.Errorf("%d bytes of scratch rows for a 32x32 output", n)
	}
}

func TestRandomResizedCropStaysInRange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	scale, ratio := [2]float64{0.08, 1}, [2]float64{3. / 4, 4. / 3}
	const w, h, n = 640, 480, 4000
	var meanShare, corner float64
	for range n {
		v := RandomResizedCrop(rng, scale, ratio, w, h, 224)
		c := v.Crop
		if c.Empty() || !c.In(image.Rect(0, 0, w, h)) || v.W != 224 || v.H != 224 {
			t.Fatalf("view %+v of a %dx%d image", v, w, h)
		}
		share := float64(c.Dx()*c.Dy()) / (w * h)
		aspect := float64(c.Dx()) / float64(c.Dy())
		if share < 0.079 || share > 1 || aspect < 0.74 || aspect > 1.35 {
			t.Fatalf("crop %v: share %.3f, aspect %.3f", c, share, aspect)
		}
		meanShare += share / n
		corner += float64(c.Min.X) / float64(max(w-c.Dx(), 1)) / n
	}
	// torchvision.transforms.RandomResizedCrop.get_params gives 0.433 over 20,000 draws.
	if math.Abs(meanShare-0.433) > 0.015 {
		t.Errorf("mean share of the area %.3f, want about 0.433", meanShare)
	}
	if math.Abs(corner-0.5) > 0.03 {
		t.Errorf("mean left edge at %.3f of its range, want about 0.5", corner)
	}
}

func TestRandomResizedCropFallsBackToCentre(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	scale, ratio := [2]float64{0.5, 1}, [2]float64{3. / 4, 4. / 3}
	for _, c := range []struct {
		w, h int
		want image.Rectangle
	}{
		{900, 30, image.Rect(430, 0, 470, 30)}, // 30 * 4/3 wide
		{30, 900, image.Rect(0, 430, 30, 470)},
		{1, 1, image.Rect(0, 0, 1, 1)},
	} {
		if got := RandomResizedCrop(rng, scale, ratio, c.w, c.h, 224).Crop; got != c.want {
			t.Errorf("%dx%d: crop %v, want %v", c.w, c.h, got, c.want)
		}
	}
}

func TestTrainFlipsHalf(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	z, src := resizer(t, Bilinear), source(6, 1)
	whole := Train{Scale: [2]float64{1, 1}, Ratio: [2]float64{6, 6}, HFlip: 0.5}
	var plain, mirrored, dst Image
	plain.Reset(6, 6)
	mirrored.Reset(6, 6)
	dst.Reset(6, 6)
	z.Prepare(View{Crop: image.Rect(0, 0, 6, 1), W: 6, H: 6}, src.W, src.H, 6, 6)
	z.Draw(&plain, src)
	for i := range 36 { // pixel by pixel: y = i/6, x = i%6
		copy(mirrored.Pix[3*i:3*i+3], plain.Pix[3*(i/6*6+5-i%6):])
	}
	flips := 0
	for range 400 {
		transform(whole, &dst, src, z, rng)
		switch {
		case slices.Equal(dst.Pix, mirrored.Pix):
			flips++
		case !slices.Equal(dst.Pix, plain.Pix):
			t.Fatalf("neither the image nor its mirror: %v", dst.Pix)
		}
	}
	if flips < 160 || flips > 240 {
		t.Errorf("%d of 400 flipped, want about half", flips)
	}
}

func TestNormalize(t *testing.T) {
	n, err := NewNormalizer([3]float64{123.675, 116.28, 103.53}, [3]float64{58.395, 57.12, 57.375})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 6)
	n.Apply(got, &Image{W: 2, H: 1, Pix: []uint8{0, 0, 0, 255, 128, 104}})
	want := []float64{-2.1179, -2.0357, -1.8044, 2.2489, 0.2052, 0.0082} // torchvision's Normalize
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > 5e-5 {
			t.Errorf("value %d: %.4f, want %.4f", i, got[i], want[i])
		}
	}
}

func TestValidate(t *testing.T) {
	ok := Train{[2]float64{0.08, 1}, [2]float64{0.75, 1.33}, 0.5, nil}
	bad := []Transform{
		Train{[2]float64{0, 1}, ok.Ratio, 0, nil}, Train{[2]float64{0.5, 1.1}, ok.Ratio, 0, nil},
		Train{[2]float64{0.9, 0.5}, ok.Ratio, 0, nil}, Train{ok.Scale, [2]float64{2, 1}, 0, nil},
		Train{ok.Scale, [2]float64{math.NaN(), 1}, 0, nil}, Train{ok.Scale, ok.Ratio, 1.5, nil},
		Eval{Crop: "centre", CropPct: 0.875}, Eval{Crop: CropTimm, CropPct: 0}, Eval{Crop: CropTorchvision, CropPct: 1.01}, Eval{Crop: CropTimm, CropPct: math.NaN()},
	}
	for _, tr := range bad {
		if tr.Validate() == nil {
			t.Errorf("%+v: no error", tr)
		}
	}
	for _, tr := range []Transform{ok, Eval{Crop: CropTF, CropPct: 0}, Eval{Crop: CropTimm, CropPct: 1}} {
		if err := tr.Validate(); err != nil {
			t.Error(err)
		}
	}
	if _, err := NewResizer("cubic"); err == nil {
		t.Error("interpolation cubic: no error")
	}
	if _, err := NewNormalizer([3]float64{}, [3]float64{1, 0, 1}); err == nil {
		t.Error("standard deviation 0: no error")
	}
}

func BenchmarkTrain(b *testing.B) {
	z, src := resizer(b, Bicubic), source(500, 375)
	tr := Train{[2]float64{0.08, 1}, [2]float64{3. / 4, 4. / 3}, 0.5, nil}
	rng := rand.New(rand.NewPCG(1, 1))
	var dst Image
	dst.Reset(224, 224)
	b.ReportAllocs()
	for b.Loop() {
		transform(tr, &dst, src, z, rng)
	}
}

// Corners of a photograph whose colours say where they are.
func TestCornerCrops(t *testing.T) {
	src := new(Image)
	src.Reset(40, 30)
	for i := range src.W * src.H {
		src.Pix[3*i], src.Pix[3*i+1], src.Pix[3*i+2] = uint8(i%40), uint8(i/40), 7
	}
	z := resizer(t, Bilinear)
	var dst Image
	dst.Reset(20, 20)
	for _, c := range []struct {
		eval Eval
		x, y uint8 // of the first pixel shown
	}{
		{Eval{Crop: CropTimm, CropPct: 2. / 3}, 10, 5}, {Eval{Crop: CropTimm, CropPct: 2. / 3, Corner: TopLeft}, 0, 0},
		{Eval{Crop: CropTimm, CropPct: 2. / 3, Corner: TopRight}, 20, 0}, {Eval{Crop: CropTimm, CropPct: 2. / 3, Corner: BottomLeft}, 0, 10},
		{Eval{Crop: CropTimm, CropPct: 2. / 3, Corner: BottomRight}, 20, 10}, {Eval{Crop: CropTimm, CropPct: 2. / 3, Corner: BottomRight, Flip: true}, 39, 10},
	} {
		transform(c.eval, &dst, src, z, nil)
		if dst.Pix[0] != c.x || dst.Pix[1] != c.y {
			t.Errorf("%+v begins at %d,%d, want %d,%d", c.eval, dst.Pix[0], dst.Pix[1], c.x, c.y)
		}
	}
	for corner, want := range map[Corner]image.Rectangle{TopLeft: image.Rect(0, 0, 26, 26), BottomRight: image.Rect(14, 4, 40, 30)} {
		if got := (Eval{Crop: CropTF, Corner: corner}).View(40, 30, 224, nil).Crop; got != want {
			t.Errorf("corner %d: %v, want %v", corner, got, want)
		}
	}
}
