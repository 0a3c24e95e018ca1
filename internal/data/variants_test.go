package data

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"strings"
	"testing"

	"effnet/internal/augment"
	"effnet/internal/imagetest"
)

func variants(t testing.TB, format string) []imagetest.Variant {
	t.Helper()
	return imagetest.Variants(t, "testdata/"+format+".json.gz")
}

// refusedHere are variants that Pillow reads, and why they are refused.
var refusedHere = map[string]string{
	"code size 0": "GIF's codes begin with 2 to 8 bits", "code size 9": "likewise", "code size 10": "likewise", "code size 11": "likewise", "code size 12": "likewise",
}

// Every variant of PNG, GIF and WebP decodes to Pillow's pixels. Some of what Pillow
// refuses is read, where the pixels are not in doubt.
func TestVariantsEqualPillow(t *testing.T) {
	for _, format := range []string{"png", "gif", "webp"} {
		equal, refused, here, more := 0, 0, 0, []string(nil)
		for _, v := range variants(t, format) {
			var d decoder
			var m augment.Image
			err := d.decode(&m, v.File, v.Name)
			kind, _, _ := strings.Cut(v.Name, ",")
			switch {
			case v.Refused != "" && err != nil:
				refused++
			case v.Refused != "":
				more = append(more, v.Name)
			case err != nil && refusedHere[kind] != "":
				here++
			case err != nil:
				t.Errorf("%s: %v", format, err)
			case m.W != v.W || m.H != v.H:
				t.Errorf("%s: %s: %dx%d, want %dx%d", format, v.Name, m.W, m.H, v.W, v.H)
			case imagetest.Hash(m.Pix) != v.Pixels:
				t.Errorf("%s: %s: other pixels", format, v.Name)
			default:
				equal++
			}
		}
		t.Logf("%s: %d equal, %d refused by both, %d refused here, %d refused by Pillow: %q", format, equal, refused, here, len(more), more)
	}
}

// With a background, the free parts of a screen or canvas and transparent pixels show it,
// and nothing else changes.
func TestVariantsOverBackground(t *testing.T) {
	back := [3]uint8{1, 2, 3}
	for _, c := range []struct {
		format, name string
		x, y         int
		shows        bool
	}{
		{"gif", "tables 4 None, part of the screen", 0, 0, true},
		{"gif", "tables 4 None, part of the screen", 4, 3, false},
		{"webp", "animated (20, 15) at (8, 6), blend 0, lossless True, none", 7, 6, true},
		{"webp", "animated (20, 15) at (8, 6), blend 0, lossless True, none", 8, 6, false},
		{"webp", "lossless True, holes", 0, 0, true},
	} {
		found := false
		for _, v := range variants(t, c.format) {
			if v.Name != c.name && v.Name != "VP8X 0, "+c.name {
				continue
			}
			found = true
			var over, stored augment.Image
			if err := (&decoder{background: &back}).decode(&over, v.File, v.Name); err != nil {
				t.Fatal(err)
			}
			if err := (&decoder{}).decode(&stored, v.File, v.Name); err != nil {
				t.Fatal(err)
			}
			at := 3 * (c.y*over.W + c.x)
			want := [3]uint8(stored.Pix[at:])
			if c.shows {
				want = back
			}
			if got := [3]uint8(over.Pix[at:]); got != want {
				t.Errorf("%s: %s: %d,%d is %v, want %v", c.format, v.Name, c.x, c.y, got, want)
			}
		}
		if !found {
			t.Errorf("%s: there is no %s", c.format, c.name)
		}
	}
}

// fuzzFormat decodes changed variants of a format, with and without a background: an
// error or an image of the size that it says, and no panic.
func fuzzFormat(f *testing.F, format string, mend func(file []byte)) {
	for i, v := range variants(f, format) {
		if i%3 == 0 {
			f.Add(v.File)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		file = bytes.Clone(file)
		mend(file)
		for _, d := range []*decoder{{}, {background: &[3]uint8{1, 2, 3}, upright: true}} {
			w, h, err := d.open(file, "file")
			if err == nil && w*h > 1<<16 {
				return // slow, and nothing new
			}
			var m augment.Image
			if err == nil {
				err = d.pixels(&m, image.Rect(0, 0, w, h))
			}
			switch {
			case err != nil && strings.Contains(err.Error(), "cannot decode: "):
				t.Fatal("a panic: ", err)
			case err == nil && (m.W != w || m.H != h || len(m.Pix) != 3*w*h):
				t.Fatalf("%dx%d, %d bytes, of %dx%d", m.W, m.H, len(m.Pix), w, h)
			}
		}
	})
}

func FuzzPNG(f *testing.F) {
	fuzzFormat(f, "png", func(file []byte) { // with right checksums, most changes are seen
		if !isPNG(file) {
			return
		}
		for at := len(pngMagic); at+12 <= len(file); {
			end := int64(at) + 8 + int64(binary.BigEndian.Uint32(file[at:]))
			if end+4 > int64(len(file)) {
				return
			}
			binary.BigEndian.PutUint32(file[end:], crc32.ChecksumIEEE(file[at+4:end]))
			at = int(end) + 4
		}
	})
}

func FuzzGIF(f *testing.F)  { fuzzFormat(f, "gif", func([]byte) {}) }
func FuzzWebP(f *testing.F) { fuzzFormat(f, "webp", func([]byte) {}) }
