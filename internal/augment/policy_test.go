package augment

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

func clone(m *Image) *Image { return &Image{W: m.W, H: m.H, Pix: slices.Clone(m.Pix)} }

func TestPolicyV0EqualsTimm(t *testing.T) {
	var golden goldenOps
	readGolden(t, "ops.json", &golden)
	if len(golden.V0) != len(policyV0) {
		t.Fatalf("%d pairs, timm has %d", len(policyV0), len(golden.V0))
	}
	for i, pair := range golden.V0 {
		for j, want := range pair {
			if got := policyV0[i][j]; got != (step{opNamed(t, want.Op), want.Prob, want.Level}) {
				t.Errorf("pair %d: %v %v %v, timm has %+v", i, got.op, got.prob, got.magnitude, want)
			}
		}
	}
}

// outcomes is the distribution of an image after some operations, by its bytes.
type outcomes map[string]float64

// then returns the distribution after one more operation, applied with
// probability prob, with either sign where it has one.
func (d outcomes) then(o Op, prob, magnitude float64, w, h int) outcomes {
	next := outcomes{}
	v := operations[o].base + magnitude/10*operations[o].span
	if operations[o].whole {
		v = math.Trunc(v)
	}
	for pix, p := range d {
		next[pix] += p * (1 - prob)
		for _, v := range []float64{v, -v} {
			if v < 0 && !operations[o].signed {
				v = -v
			}
			m := &Image{W: w, H: h, Pix: []byte(pix)}
			apply(m, o, v, nil)
			next[string(m.Pix)] += p * prob / 2
		}
	}
	return next
}

// AutoAugment must make the images that the operations make when they are applied
// directly, each as often as the pairs' probabilities say.
func TestAutoAugmentDistribution(t *testing.T) {
	src := noise(24, 20, 20, 230)
	want := outcomes{}
	for _, pair := range policyV0 {
		d := outcomes{string(src.Pix): 1.0 / 25}
		for _, s := range pair {
			d = d.then(s.op, s.prob, s.magnitude, src.W, src.H)
		}
		for pix, p := range d {
			want[pix] += p
		}
	}
	const n = 20000
	rng := rand.New(rand.NewPCG(5, 6))
	var scratch []uint8
	m, got := clone(src), map[string]int{}
	for range n {
		copy(m.Pix, src.Pix)
		AutoAugment{}.Apply(m, rng, &scratch)
		got[string(m.Pix)]++
	}
	chi2, bins := 0.0, 0
	for pix, k := range got {
		if want[pix] == 0 {
			t.Fatalf("%d images are what no pair makes", k)
		}
	}
	for pix, p := range want {
		if p > 0 {
			d := float64(got[pix]) - n*p
			chi2 += d * d / (n * p)
			bins++
		}
	}
	// Mean bins-1, variance twice that: four standard deviations.
	if limit := float64(bins-1) + 4*math.Sqrt(2*float64(bins-1)); bins < 50 || chi2 > limit {
		t.Errorf("chi-squared of %d different images: %.1f, want under %.1f", bins, chi2, limit)
	}
}

// RandAugment with one operation must make the images that the operations make
// when they are applied directly, each operation's as often as any other's.
func TestRandAugmentDistribution(t *testing.T) {
	src := noise(24, 20, 37, 180)
	const n, magnitude, prob = 16000, 4, 0.8
	rng := rand.New(rand.NewPCG(7, 8))
	made := map[string]Op{}
	for _, o := range lists[0] {
		for range 12 { // both signs; Cutout is recognised below
			m := clone(src)
			apply(m, o, operations[o].argument(magnitude, rng), rng)
			if o != Cutout {
				made[string(m.Pix)] = o
			}
		}
	}
	var scratch []uint8
	m, got, plain := clone(src), make([]int, len(operations)), 0
	for range n {
		copy(m.Pix, src.Pix)
		RandAugment{N: 1, Magnitude: magnitude, Prob: prob}.Apply(m, rng, &scratch)
		o, known := made[string(m.Pix)]
		switch {
		case slices.Equal(m.Pix, src.Pix):
			plain++
		case known:
			got[o]++
		case isCutout(m, src, 1):
			got[Cutout]++
		default:
			t.Fatal("an image that no operation makes")
		}
	}
	near := func(what string, got int, p float64) {
		t.Helper()
		if d := math.Abs(float64(got) - n*p); d > 4*math.Sqrt(n*p*(1-p)) {
			t.Errorf("%s: %d of %d, want about %.0f", what, got, n, n*p)
		}
	}
	near("unchanged", plain, 1-prob)
	for _, o := range lists[0] {
		near(o.String(), got[o], prob/float64(len(lists[0])))
	}
}

