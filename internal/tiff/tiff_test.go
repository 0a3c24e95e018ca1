package tiff

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/jpeg"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"effnet/internal/imagetest"
)

func variants(t testing.TB) []imagetest.Variant {
	t.Helper()
	return imagetest.Variants(t, "testdata/variants.json.gz")
}

// rgbOf returns the pixels as Pillow converts them to RGB, without opacity.
func rgbOf(m image.Image) []uint8 {
	var out []uint8
	switch m := m.(type) {
	case *image.Gray:
		for _, v := range m.Pix {
			out = append(out, v, v, v)
		}
	case *image.Paletted:
		for _, v := range m.Pix {
			if int(v) >= len(m.Palette) {
				v = 0
			}
			r, g, b, _ := m.Palette[v].RGBA()
			out = append(out, uint8(r>>8), uint8(g>>8), uint8(b>>8))
		}
	case *image.CMYK:
		for i := 0; i < len(m.Pix); i += 4 {
			light := 255 - uint32(m.Pix[i+3])
			for _, v := range m.Pix[i : i+3] {
				out = append(out, uint8(light-(uint32(v)*light+127)/255))
			}
		}
	case *image.NRGBA:
		for i := 0; i < len(m.Pix); i += 4 {
			out = append(out, m.Pix[i:i+3]...)
		}
	}
	return out
}

// refusedHere are files with missing pixels, which are black in Pillow.
var refusedHere = map[string]bool{"two strips, one offset": true, "three planes, two offsets": true}

// Every other file that Pillow reads has its pixels here, to the bit.
func TestVariantsEqualPillow(t *testing.T) {
	equal, both, only := 0, 0, 0
	for _, v := range variants(t) {
		file := v.File
		c, configErr := Config(file)
		m, err := Decode(file)
		if err == nil && (configErr != nil || c.Width != m.Bounds().Dx() || c.Height != m.Bounds().Dy()) {
			t.Errorf("%s: %dx%d, %v; decoded %v", v.Name, c.Width, c.Height, configErr, m.Bounds())
		}
		switch {
		case v.Kind == "orientations": // which the reader does not turn
			if got, want := strconv.Itoa(Orientation(file)), v.Name; got != want && got != "1" {
				t.Errorf("orientation %s, want %s", got, want)
			}
		case v.Refused != "" && err != nil, refusedHere[v.Name] && err != nil:
			both++
		case v.Refused != "":
			only++
			t.Logf("%s: read here only (Pillow: %s)", v.Name, v.Refused)
		case err != nil:
			t.Errorf("%s: %v", v.Name, err)
		default:
			pix := rgbOf(m)
			if imagetest.Hash(pix) != v.Pixels {
				t.Errorf("%s: other pixels than Pillow's: %v", v.Name, pix[:min(30, len(pix))])
				continue
			}
			equal++
		}
	}
	t.Logf("tiff: %d equal, %d refused by both, %d read here only", equal, both, only)
}

// A part of a file is an error or an image, never a panic.
func TestDecodeOfPartOfAFile(t *testing.T) {
	for _, v := range variants(t) {
		file := v.File
		for i := range 12 {
			m, err := Decode(file[:len(file)*i/12])
			if err == nil && m.Bounds().Empty() {
				t.Fatalf("%s, part %d: an empty image", v.Name, i)
			}
		}
	}
}

// What is refused is refused by name.
func TestErrors(t *testing.T) {
	want := map[string]string{
		"compression 34925":                             "tiff: LZMA compression is not supported",
		"compression 50001":                             "tiff: WebP compression is not supported",
		"compression 12345":                             "tiff: compression 12345 is not supported",
		"photometric interpretation 32844":              "tiff: photometric interpretation 32844 is not supported",
		"samples that differ":                           "tiff: an image whose samples differ (field 258) is not supported",
		"ycbcr 3x1 tiff_lzw single []":                  "tiff: Y'CbCr subsampled 3x1 is not supported",
		"ycbcr, NaN":                                    "tiff: it has NaN for a coefficient of Y'CbCr",
		"0x0":                                           "tiff: its header claims 0x4 pixels",
		"tiles of 0x0":                                  "tiff: its tiles are 0x0 pixels",
		"two strips, one offset":                        "tiff: it has 1 strips or tiles and needs more",
		"fewer bytes than it needs, tiff_lzw":           "unexpected EOF",
		"fewer bytes than it needs, packbits":           "unexpected EOF",
		"fewer bytes than it needs, zstd":               "unexpected EOF",
		"fewer bytes than it needs, raw":                "unexpected EOF",
		"fewer bytes than it needs, tiff_adobe_deflate": "unexpected EOF",
	}
	for _, v := range variants(t) {
		text, ok := want[v.Name]
		if !ok {
			continue
		}
		delete(want, v.Name)
		if _, err := Decode(v.File); err == nil || err.Error() != text {
			t.Errorf("%s: %v, want %q", v.Name, err, text)
		}
	}
	for name := range want {
		t.Errorf("no file %q", name)
	}
}

