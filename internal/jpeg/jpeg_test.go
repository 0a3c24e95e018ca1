package jpeg

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	standard "image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"effnet/internal/pixel"
)

// golden is one file and its pixels as Pillow decodes it (tools/golden/jpeg.py).
type golden struct {
	Name        string
	Orientation int
	W, H        int
	File, Pix   []byte
}

func goldenFiles(t testing.TB) []golden {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct{ Files []golden }
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g.Files
}

// largest is the golden file with most pixels, of those in several scans or of
// those in one.
func largest(t testing.TB, several bool) golden {
	t.Helper()
	var most golden
	for _, g := range goldenFiles(t) {
		if bytes.Contains(g.File, []byte{0xff, markSOF2}) == several && g.W*g.H > most.W*most.H {
			most = g
		}
	}
	return most
}

// decode opens a file and decodes a region of it into an image of 0xa5.
func (d *Decoder) decode(data []byte, region image.Rectangle) (Header, []uint8, error) {
	h, err := d.Open(data)
	if err != nil {
		return h, nil, err
	}
	dst := bytes.Repeat([]byte{0xa5}, 3*h.Width*h.Height)
	return h, dst, d.Decode(dst, region)
}

var everything = image.Rect(0, 0, 1<<16, 1<<16)

func TestEqualsPillow(t *testing.T) {
	for _, set := range pixel.Available() {
		d := &Decoder{set: set} // kept from file to file, as a loader does
		for _, g := range goldenFiles(t) {
			h, pix, err := d.decode(g.File, everything)
			if err != nil {
				t.Errorf("%s: %v", g.Name, err)
				continue
			}
			if want := (Header{g.W, g.H, len(d.components)}); h != want {
				t.Errorf("%s: header %v, want %v", g.Name, h, want)
			}
			if got := Orientation(g.File); got != g.Orientation {
				t.Errorf("%s: orientation %d, want %d", g.Name, got, g.Orientation)
			}
			for i, v := range pix {
				if v != g.Pix[i] {
					t.Errorf("%s, %s: pixel %d,%d channel %d is %d, want %d", set.Name, g.Name, i/3%g.W, i/3/g.W, i%3, v, g.Pix[i])
					break
				}
			}
		}
	}
}

func TestRegionEqualsWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	d := New()
	for _, g := range goldenFiles(t) {
		for range 30 {
			x, y := rng.IntN(g.W), rng.IntN(g.H)
			r := image.Rect(x, y, x+1+rng.IntN(g.W-x), y+1+rng.IntN(g.H-y))
			_, pix, err := d.decode(g.File, r)
			if err != nil {
				t.Fatalf("%s: %v: %v", g.Name, r, err)
			}
			for y := r.Min.Y; y < r.Max.Y; y++ {
				from, to := 3*(y*g.W+r.Min.X), 3*(y*g.W+r.Max.X)
				if !bytes.Equal(pix[from:to], g.Pix[from:to]) {
					t.Fatalf("%s: region %v: row %d differs", g.Name, r, y)
				}
			}
		}
	}
}

// Files cut short are errors wherever they end, also those whose pixels are all
// there, and whatever region is asked for.
func TestTruncated(t *testing.T) {
	d := New()
	for _, g := range goldenFiles(t) {
		for n := range g.File {
			if _, _, err := d.decode(g.File[:n], image.Rect(0, 0, 1, 1)); err == nil {
				t.Fatalf("%s: %d of %d bytes are enough", g.Name, n, len(g.File))
			}
		}
	}
}

func TestRefused(t *testing.T) {
	good := goldenFiles(t)[20].File
	sof := bytes.Index(good, []byte{0xff, markSOF0})
	changed := func(at int, to byte) []byte {
		file := bytes.Clone(good)
		file[sof+at] = to
		return file
	}
	d := New()
	for _, c := range []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, errNotJPEG},
		{"PNG", []byte("\x89PNG\r\n\x1a\n0123456789"), errNotJPEG},
		{"tables only", []byte{0xff, markSOI, 0xff, markEOI}, errHeader},
		{"DC and AC in one progressive scan", changed(1, markSOF2), errHeader},
		{"lossless", changed(1, markSOF3), UnsupportedError("lossless JPEG")},
		{"hierarchical", changed(1, 0xc5), UnsupportedError("hierarchical JPEG")},
		{"hierarchical, its header", changed(1, markDHP), UnsupportedError("hierarchical JPEG")},
		{"JPEG-LS", changed(1, markJPG7), UnsupportedError("JPEG-LS")},
		{"arithmetic", changed(1, 0xc9), UnsupportedError("arithmetic-coded JPEG")},
		{"arithmetic, progressive", changed(1, 0xca), UnsupportedError("arithmetic-coded JPEG")},
		{"12 bits", changed(4, 12), UnsupportedError("12-bit JPEG")},
		{"2 components", slices.Concat([]byte{0xff, markSOI, 0xff, markSOF0, 0, 14, 8, 0, 9, 0, 9, 2}, make([]byte, 6), []byte{0xff, markEOI}),
			UnsupportedError("2-component JPEG")},
		{"sampling factor 5", changed(11, 0x51), errHeader},
		{"no height", changed(6, 0), nil},
		{"two images", append(bytes.Clone(good[:len(good)-2]), good...), errDamaged},
	} {
		_, _, err := d.decode(c.file, everything)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, _, err := d.decode(good, everything); err != nil {
		t.Errorf("after those, a good one: %v", err)
	}
}