func TestCutoutIsAnywhere(t *testing.T) {
	src := noise(6, 5, 0, 255)
	places := map[string]int{}
	for y := range src.H {
		for x := range src.W {
			m := clone(src)
			cutout(m, x, y, 2)
			places[string(m.Pix)] = 0
		}
	}
	const n = 9000
	rng := rand.New(rand.NewPCG(1, 2))
	for range n {
		m := clone(src)
		apply(m, Cutout, 2/float64(min(m.W, m.H)), rng)
		places[string(m.Pix)]++
	}
	if len(places) != 30 {
		t.Fatalf("%d different images of 30 centres", len(places))
	}
	for _, k := range places {
		if k < 230 || k > 370 { // 300 and four standard deviations
			t.Errorf("a centre is drawn %d of %d times, want about %d", k, n, n/30)
		}
	}
}

// isCutout reports whether m is src but for a grey square of 2*pad pixels a side
// or, at an edge, what is inside of one.
func isCutout(m, src *Image, pad int) bool {
	for y := range src.H {
		for x := range src.W {
			want := clone(src)
			cutout(want, x, y, pad)
			if slices.Equal(want.Pix, m.Pix) {
				return true
			}
		}
	}
	return false
}

func TestRandAugmentMagnitude(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, c := range []struct{ m, std, lo, hi, mean float64 }{
		{9, 0, 9, 9, 9}, {9, 0.5, 7, 10, 9}, {10, 0.5, 7, 10, 9.80053}, // 10 - 0.5/sqrt(2 pi)
		{0, 1, 0, 5, 0.39894}, {28, 0.5, 25, 31, 28},
	} {
		p := RandAugment{Magnitude: c.m, Std: c.std}
		sum := 0.0
		const n = 20000
		for range n {
			v := p.magnitude(rng)
			if v < c.lo || v > c.hi {
				t.Fatalf("magnitude %v of %v +- %v: not in %v to %v", v, c.m, c.std, c.lo, c.hi)
			}
			sum += v / n
		}
		if math.Abs(sum-c.mean) > 0.02 {
			t.Errorf("magnitudes of %v +- %v have mean %.4f, want %.4f", c.m, c.std, sum, c.mean)
		}
	}
}

// A change of these numbers changes every run that trains with a policy.
func TestPolicyRepeats(t *testing.T) {
	for _, c := range []struct {
		policy string
		seed   uint64
		crc    uint32
	}{
		{"v0", 1, 0xf95bd333}, {"v0", 2, 0x6f3bc8eb}, {"rand-m9-n2-mstd0.5-p1", 1, 0xdb514066}, {"rand-m28-n2-p1", 2, 0xa9e66885},
	} {
		p, err := ParsePolicy(c.policy)
		if err != nil {
			t.Fatal(err)
		}
		crc := crc32.NewIEEE()
		rng := rand.New(rand.NewPCG(c.seed, 0))
		var scratch []uint8
		for range 50 {
			m := noise(40, 30, 20, 230)
			p.Apply(m, rng, &scratch)
			_, _ = crc.Write(m.Pix)
		}
		if crc.Sum32() != c.crc {
			t.Errorf("%s, seed %d: 50 images have CRC %#x, had %#x", c.policy, c.seed, crc.Sum32(), c.crc)
		}
	}
}