// LZW codes with the lowest bit first are recognised by the clear code that they begin with.
func TestOldLZW(t *testing.T) {
	for _, v := range variants(t) {
		file := v.File
		d, err := readDirectory(file)
		if err != nil || d.uint(tagCompression, raw) != lzwCodes || v.Kind != "pixels" || v.Refused != "" || !d.has(tagStripOffsets) || d.uint(tagFillOrder, 1) != 1 {
			continue
		}
		copy(file[d.uint(tagStripOffsets, 0):], "\x00\x01")
		if _, err := Decode(file); err == nil || err.Error() != "tiff: LZW compression from before TIFF 6.0 is not supported" {
			t.Errorf("%s: %v", v.Name, err)
		}
		return
	}
	t.Error("no file")
}

// A small file cannot ask for much memory with the sizes of its tiles.
func TestMemoryOfTiles(t *testing.T) {
	for _, v := range variants(t) {
		if v.Kind != "jpegs" && v.Kind != "pixels" {
			continue
		}
		file := v.File
		d, err := readDirectory(file)
		if err != nil || !d.has(tagTileWidth) {
			continue
		}
		for _, tag := range []uint16{tagTileWidth, tagTileHeight} {
			data := d.fields[tag].data // a part of the file
			for i := range data {
				data[i] = 0x7f
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Decode(file)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s: %d bytes", v.Name, n)
		}
	}
}

// tiled is a file of w by h grey pixels in tiles of tileW by tileH, which all have the
// same data.
func tiled(w, h, tileW, tileH, compression int, data []byte) []byte {
	n := (w + tileW - 1) / tileW * ((h + tileH - 1) / tileH)
	file := append([]byte("II*\x00\x00\x00\x00\x00"), data...)
	le := binary.LittleEndian
	array := func(v int) (at int) {
		at = len(file)
		for range n {
			file = le.AppendUint32(file, uint32(v))
		}
		return at
	}
	offsets, sizes := array(8), array(len(data))
	le.PutUint32(file[4:], uint32(len(file)))
	fields := [][3]int{ // tag, count, value
		{tagWidth, 1, w}, {tagHeight, 1, h}, {tagBits, 1, 8}, {tagCompression, 1, compression}, {tagPhotometric, 1, blackIsZero},
		{tagTileWidth, 1, tileW}, {tagTileHeight, 1, tileH}, {tagTileOffsets, n, offsets}, {tagTileBytes, n, sizes},
	}
	file = le.AppendUint16(file, uint16(len(fields)))
	for _, f := range fields {
		file = le.AppendUint16(le.AppendUint16(file, uint16(f[0])), 4) // LONG
		file = le.AppendUint32(le.AppendUint32(file, uint32(f[1])), uint32(f[2]))
	}
	return file
}

// deflated compresses a tile, after empty bytes of blocks without data.
func deflated(tile []byte, empty int) []byte {
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	z.Write(tile)
	z.Close()
	head, rest := out.Bytes()[:2], out.Bytes()[2:]
	return slices.Concat(head, bytes.Repeat([]byte("\x00\x00\x00\xff\xff"), empty/5), rest)
}

// Tiles may share data, but a file cannot ask for hours of work with it.
func TestTilesThatShareData(t *testing.T) {
	tile := bytes.Repeat([]byte{77}, 16*16)
	packed := bytes.Repeat([]byte{0x81, 77}, 2)
	var asJPEG bytes.Buffer
	if err := jpeg.Encode(&asJPEG, image.NewGray(image.Rect(0, 0, 16, 16)), nil); err != nil {
		t.Fatal(err)
	}
	filler := bytes.Repeat([]byte{0xff}, 1<<18) // before a marker
	long := slices.Concat(asJPEG.Bytes()[:2], filler, asJPEG.Bytes()[2:])
	for name, c := range map[string]struct {
		file    []byte
		refused bool
	}{
		"raw":                 {tiled(1024, 1024, 16, 16, raw, tile), false},
		"deflate":             {tiled(1024, 1024, 16, 16, deflate, deflated(tile, 0)), false},
		"packbits":            {tiled(1024, 1024, 16, 16, packBits, packed), false},
		"jpeg":                {tiled(1024, 1024, 16, 16, newJPEG, asJPEG.Bytes()), false},
		"deflate, all empty":  {tiled(1024, 1024, 16, 16, deflate, deflated(tile, 1<<18)), true},
		"packbits, no effect": {tiled(1024, 1024, 16, 16, packBits, append(bytes.Repeat([]byte{0x80}, 1<<18), packed...)), true},
		"jpeg, filled":        {tiled(1024, 1024, 16, 16, newJPEG, long), true},
		"wide":                {tiled(1, 1024, 1<<16, 1, raw, make([]byte, 1<<16)), true},
		"narrow":              {tiled(1, 1<<16, 1, 1, raw, []byte{0}), false},
	} {
		_, err := Decode(c.file)
		if got := err != nil && strings.HasPrefix(err.Error(), "tiff: its strips or tiles hold more than "); got != c.refused || err != nil && !got {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range variants(f) {
		f.Add(v.File)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := Config(file)
		if err != nil || c.Width*c.Height > 1<<18 {
			return
		}
		m, err := Decode(file)
		if err == nil && (m.Bounds().Dx() != c.Width || m.Bounds().Dy() != c.Height) {
			t.Fatalf("%v, want %dx%d", m.Bounds(), c.Width, c.Height)
		}
	})
}
