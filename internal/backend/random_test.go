package backend_test

import (
	"math"
	"testing"

	"effnet/internal/backend"
)

// The draws of dropout and stochastic depth are uniform, and unrelated between values,
// steps, layers and seeds that are neighbours or differ in one bit.
func TestDrawsAreUniformAndUnrelated(t *testing.T) {
	const sigmas, each, streams = 5, 64, 4096
	type draw struct {
		backend.Random
		step uint64
		i    int
	}
	for name, next := range map[string]func(d draw) draw{
		"value":          func(d draw) draw { d.i++; return d },
		"step":           func(d draw) draw { d.step++; return d },
		"layer":          func(d draw) draw { d.Layer++; return d },
		"seed":           func(d draw) draw { d.Seed++; return d },
		"a high seed":    func(d draw) draw { d.Seed ^= 1 << 40; return d },
		"step for value": func(d draw) draw { d.i, d.step = int(d.step), uint64(d.i); return d },
	} {
		var n, sum, square, product, quarters float64
		for s := range streams {
			for i := range each {
				a := draw{backend.Random{Seed: uint64(s % 8), Layer: uint32(s / 8 % 16)}, uint64(1000 + s), i}
				b := next(a)
				x := float64(a.Uniform(a.step, a.i)) - 0.5
				y := float64(b.Uniform(b.step, b.i)) - 0.5
				n, sum, square, product = n+1, sum+x, square+x*x, product+x*y
				quarters += (math.Abs(x) - 0.25) * (math.Abs(y) - 0.25)
			}
		}
		limit := sigmas / math.Sqrt(n) // of values of variance 1
		if mean := sum / n * math.Sqrt(12); math.Abs(mean) > limit {
			t.Errorf("%s: the mean is %.5f standard deviations from a half, at most %.5f", name, mean, limit)
		}
		if v := square/n*12 - 1; math.Abs(v) > limit {
			t.Errorf("%s: the variance is %.5f off, at most %.5f", name, v, limit)
		}
		if r := product / n * 12; math.Abs(r) > limit {
			t.Errorf("the next %s: correlation %.5f, at most %.5f", name, r, limit)
		}
		if r := quarters / n * 48; math.Abs(r) > limit {
			t.Errorf("the next %s: correlation of distances from a half %.5f, at most %.5f", name, r, limit)
		}
	}
}