// An operation that is added changes no recipe: what its policy makes of an image is
// the same, and the new one is never drawn.
func TestAnOperationChangesNoRecipe(t *testing.T) {
	policies := recipes(t)
	images := func() (all []*Image) {
		for _, name := range policies {
			p, err := ParsePolicy(name)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			rng := rand.New(rand.NewPCG(3, 4))
			var scratch []uint8
			for range 200 {
				m := noise(24, 20, 20, 230)
				p.Apply(m, rng, &scratch)
				all = append(all, m)
			}
		}
		return all
	}
	before, table := images(), operations
	defer func() { operations = table }()
	drawn := func(*Image, float64, aids) { t.Error("the new operation is drawn") }
	operations = append(slices.Clone(table), operation{name: "New", apply: drawn})
	for i, m := range images() {
		if !slices.Equal(m.Pix, before[i].Pix) {
			t.Fatalf("%s: image %d is another one", policies[i/200], i%200)
		}
	}
}

// recipes are the policies of the settings files, and one of every list.
func recipes(t *testing.T) (policies []string) {
	t.Helper()
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	setting := regexp.MustCompile(`(?m)^aa: (\S+)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range setting.FindAllSubmatch(text, -1) {
			if policy := string(m[1]); policy != "none" {
				policies = append(policies, policy)
			}
		}
	}
	if len(policies) < 5 {
		t.Fatalf("the recipes have the policies %q", policies)
	}
	for i := range lists {
		policies = append(policies, fmt.Sprintf("rand-m9-n4-p1-list%d", i))
	}
	return policies
}

// What a policy makes depends on the image and the generator alone, and it
// allocates nothing once its scratch is large enough.
func TestPolicyIsPure(t *testing.T) {
	src := noise(33, 21, 20, 230)
	used := slices.Repeat([]uint8{77}, 9999)
	for _, p := range []Policy{AutoAugment{}, RandAugment{N: 3, Magnitude: 9, Std: 0.5, Prob: 0.9}} {
		for seed := range uint64(100) {
			var fresh []uint8
			a, b := clone(src), clone(src)
			p.Apply(a, rand.New(rand.NewPCG(seed, 1)), &fresh)
			p.Apply(b, rand.New(rand.NewPCG(seed, 1)), &used)
			if !slices.Equal(a.Pix, b.Pix) {
				t.Fatalf("%+v, seed %d: two images of one", p, seed)
			}
		}
		rng := rand.New(rand.NewPCG(1, 1))
		m := clone(src)
		if n := testing.AllocsPerRun(200, func() { p.Apply(m, rng, &used) }); n != 0 {
			t.Errorf("%+v allocates %v times an image", p, n)
		}
	}
}

func TestTrainAppliesPolicyLast(t *testing.T) {
	z, src := resizer(t, Bilinear), source(40, 30)
	plain := Train{Scale: [2]float64{0.3, 1}, Ratio: [2]float64{0.75, 1.33}, HFlip: 0.5}
	with := plain
	with.Policy = RandAugment{N: 2, Magnitude: 9, Prob: 1}
	var want, got Image
	want.Reset(16, 16)
	got.Reset(16, 16)
	changed := 0
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		transform(plain, &want, src, z, rng)
		before := clone(&want)
		var scratch []uint8
		with.Policy.Apply(&want, rng, &scratch)
		transform(with, &got, src, z, rand.New(rand.NewPCG(seed, 0)))
		if !slices.Equal(got.Pix, want.Pix) {
			t.Fatalf("seed %d: not the policy's image of the cropped and flipped one", seed)
		}
		if !slices.Equal(got.Pix, before.Pix) {
			changed++
		}
	}
	if changed < 10 {
		t.Errorf("%d of 20 images are changed", changed)
	}
	with.Policy = RandAugment{}
	if with.Validate() == nil {
		t.Error("a transform with a policy of no operations: no error")
	}
}

func BenchmarkPolicy(b *testing.B) {
	for _, s := range []string{"v0", "rand-m9-n2-mstd0.5-p1"} {
		b.Run(s, func(b *testing.B) {
			p, err := ParsePolicy(s)
			if err != nil {
				b.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 1))
			m := noise(224, 224, 20, 230)
			var scratch []uint8
			b.ReportAllocs()
			for b.Loop() {
				p.Apply(m, rng, &scratch)
			}
		})
	}
}
