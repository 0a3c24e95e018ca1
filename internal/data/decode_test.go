package data

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/augment"
)

// A goldenFile is an encoded image and the pixels Pillow decodes it to.
type goldenFile struct {
	Name      string
	File, Pix []byte
	W, H      int
}

func goldenFiles(t testing.TB) []goldenFile {
	t.Helper()
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Files []goldenFile }
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	return golden.Files
}

// decode decodes a whole image file; path is for errors, which are *Error.
func (d *decoder) decode(dst *augment.Image, file []byte, path string) error {
	w, h, err := d.open(file, path)
	if err != nil {
		return err
	}
	return d.pixels(dst, image.Rect(0, 0, w, h))
}

// Files of every format equal Pillow, over the mean colour.
func TestDecodeEqualsPillow(t *testing.T) {
	for _, f := range goldenFiles(t) {
		t.Run(f.Name, func(t *testing.T) {
			d := decoder{background: &[3]uint8{124, 116, 104}, upright: true}
			var got augment.Image
			if err := d.decode(&got, f.File, f.Name); err != nil {
				t.Fatal(err)
			}
			if got.W != f.W || got.H != f.H || len(got.Pix) != len(f.Pix) {
				t.Fatalf("%dx%d, want %dx%d", got.W, got.H, f.W, f.H)
			}
			for i, v := range got.Pix {
				if v != f.Pix[i] {
					t.Fatalf("pixel %d,%d channel %d: got %d, Pillow has %d", i/3%f.W, i/3/f.W, i%3, v, f.Pix[i])
				}
			}
		})
	}
}

// Every kind of image that a decoder may return comes out as the right colour, over a
// background and as it is stored.
func TestDecodeKinds(t *testing.T) {
	back := [3]uint8{100, 50, 0}
	rect := image.Rect(0, 0, 3, 2)
	fill := func(m interface {
		image.Image
		Set(x, y int, c color.Color)
	}, c color.Color) image.Image {
		for i := range 6 {
			m.Set(i%3, i/3, c)
		}
		return m
	}
	palette := color.Palette{color.NRGBA{1, 2, 3, 255}, color.NRGBA{200, 100, 0, 51}}
	for name, c := range map[string]struct {
		m            image.Image
		over, stored [3]uint8
	}{
		"grey":            {fill(image.NewGray(rect), color.Gray{77}), [3]uint8{77, 77, 77}, [3]uint8{77, 77, 77}},
		"grey 16":         {fill(image.NewGray16(rect), color.Gray16{0x4dff}), [3]uint8{77, 77, 77}, [3]uint8{77, 77, 77}},
		"rgb":             {fill(image.NewRGBA(rect), color.RGBA{9, 8, 7, 255}), [3]uint8{9, 8, 7}, [3]uint8{9, 8, 7}},
		"rgba":            {fill(image.NewNRGBA(rect), color.NRGBA{200, 100, 0, 51}), [3]uint8{120, 60, 0}, [3]uint8{200, 100, 0}},
		"transparent":     {fill(image.NewNRGBA(rect), color.NRGBA{200, 100, 9, 0}), back, [3]uint8{200, 100, 9}},
		"rgb 16":          {fill(image.NewRGBA64(rect), color.RGBA64{0x1234, 0x5678, 0x9abc, 0xffff}), [3]uint8{0x12, 0x56, 0x9a}, [3]uint8{0x12, 0x56, 0x9a}},
		"rgba 16":         {fill(image.NewNRGBA64(rect), color.NRGBA64{200 << 8, 100 << 8, 0, 0x3333}), [3]uint8{120, 60, 0}, [3]uint8{200, 100, 0}},
		"transparent 16":  {fill(image.NewNRGBA64(rect), color.NRGBA64{200 << 8, 100 << 8, 9 << 8, 0}), back, [3]uint8{200, 100, 9}},
		"palette":         {fill(image.NewPaletted(rect, palette), palette[0]), [3]uint8{1, 2, 3}, [3]uint8{1, 2, 3}},
		"palette + alpha": {fill(image.NewPaletted(rect, palette), palette[1]), [3]uint8{120, 60, 0}, [3]uint8{200, 100, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			if err := png.Encode(&file, c.m); err != nil {
				t.Fatal(err)
			}
			wantColour(t, file.Bytes(), &back, func(_, _ int) [3]uint8 { return c.over })
			wantColour(t, file.Bytes(), nil, func(_, _ int) [3]uint8 { return c.stored })
		})
	}
}