func TestNoAllocation(t *testing.T) {
	d := New()
	for _, several := range []bool{false, true} {
		g := largest(t, several)
		dst := make([]uint8, 3*g.W*g.H)
		allocations := testing.AllocsPerRun(10, func() {
			if _, err := d.Open(g.File); err != nil {
				t.Fatal(err)
			}
			if err := d.Decode(dst, everything); err != nil {
				t.Fatal(err)
			}
		})
		if allocations > 0 {
			t.Errorf("%s: %v allocations a file", g.Name, allocations)
		}
	}
}

// Nothing panics; of what this decoder takes, regions agree with the whole, and
// image/jpeg, if it takes it too, sees an image of the same size.
func FuzzDecode(f *testing.F) {
	for _, g := range goldenFiles(f) {
		f.Add(g.File, uint8(g.W/3), uint8(g.H/3))
	}
	for _, v := range variants(f) {
		f.Add(v.File, uint8(v.W/2), uint8(v.H/2))
	}
	f.Fuzz(func(t *testing.T, file []byte, x, y uint8) {
		d := New()
		if o := Orientation(file); o < 1 || o > 8 {
			t.Fatalf("orientation %d", o)
		}
		h, err := d.Open(file)
		if err != nil || h.Width*h.Height > 1<<18 {
			return
		}
		pix := make([]uint8, 3*h.Width*h.Height)
		if d.Decode(pix, everything) != nil {
			return
		}
		part := make([]uint8, len(pix))
		if err := d.Decode(part, image.Rect(int(x), int(y), h.Width, h.Height)); err != nil {
			t.Fatalf("a region of a good file: %v", err)
		}
		for py := int(y); py < h.Height; py++ {
			from, to := 3*(py*h.Width+int(x)), 3*(py*h.Width+h.Width)
			if from < to && !bytes.Equal(part[from:to], pix[from:to]) {
				t.Fatalf("row %d of the region differs", py)
			}
		}
		m, err := standard.Decode(bytes.NewReader(file))
		if err != nil {
			return // what this decoder takes, image/jpeg need not
		}
		if b := m.Bounds(); b.Dx() != h.Width || b.Dy() != h.Height {
			t.Fatalf("%dx%d, image/jpeg has %v", h.Width, h.Height, b)
		}
	})
}

// photograph is a file of 500x375 pixels with about as many bits as a photograph
// of high quality.
func photograph(b *testing.B) []byte {
	m := image.NewRGBA(image.Rect(0, 0, 500, 375))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 500 * 375 {
		x, y := float64(i%500), float64(i/500)
		for c := range 3 {
			v := 128 + 60*math.Sin(x/30+float64(c)) + 50*math.Cos(y/17-x/90) + 5*rng.NormFloat64()
			m.Pix[4*i+c] = uint8(min(max(v, 0), 255))
		}
		m.Pix[4*i+3] = 255
	}
	var file bytes.Buffer
	if err := standard.Encode(&file, m, &standard.Options{Quality: 92}); err != nil {
		b.Fatal(err)
	}
	return file.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	file := photograph(b)
	dst := make([]uint8, 3*500*375)
	for name, region := range map[string]image.Rectangle{"whole": everything, "half": image.Rect(70, 60, 430, 325)} {
		for _, set := range pixel.Available() {
			b.Run(name+"/"+set.Name, func(b *testing.B) {
				d := &Decoder{set: set}
				b.SetBytes(int64(len(file)))
				for b.Loop() {
					if _, err := d.Open(file); err != nil {
						b.Fatal(err)
					}
					if err := d.Decode(dst, region); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("image/jpeg", func(b *testing.B) {
		b.SetBytes(int64(len(file)))
		for b.Loop() {
			if _, err := standard.Decode(bytes.NewReader(file)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
