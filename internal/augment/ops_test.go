package augment

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// noise is tools/golden/ops.py's synthetic image, of values from lo to hi.
func noise(w, h, lo, hi int) *Image {
	m := new(Image)
	m.Reset(w, h)
	for i := range m.Pix {
		v := uint32(i) * 2654435761
		v = (v ^ v>>15) * 2246822519
		m.Pix[i] = uint8(lo + int(v>>16)%(hi-lo+1))
	}
	return m
}

// recorded is an image as tools/golden/ops.py writes it.
type recorded struct {
	CRC uint32
	Pix []byte // of small images only
}

func (r recorded) check(t *testing.T, m *Image) {
	t.Helper()
	for i := range r.Pix {
		if m.Pix[i] != r.Pix[i] {
			t.Fatalf("pixel %d,%d channel %d: got %d, Pillow has %d\n got %v\nwant %v",
				i/3%m.W, i/3/m.W, i%3, m.Pix[i], r.Pix[i], m.Pix, r.Pix)
		}
	}
	if crc := crc32.ChecksumIEEE(m.Pix); crc != r.CRC {
		t.Fatalf("%dx%d pixels have CRC %d, Pillow's %d", m.W, m.H, crc, r.CRC)
	}
}

type goldenOps struct {
	Cases []struct {
		Op       string
		Arg      float64
		W, H     int
		Lo, Hi   int
		recorded // its fields are the case's
	}
	Cutouts []struct {
		At [3]int
		recorded
	}
	V0 [][2]struct {
		Op          string
		Prob, Level float64
	}
}

func readGolden(t *testing.T, file string, v any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

// opNamed is the Op of a name.
func opNamed(t *testing.T, name string) Op {
	t.Helper()
	i := slices.IndexFunc(operations, func(o operation) bool { return o.name == name })
	if i < 0 {
		t.Fatalf("no operation %q", name)
	}
	return Op(i)
}

// apply applies an operation with scratch of its own.
func apply(m *Image, o Op, v float64, rng *rand.Rand) {
	var scratch []uint8
	operations[o].apply(m, v, aids{rng, &scratch})
}

func TestOpsEqualPillow(t *testing.T) {
	var golden goldenOps
	readGolden(t, "ops.json", &golden)
	// One scratch for every case, so that what one leaves is seen by the next.
	var scratch []uint8
	seen := map[string]bool{}
	for _, c := range golden.Cases {
		seen[c.Op] = true
		t.Run(fmt.Sprintf("%s_%v_%dx%d", c.Op, c.Arg, c.W, c.H), func(t *testing.T) {
			m := noise(c.W, c.H, c.Lo, c.Hi)
			switch o := opNamed(t, c.Op); o { // whose argument in the table is a share of a side
			case TranslateX:
				translateX(m, c.Arg)
			case TranslateY:
				translateY(m, c.Arg)
			default:
				operations[o].apply(m, c.Arg, aids{scratch: &scratch})
			}
			c.check(t, m)
		})
	}
	for o := range Op(len(operations)) {
		if o != Cutout && !seen[o.String()] {
			t.Errorf("%v: no case", o)
		}
	}
	for _, c := range golden.Cutouts {
		m := noise(5, 4, 0, 255)
		cutout(m, c.At[0], c.At[1], c.At[2])
		c.check(t, m)
	}
}

// The reference code's table of what level 10 means, and one level whose product
// has a fraction to drop.
func TestArguments(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		op               Op
		ten, level, want float64
	}{
		{Rotate, 30, 4, 12}, {Posterize, 4, 7, 2}, {Solarize, 256, 9, 230},
		{SolarizeAdd, 110, 3.5, 38}, {Color, 1.9, 0, 0.1}, {Contrast, 1.9, 5, 1},
		{Brightness, 1.9, 28, 5.14}, {Sharpness, 1.9, 0, 0.1}, {ShearX, 0.3, 28, 0.84},
		{ShearY, 0.3, 4, 0.12}, {TranslateX, 150. / 331, 9, 135. / 331}, {TranslateY, 150. / 331, 9, 135. / 331},
		{Cutout, 40. / 224, 7, 28. / 224},
	} {
		o := &operations[c.op]
		near := func(level, want float64) {
			t.Helper()
			signs := map[bool]int{}
			for range 200 {
				v := o.argument(level, rng)
				signs[v < 0]++
				if v < 0 && o.signed {
					v = -v
				}
				if d := v - want; d > 1e-12 || d < -1e-12 {
					t.Fatalf("%v of magnitude %v: argument %v, want %v", c.op, level, v, want)
				}
			}
			if want > 0 && o.signed && (signs[true] < 70 || signs[true] > 130) {
				t.Errorf("%v: %d of 200 arguments are negative, want about half", c.op, signs[true])
			}
		}
		near(10, c.ten)
		near(c.level, c.want)
	}
}

func TestPosterizeKeepsOneToEightBits(t *testing.T) {
	for bits, want := range map[int]uint8{-3: 0x80, 0: 0x80, 8: 0xff, 11: 0xff} {
		m := &Image{W: 1, H: 1, Pix: []uint8{255, 255, 255}}
		posterize(m, bits)
		if m.Pix[0] != want {
			t.Errorf("%d bits of 255: %d, want %d", bits, m.Pix[0], want)
		}
	}
}

func FuzzOps(f *testing.F) {
	f.Add(uint8(0), uint8(0), 10.0, uint64(1))
	f.Add(uint8(223), uint8(30), -28.0, uint64(2))
	f.Add(uint8(3), uint8(0), 1e308, uint64(3))
	f.Fuzz(func(t *testing.T, w, h uint8, v float64, seed uint64) {
		src := noise(int(w)+1, int(h)+1, 0, 255)
		rng := rand.New(rand.NewPCG(seed, 0))
		for o := range Op(len(operations)) {
			m := &Image{W: src.W, H: src.H, Pix: slices.Clone(src.Pix)}
			apply(m, o, v, rng)
			apply(m, o, operations[o].argument(v, rng), rng)
			if m.W != src.W || m.H != src.H || len(m.Pix) != len(src.Pix) {
				t.Fatalf("%v(%v) made %dx%d of %dx%d", o, v, m.W, m.H, src.W, src.H)
			}
		}
	})
}

func BenchmarkOps(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	var scratch []uint8
	for o := range Op(len(operations)) {
		b.Run(o.String(), func(b *testing.B) {
			m := noise(224, 224, 20, 230)
			v := operations[o].base + 0.7*operations[o].span
			b.ReportAllocs()
			for b.Loop() {
				operations[o].apply(m, v, aids{rng, &scratch})
			}
		})
	}
}