func TestDecodeGIFFrameSmallerThanScreen(t *testing.T) {
	frame := func(c color.Color) *image.Paletted {
		return image.NewPaletted(image.Rect(1, 0, 2, 2), color.Palette{c})
	}
	var file bytes.Buffer
	err := gif.EncodeAll(&file, &gif.GIF{
		Image:  []*image.Paletted{frame(color.RGBA{10, 20, 30, 255}), frame(color.White)},
		Delay:  []int{0, 0},
		Config: image.Config{Width: 3, Height: 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	back, first := [3]uint8{1, 2, 3}, [3]uint8{10, 20, 30}
	wantColour(t, file.Bytes(), &back, func(x, _ int) [3]uint8 {
		if x == 1 {
			return first
		}
		return back
	})
	wantColour(t, file.Bytes(), nil, func(_, _ int) [3]uint8 { return first })
}

// wantColour checks that file decodes to 3x2 pixels of the wanted colours.
func wantColour(t *testing.T, file []byte, back *[3]uint8, want func(x, y int) [3]uint8) {
	t.Helper()
	d := decoder{background: back}
	var got augment.Image
	if err := d.decode(&got, file, "image"); err != nil {
		t.Fatal(err)
	}
	if got.W != 3 || got.H != 2 {
		t.Fatalf("%dx%d, want 3x2", got.W, got.H)
	}
	for i := range 6 {
		if p := [3]uint8(got.Pix[3*i:]); p != want(i%3, i/3) {
			t.Fatalf("pixel %d,%d is %v, want %v", i%3, i/3, p, want(i%3, i/3))
		}
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	huge := pngOfSize(t, 20_000, 20_000)
	flat := pngOfSize(t, MaxSide+1, 1)
	files := map[string]struct {
		content []byte
		want    string
	}{
		"empty.jpg":      {nil, "empty file"},
		"text.jpg":       {[]byte("this is not an image\n"), "not a JPEG, PNG, GIF, WebP, BMP or TIFF image"},
		"short.jpg":      {[]byte{0xff, 0xd8, 0xff}, "truncated JPEG"},
		"huge.png":       {huge, "its header claims 20000x20000 pixels"},
		"flat.png":       {flat, "its header claims 65537x1 pixels"},
		"no-rows.jpg":    {jpegOfHeight(t, 0), "unusable JPEG: its header claims 16x0 pixels"},
		"tall.jpg":       {jpegOfHeight(t, 0xffff), "unusable JPEG: damaged image data"},
		"arithmetic.jpg": {jpegOfProcess(t, 0xc9), "arithmetic-coded JPEG is not supported (convert the file to a baseline JPEG or a PNG, or remove it)"},
		"lossless.jpg":   {jpegOfProcess(t, 0xc3), "lossless JPEG is not supported (convert"},
		"crc.png":        {flipByte(pngOfSize(t, 2, 2), 30), "unusable PNG: invalid format: invalid checksum"},
	}
	for name, f := range files {
		if err := os.WriteFile(filepath.Join(dir, name), f.content, 0o666); err != nil {
			t.Fatal(err)
		}
		wantError(t, filepath.Join(dir, name), f.want)
	}
	for _, f := range goldenFiles(t) {
		path := filepath.Join(dir, "half-"+f.Name)
		path = strings.ReplaceAll(path, ":", "")
		if err := os.WriteFile(path, f.File[:len(f.File)/2], 0o666); err != nil {
			t.Fatal(err)
		}
		wantError(t, path, "truncated "+strings.ToUpper(strings.NewReplacer(".jpg", "JPEG", ".", "").Replace(filepath.Ext(path))))
	}

	big := filepath.Join(dir, "big.bmp")
	if err := errors.Join(os.WriteFile(big, nil, 0o666), os.Truncate(big, MaxFileBytes+1<<20)); err != nil {
		t.Fatal(err)
	}
	wantError(t, big, "257 MB, more than the 256 MB an image may have")
	wantError(t, filepath.Join(dir, "missing.jpg"), "no such file")
	wantError(t, dir, "not a regular file")
	wantError(t, os.DevNull, "not a regular file")
}

func wantError(t *testing.T, path, reason string) {
	t.Helper()
	var d decoder
	_, err := d.read(new(augment.Image), single(path), 0)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Path != path {
		t.Errorf("%s: got %v, want an *Error that names the file", path, err)
		return
	}
	want := "data: " + path + ": " + reason
	if rest, ok := strings.CutPrefix(err.Error(), want); !ok || strings.HasPrefix(reason, "truncated") && rest != " ("+replaceHint+")" {
		t.Errorf("got  %s\nwant %s ...", err, want)
	}
}

// pngOfSize returns a PNG whose header claims w x h pixels, and whose data has
// them only when they are 2 x 2.
func pngOfSize(t *testing.T, w, h int) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	b := file.Bytes()
	binary.BigEndian.PutUint32(b[16:], uint32(w))
	binary.BigEndian.PutUint32(b[20:], uint32(h))
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// jpegOfHeight returns a JPEG of 16x16 pixels whose header claims 16 x h.
func jpegOfHeight(t *testing.T, h int) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := jpeg.Encode(&file, image.NewGray(image.Rect(0, 0, 16, 16)), nil); err != nil {
		t.Fatal(err)
	}
	b := file.Bytes()
	sof := bytes.Index(b, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(b[sof+5:], uint16(h))
	return b
}

// jpegOfProcess returns a JPEG whose frame is said to be of another process.
func jpegOfProcess(t *testing.T, mark byte) []byte {
	t.Helper()
	b := jpegOfHeight(t, 16)
	b[bytes.Index(b, []byte{0xff, 0xc0})+1] = mark
	return b
}

func flipByte(b []byte, i int) []byte {
	b[i] ^= 0xff
	return b
}

// A JPEG of any kind is turned.
func TestEveryJPEGIsTurned(t *testing.T) {
	tag := []byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00")
	for _, g := range goldenFiles(t) {
		if g.Name != "cmyk.jpg" && g.Name != "rgb.jpg" && g.Name != "4:2:0.jpg" {
			continue
		}
		file := slices.Concat(g.File[:2], tag, g.File[2:])
		var lying, upright augment.Image
		if err := (&decoder{}).decode(&lying, file, g.Name); err != nil {
			t.Fatal(err)
		}
		if err := (&decoder{upright: true}).decode(&upright, file, g.Name); err != nil {
			t.Fatal(err)
		}
		if upright.W != lying.H || upright.H != lying.W {
			t.Fatalf("%s: %dx%d is still %dx%d", g.Name, lying.W, lying.H, upright.W, upright.H)
		}
		if first, corner := upright.Pix[:3], lying.Pix[3*lying.W*(lying.H-1):][:3]; !bytes.Equal(first, corner) {
			t.Errorf("%s: the first pixel is %v, want that of the lower left corner, %v", g.Name, first, corner)
		}
	}
}

// Decoding arbitrary bytes gives an image of the size it says or an error, which
// is not a panic's.
func FuzzDecode(f *testing.F) {
	for _, g := range goldenFiles(f) {
		f.Add(g.File)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if cfg, _, err := image.DecodeConfig(bytes.NewReader(file)); err == nil && cfg.Width*cfg.Height > 1<<20 {
			return // slow, and nothing new
		}
		var m augment.Image
		d := decoder{upright: true}
		if err := d.decode(&m, file, "file"); err != nil {
			if strings.Contains(err.Error(), "cannot decode: ") {
				t.Fatal("a panic: ", err)
			}
			return
		}
		if m.W < 1 || m.H < 1 || len(m.Pix) != 3*m.W*m.H {
			t.Fatalf("%dx%d image with %d bytes", m.W, m.H, len(m.Pix))
		}
	})
}
