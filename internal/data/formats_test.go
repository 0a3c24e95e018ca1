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
)

// Other formats' images are named by what is in the file.
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

// Of 16 bits the high byte is kept, in PNG and TIFF.
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

// What would be read as something else is refused.
func TestMisreadTIFF(t *testing.T) {
	entry := func(tag, value uint16) string {
		b := binary.LittleEndian.AppendUint16(nil, tag)
		b = append(b, 3, 0, 1, 0, 0, 0)
		return string(append(binary.LittleEndian.AppendUint16(b, value), 0, 0))
	}
	const head = "II*\x00\x08\x00\x00\x00\x02\x00"
	for file, want := range map[string]string{
		head + entry(259, 4) + entry(262, 1): "fax compression with 0 for black",
		head + entry(259, 4) + entry(262, 0): "",
		head + entry(277, 3) + entry(284, 2): "colours in separate planes",
		head + entry(277, 1) + entry(284, 2): "",
	} {
		if got := misreadTIFF([]byte(file)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		for n := range len(file) {
			misreadTIFF([]byte(file[:n]))
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
