package augment

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// float32s decodes little-endian values.
func float32s(t *testing.T, data []byte) []float32 {
	t.Helper()
	v := make([]float32, len(data)/4)
	if err := binary.Read(bytes.NewReader(data), binary.LittleEndian, v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMixEqualsNumpy(t *testing.T) {
	var golden struct {
		Mixups []struct {
			N             int
			Lambda        float64
			Images, Mixed []byte // [N, 3, 2, 3]
		}
		Cutmixes []struct {
			W, H          int
			Lambda, Share float64
			Centre        [2]int
			Box           [4]int
		}
	}
	readGolden(t, "mix.json", &golden)
	if len(golden.Mixups) == 0 || len(golden.Cutmixes) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range golden.Mixups {
		got, want := float32s(t, c.Images), float32s(t, c.Mixed)
		mixup(got, c.N, float32(c.Lambda), float32(1-c.Lambda))
		if !slices.Equal(got, want) {
			t.Errorf("%d images, lambda %v: %v, numpy has %v", c.N, c.Lambda, got, want)
		}
	}
	for _, c := range golden.Cutmixes {
		b := cutBox(c.W, c.H, c.Centre[0], c.Centre[1], c.Lambda)
		if share := 1 - float64(b.Dx()*b.Dy())/float64(c.W*c.H); share != c.Share {
			t.Errorf("%+v: share %v", c, share)
		}
		if got := [4]int{b.Min.X, b.Min.Y, b.Max.X, b.Max.Y}; !b.Empty() && got != c.Box {
			t.Errorf("%+v: box %v", c, got)
		}
	}
}

// Whatever Draw decides, the batch must be what the definition makes, out of
// place, of the lambda it returns.
func TestMixEqualsDefinition(t *testing.T) {
	const h, w = 7, 9
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := map[string]int{}
	for range 400 {
		n := 1 + rng.IntN(5)
		images := make([]float32, n*h*w*3)
		for i := range images {
			images[i] = float32(rng.NormFloat64())
		}
		was := slices.Clone(images)
		mixed, lambda := Mix{Mixup: 0.4, CutMix: 1, Prob: 0.75, SwitchProb: 0.5}.Draw(w, h, rng)
		mixed.Apply(images, n, w)
		kind := "neither"
		switch {
		case slices.Equal(images, was) && (lambda == 1 || n == 1):
			kind = "same"
		case isMixup(images, was, n, lambda):
			kind = "mixup"
		case isCutMix(images, was, n, h, w, lambda):
			kind = "cutmix"
		}
		kinds[kind]++
	}
	if kinds["neither"] > 0 || kinds["same"] < 60 || kinds["mixup"] < 100 || kinds["cutmix"] < 60 {
		t.Errorf("of 400 batches: %v", kinds)
	}
}

func isMixup(got, was []float32, n int, lambda float64) bool {
	size := len(was) / n
	own, other := float32(lambda), float32(1-lambda)
	for i, v := range was {
		partner := was[(n-1-i/size)*size+i%size]
		if got[i] != float32(own*v)+float32(other*partner) {
			return false
		}
	}
	return lambda >= 0.5
}

// isCutMix reports whether each image is itself outside of a rectangle, and inside
// the other, with the same rectangle of 1-lambda of the area in all of them.
func isCutMix(got, was []float32, n, h, w int, lambda float64) bool {
	size := len(was) / n
	var inside []int // pixels of the first image that are the last one's
	left, right, top, bottom := w, 0, h, 0
	for p := range h * w {
		if got[3*p] != was[3*p] {
			inside = append(inside, p)
			left, right = min(left, p%w), max(right, p%w+1)
			top, bottom = min(top, p/w), max(bottom, p/w+1)
		}
	}
	if len(inside) != (right-left)*(bottom-top) || 1-float64(len(inside))/float64(h*w) != lambda {
		return false
	}
	for i, v := range got {
		from := i / size
		if slices.Contains(inside, i%size/3) {
			from = n - 1 - from
		}
		if v != was[from*size+i%size] {
			return false
		}
	}
	return true
}

// The lambdas of mixup are those of max(l, 1-l), and of CutMix, away from the
// edges that cut its boxes, about those of l.
func TestMixLambda(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const n = 20000
	mean := 0.0
	for range n {
		_, lambda := Mix{Mixup: 1, Prob: 1}.Draw(1, 1, rng)
		mean += lambda / n
	}
	if math.Abs(mean-0.75) > 0.005 { // of the larger part of a uniform
		t.Errorf("mean lambda of mixup %.4f, want 0.75", mean)
	}
	cut := 0
	for range n {
		if _, lambda := (Mix{Mixup: 1, CutMix: 1, Prob: 1, SwitchProb: 0.3}).Draw(1, 1, rng); lambda == 1 {
			cut++ // the box of a single pixel is empty
		}
	}
	if p := float64(cut) / n; math.Abs(p-0.3) > 0.015 {
		t.Errorf("CutMix on %.3f of the batches, want 0.3", p)
	}
}

func TestBeta(t *testing.T) {
	const n = 20000
	for _, c := range []struct {
		alpha float64
		cdf   func(x float64) float64 // nil where there is no short one
	}{
		{alpha: 0.001}, {alpha: 0.2}, {alpha: 0.8}, {alpha: 40},
		{0.5, func(x float64) float64 { return 2 / math.Pi * math.Asin(math.Sqrt(x)) }},
		{1, func(x float64) float64 { return x }},
		{2, func(x float64) float64 { return x * x * (3 - 2*x) }},
		{3, func(x float64) float64 { return x * x * x * (10 - 15*x + 6*x*x) }},
	} {
		rng := rand.New(rand.NewPCG(5, 6))
		draws := make([]float64, n)
		moments := [3]float64{}
		for i := range draws {
			x := beta(rng, c.alpha)
			if !(0 <= x && x <= 1) {
				t.Fatalf("alpha %v: %v is drawn", c.alpha, x)
			}
			draws[i] = x
			d := x - 0.5
			moments[0] += d / n
			moments[1] += d * d / n
			moments[2] += d * d * d * d / n
		}
		a := c.alpha
		variance := 1 / (4 * (2*a + 1))
		fourth := variance * variance * 3 * (2*a + 1) / (2*a + 3)
		for i, want := range []float64{0, variance, fourth} {
			// Four standard errors of the mean; for the others as much in relation.
			if tol := []float64{4 * math.Sqrt(variance/n), 0.04 * variance, 0.08 * fourth}[i]; math.Abs(moments[i]-want) > tol {
				t.Errorf("alpha %v: moment %d about 1/2 is %.5g, want %.5g", a, []int{1, 2, 4}[i], moments[i], want)
			}
		}
		if c.cdf == nil {
			continue
		}
		slices.Sort(draws)
		worst := 0.0
		for i, x := range draws {
			worst = max(worst, math.Abs(c.cdf(x)-(float64(i)+0.5)/n))
		}
		if worst > 1.95/math.Sqrt(n) { // Kolmogorov and Smirnov's test, 1 in 1000
			t.Errorf("alpha %v: the distribution is off by %.4f", a, worst)
		}
	}
}

func TestMixValidate(t *testing.T) {
	for _, m := range []Mix{{}, {Mixup: 0.2, Prob: 1}, {Mixup: 0.8, CutMix: 1, Prob: 1, SwitchProb: 0.5}} {
		if err := m.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, m := range []Mix{
		{Mixup: -1}, {CutMix: -1}, {Mixup: math.NaN()}, {CutMix: math.Inf(1)}, {Mixup: 1e-9},
		{Prob: 1.1}, {Prob: math.NaN()}, {SwitchProb: -0.1},
	} {
		if m.Validate() == nil {
			t.Errorf("%+v: no error", m)
		}
	}
}

func FuzzMix(f *testing.F) {
	f.Add(uint8(3), uint8(4), uint8(5), 0.2, 1.0, uint64(1))
	f.Fuzz(func(t *testing.T, n, h, w uint8, a, b float64, seed uint64) {
		m := Mix{Mixup: a, CutMix: b, Prob: 1, SwitchProb: 0.5}
		if m.Validate() != nil {
			return
		}
		images := slices.Repeat([]float32{1}, (int(n)%8+1)*(int(h)%32+1)*(int(w)%32+1)*3)
		mixed, lambda := m.Draw(int(w)%32+1, int(h)%32+1, rand.New(rand.NewPCG(seed, 0)))
		mixed.Apply(images, int(n)%8+1, int(w)%32+1)
		if !(0 <= lambda && lambda <= 1) {
			t.Fatalf("lambda %v", lambda)
		}
	})
}

func BenchmarkMix(b *testing.B) {
	const n, size = 32, 224
	images := make([]float32, n*size*size*3)
	rng := rand.New(rand.NewPCG(1, 1))
	for name, m := range map[string]Mix{"mixup": {Mixup: 0.2, Prob: 1}, "cutmix": {CutMix: 1, Prob: 1}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				mixed, _ := m.Draw(size, size, rng)
				mixed.Apply(images, n, size)
			}
		})
	}
}
