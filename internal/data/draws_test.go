package data

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"testing"

	"effnet/internal/augment"
)

// sigmas is how many standard errors a statistic may be off before a test fails: by
// chance, one in two million is farther.
const sigmas = 5

// Crops, each from a stream of its own as in training, are distributed as a million of
// torchvision's.
func TestCropsAreDistributedAsTorchvisions(t *testing.T) {
	var golden struct {
		Draws int
		Cases []struct {
			W, H   int
			Scale  [2]float64
			Values []struct {
				Name     string
				Mean, SD float64
				Deciles  []float64
			}
			Correlations [][]float64
		}
	}
	text, err := os.ReadFile("testdata/draws.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	const images, epochs, seeds = 10_000, 4, 4
	const eps = 1e-9 // of rounding
	n := float64(images * epochs * seeds)
	tol := sigmas * math.Sqrt(1/n+1/float64(golden.Draws)) // of the mean of values of variance 1
	for _, c := range golden.Cases {
		train := augment.Train{Scale: c.Scale, Ratio: [2]float64{3. / 4, 4. / 3}}
		values := make([][]float64, len(c.Values))
		pcg := rand.NewPCG(0, 0)
		rng := rand.New(pcg)
		for seed := range uint64(seeds) {
			for epoch := range uint64(epochs) {
				for image := range uint64(images) {
					stream{seed, epoch, image}.seed(pcg)
					for k, v := range describeCrop(train.View(c.W, c.H, 64, rng), c.W, c.H) {
						values[k] = append(values[k], v)
					}
				}
			}
		}
		for k, want := range c.Values {
			mean, sd := moments(values[k])
			if math.Abs(mean-want.Mean) > tol*want.SD+eps {
				t.Errorf("%dx%d, %v: mean of %s is %g, want %g", c.W, c.H, c.Scale, want.Name, mean, want.Mean)
			}
			if math.Abs(sd-want.SD) > tol*want.SD+eps {
				t.Errorf("%dx%d, %v: standard deviation of %s is %g, want %g", c.W, c.H, c.Scale, want.Name, sd, want.SD)
			}
			for other := range k {
				if r := correlation(values[k], values[other]); math.Abs(r-c.Correlations[k][other]) > tol {
					t.Errorf("%dx%d, %v: correlation of %s and %s is %g, want %g", c.W, c.H, c.Scale, want.Name, c.Values[other].Name, r, c.Correlations[k][other])
				}
			}
		}
		for k, want := range c.Values { // sorts: last
			sort.Float64s(values[k])
			for i, d := range want.Deciles {
				q := float64(i+1) / 10
				below := float64(sort.SearchFloat64s(values[k], d-eps)) / n
				upTo := float64(sort.SearchFloat64s(values[k], d+eps)) / n // many crops have the same place
				if below-tol/2 > q || upTo+tol/2 < q {
					t.Errorf("%dx%d, %v: %.4f to %.4f of all %s are below decile %d, %g", c.W, c.H, c.Scale, below, upTo, want.Name, i+1, d)
				}
			}
		}
	}
}

// describeCrop is what tools/golden/draws.py says of a crop.
func describeCrop(v augment.View, w, h int) [4]float64 {
	cw, ch := v.Crop.Dx(), v.Crop.Dy()
	place := func(at, left int) float64 {
		if left == 0 {
			return 0.5
		}
		return float64(at) / float64(left)
	}
	return [4]float64{float64(cw*ch) / float64(w*h), math.Log(float64(cw) / float64(ch)), place(v.Crop.Min.X, w-cw), place(v.Crop.Min.Y, h-ch)}
}

func moments(x []float64) (mean, sd float64) {
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	for _, v := range x {
		sd += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sd / float64(len(x)))
}

// correlation is 0 where either does not vary, as in the golden file.
func correlation(x, y []float64) float64 {
	mx, sx := moments(x)
	my, sy := moments(y)
	if sx < 1e-9 || sy < 1e-9 {
		return 0
	}
	sum := 0.0
	for i := range x {
		sum += (x[i] - mx) * (y[i] - my)
	}
	return sum / float64(len(x)) / (sx * sy)
}

// Streams whose names are neighbours or differ in one bit are unrelated, in their values
// and in how far those are from the middle.
func TestNeighbouringStreamsAreUnrelated(t *testing.T) {
	const streams, each = 20_000, 4
	first := func(s stream) (x []float64) {
		rng := s.rand()
		for range each {
			x = append(x, rng.Float64()-0.5)
		}
		return x
	}
	for name, next := range map[string]func(s stream) stream{
		"seed":            func(s stream) stream { s.run++; return s },
		"a high seed":     func(s stream) stream { s.run ^= 1 << 40; return s },
		"epoch":           func(s stream) stream { s.epoch++; return s },
		"image":           func(s stream) stream { s.index++; return s },
		"occurrence":      func(s stream) stream { s.index ^= 1 << 32; return s },
		"seed for epoch":  func(s stream) stream { s.run, s.epoch = s.epoch, s.run; return s },
		"epoch for image": func(s stream) stream { s.index, s.epoch = s.epoch, s.index; return s },
	} {
		var x, y, xx, yy []float64
		for i := range uint64(streams) {
			s := stream{i % 7, 11 + i/7%13, 100 + i}
			a, b := first(s), first(next(s))
			for k := range a {
				x, y = append(x, a[k]), append(y, b[k])
				xx, yy = append(xx, a[k]*a[k]), append(yy, b[k]*b[k])
			}
		}
		limit := sigmas / math.Sqrt(streams*each)
		if r, q := correlation(x, y), correlation(xx, yy); math.Abs(r) > limit || math.Abs(q) > limit {
			t.Errorf("the next %s: correlation %.4f, of squares %.4f, at most %.4f", name, r, q, limit)
		}
	}
}

// Of 160,000 images half are flipped, whatever their crops and whatever happens to the
// next image, to the same one in the next epoch, and with a seed that differs in a bit.
func TestFlipsAreFairAndUnrelated(t *testing.T) {
	const images, epochs, seeds = 10_000, 4, 4
	const w, h = 500, 375
	train := augment.Train{Scale: [2]float64{0.35, 1}, Ratio: [2]float64{3. / 4, 4. / 3}, HFlip: 0.5}
	pcg := rand.NewPCG(0, 0)
	rng := rand.New(pcg)
	var flips []float64 // 0.5 or -0.5
	var crops [4][]float64
	var scratch []uint8
	for _, seed := range []uint64{0, 1, 3, 3 | 1<<40} {
		for epoch := range uint64(epochs) {
			for image := range uint64(images) {
				stream{seed, epoch, image}.seed(pcg)
				for k, v := range describeCrop(train.View(w, h, 64, rng), w, h) {
					crops[k] = append(crops[k], v)
				}
				two := augment.Image{W: 2, H: 1, Pix: []uint8{0, 0, 0, 1, 1, 1}}
				train.Finish(&two, rng, &scratch)
				flips = append(flips, float64(two.Pix[0])-0.5)
			}
		}
	}
	limit := sigmas / math.Sqrt(images*epochs*seeds)
	if mean, _ := moments(flips); math.Abs(2*mean) > limit {
		t.Errorf("%.4f of all images are flipped", mean+0.5)
	}
	for k, name := range []string{"area", "ratio", "left margin", "upper margin"} {
		if r := correlation(flips, crops[k]); math.Abs(r) > limit {
			t.Errorf("correlation %.4f of flips and the crops' %s, at most %.4f", r, name, limit)
		}
	}
	for name, apart := range map[string]int{"image": 1, "epoch": images, "seed": images * epochs} {
		n := len(flips) - apart
		if r := correlation(flips[:n], flips[apart:]); math.Abs(r) > sigmas/math.Sqrt(float64(n)) {
			t.Errorf("correlation %.4f of the flips of an image and of the next %s", r, name)
		}
	}
}

// In the orders of many epochs every image is at every place, and after every other, as
// often as any, wherever it is in the next epoch and with a seed that differs in a bit: by
// the chi-squared test.
func TestOrderIsUniform(t *testing.T) {
	const images, epochs = 8, 40_000
	l, err := NewLoader(Blank(images, 2), trainOptions())
	if err != nil {
		t.Fatal(err)
	}
	order := func(seed uint64, epoch int) []draw {
		l.opt.Seed = seed
		return l.order(epoch)
	}
	others := map[string]func(epoch int) []draw{
		"epoch":     func(epoch int) []draw { return order(6, epoch+1) },
		"seed":      func(epoch int) []draw { return order(7, epoch) },
		"high seed": func(epoch int) []draw { return order(6|1<<40, epoch) },
	}
	var place, after [images][images]float64
	moves := map[string]*[images][images]float64{} // from a place to one in another order
	for name := range others {
		moves[name] = &[images][images]float64{}
	}
	for epoch := range epochs {
		order := order(6, epoch)
		for name, other := range others {
			for to, d := range other(epoch) {
				moves[name][slices.Index(order, d)][to]++
			}
		}
		for k, d := range order {
			place[k][d.image]++
			if k > 0 {
				after[order[k-1].image][d.image]++
			}
		}
	}
	chi := func(count [images][images]float64, diagonal bool, want float64) (sum float64) {
		for a := range count {
			for b, n := range count[a] {
				if diagonal || a != b {
					sum += (n - want) * (n - want) / want
				}
			}
		}
		return sum
	}
	check := func(name string, got, freedom float64) {
		if limit := freedom + sigmas*math.Sqrt(2*freedom); got > limit {
			t.Errorf("%s: chi-squared %.1f, at most %.1f", name, got, limit)
		}
	}
	check("places", chi(place, true, epochs/images), (images-1)*(images-1))
	for name, count := range moves {
		check("places and those with the next "+name, chi(*count, true, epochs/images), (images-1)*(images-1))
	}
	check("neighbours", chi(after, false, float64(epochs*(images-1))/(images*(images-1))), images*(images-1)-1)
}
