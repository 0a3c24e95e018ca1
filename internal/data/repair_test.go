package data

import (
	"bytes"
	"image"
	"image/png"
	"io"
	"testing"

	"effnet/internal/augment"
)

// A file without its end, or with a bad checksum where no pixels are, is read, and one
// with a bad checksum of pixels that another says are right; damaged pixels are not.
func TestRepairedPNG(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	file := b.Bytes()
	end := len(file) - 12
	text := "\x00\x00\x00\x01tEXtx\x00\x00\x00\x00"
	for name, c := range map[string]struct {
		file string
		ok   bool
	}{
		"no end":        {string(file[:end]), true},
		"bad text":      {string(file[:end]) + text + string(file[end:]), true},
		"bad checksum":  {string(file[:end-1]) + "\x99" + string(file[end:]), true},
		"two of them":   {string(file[:end-5]) + "\x99\x99\x99\x99\x99" + string(file[end:]), false},
		"cut checksums": {string(file[:end-6]), true},
		"cut pixels":    {string(file[:end-17]), false},
		"stray PLTE":    {string(file[:33]) + "\x00\x00\x00\x03PLTEabc\x00\x00\x00\x00" + string(file[33:]), true},
		"only a header": {pngMagic, false},
	} {
		var d decoder
		var got augment.Image
		if err := d.decode(&got, []byte(c.file), "x.png"); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is repaired, of any bytes, does not panic.
func FuzzRepaired(f *testing.F) {
	f.Add([]byte(pngMagic + "\x00\x00\x00\x01tEXtx\x00\x00\x00\x00"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x02\x00\x00ANMF\x12\x00\x00\x00"))
	f.Add([]byte("GIF89a\x02\x00\x02\x00\x80\x00\x00abcdef\x21\xf9\x04\x00\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x03\x00\x03\x00\x00"))
	f.Fuzz(func(_ *testing.T, file []byte) {
		if isPNG(file) {
			if again := repairedPNG(file); again != nil {
				_, _ = io.CopyN(io.Discard, again, 1<<20)
			}
		}
		orientation(file)
		foreign(file)
	})
}
