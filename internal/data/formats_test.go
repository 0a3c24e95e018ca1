package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/png"
	"testing"

	"golang.org/x/image/tiff"

	"effnet/internal/augment"
	"effnet/internal/imagetest"
)

// A format that is not supported is recognised by the file's content, and named.
func TestForeignFormats(t *testing.T) {
	for want, file := range map[string]string{
		"AVIF":    "\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1miaf",
		"HEIC":    "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
		"JPEG XL": "\xff\x0a\x00\x00",
	} {
		var d decoder
		_, _, err := d.open([]byte(file), "x.jpg")
		if err == nil || func() *Error {
			target := &Error{}
			_ = errors.As(err, &target)
			return target
		}().Reason != want+" images are not supported" {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// The high byte of 16 bits is kept, in PNG and TIFF.
func TestGrey16(t *testing.T) {
	m := image.NewGray16(image.Rect(0, 0, 256, 1))
	for x := range 256 {
		m.SetGray16(x, 0, color.Gray16{Y: uint16(x<<8 | 255 - x)})
	}
	var asPNG, asTIFF bytes.Buffer
	if err := png.Encode(&asPNG, m); err != nil {
		t.Fatal(err)
	}
	if err := tiff.Encode(&asTIFF, m, nil); err != nil {
		t.Fatal(err)
	}
	for _, file := range [][]byte{asPNG.Bytes(), asTIFF.Bytes()} {
		var d decoder
		var got augment.Image
		if err := d.decode(&got, file, "x"); err != nil {
			t.Fatal(err)
		}
		for i, v := range got.Pix {
			if int(v) != i/3 {
				t.Fatalf("value %d of pixel %d", v, i/3)
			}
		}
	}
}

// TIFF files that Pillow reads have Pillow's pixels, turned as Pillow turns them.
func TestTIFFEqualsPillow(t *testing.T) {
	equal := 0
	for _, v := range imagetest.Variants(t, "../tiff/testdata/variants.json.gz") {
		var m augment.Image
		if err := (&decoder{}).decode(&m, v.File, v.Name); err != nil {
			continue // which the reader's own test is about
		}
		if v.Pixels != "" && imagetest.Hash(m.Pix) != v.Pixels {
			t.Errorf("%s: other pixels", v.Name)
		}
		equal++
	}
	if equal < 400 {
		t.Errorf("%d files", equal)
	}
}

// Opacity is that of the file, with colours that are not multiplied by it.
func TestTIFFOverBackground(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	m.SetNRGBA(0, 0, color.NRGBA{200, 100, 0, 128})
	var file bytes.Buffer
	if err := tiff.Encode(&file, m, nil); err != nil {
		t.Fatal(err)
	}
	for want, back := range map[[3]uint8]*[3]uint8{{200, 100, 0}: nil, {150, 100, 50}: {100, 100, 100}} {
		d := decoder{background: back}
		var got augment.Image
		if err := d.decode(&got, file.Bytes(), "x.tif"); err != nil {
			t.Fatal(err)
		}
		if [3]uint8(got.Pix) != want {
			t.Errorf("%v, want %v", got.Pix, want)
		}
	}
}

// The error names what a TIFF file has that is not supported, and says what is damaged.
func TestTIFFErrors(t *testing.T) {
	entry := func(tag, value uint16) string {
		b := binary.LittleEndian.AppendUint16(nil, tag)
		b = append(b, 3, 0, 1, 0, 0, 0)
		return string(append(binary.LittleEndian.AppendUint16(b, value), 0, 0))
	}
	const head = "II*\x00\x08\x00\x00\x00\x06\x00"
	size := entry(256, 4) + entry(257, 4) + entry(258, 8)
	for file, want := range map[string]string{
		head + size + entry(259, 34925) + entry(262, 1) + entry(273, 8): "a TIFF file with a feature that is not supported: LZMA compression",
		head + size + entry(259, 1) + entry(262, 1) + entry(273, 80):    "truncated TIFF",
		head + size + entry(259, 1) + entry(262, 1) + entry(274, 1):     "unusable TIFF: it does not say where its pixels are",
		head + size + entry(259, 8) + entry(262, 1) + entry(273, 8):     "unusable TIFF: zlib: invalid header",
		"II*\x00\x08\x00\x00\x00":                                       "truncated TIFF",
	} {
		var m augment.Image
		err := (&decoder{}).decode(&m, []byte(file), "x.tif")
		target := &Error{}
		if !errors.As(err, &target) || target.Reason != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestOrientationOfContainers(t *testing.T) {
	exif := []byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00")
	chunk := binary.BigEndian.AppendUint32([]byte(pngMagic), uint32(len(exif)))
	asPNG := append(append(append(chunk, "eXIf"...), exif...), 0, 0, 0, 0)
	asWebP := append(binary.LittleEndian.AppendUint32([]byte("RIFF....WEBPEXIF"), uint32(len(exif))), exif...)
	for name, file := range map[string][]byte{"png": asPNG, "webp": asWebP, "tiff": exif} {
		if got := orientation(file); got != 6 {
			t.Errorf("%s: orientation %d, want 6", name, got)
		}
	}
}
