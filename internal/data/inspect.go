package data

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"path/filepath"
	"strings"

	"effnet/internal/augment"
	"effnet/internal/jpeg"
	"effnet/internal/tiff"
)

// Facts are what reading an image found.
type Facts struct {
	SHA256      [sha256.Size]byte // of its bytes as they are stored; of no meaning if Bytes is 0
	Bytes       int               // 0 if they cannot be read
	W, H        int               // pixels, as they lie in the file
	Format      string            // jpeg, png, gif, webp, bmp, tiff, raw for a pack's pixels, "" if none of them
	Orientation int               // EXIF's; 1, upright, where there is none and of TIFF, which is always turned
	Grey        bool              // every pixel's red, green and blue are equal
	Alpha       bool              // it has an opacity a pixel or a transparent colour
	CMYK        bool
	Misnamed    bool   // the extension of its name is another format's
	Err         *Error // why it cannot be used; nil if it can be
}

// An Inspector looks at images one by one. It keeps its scratch memory from one
// to the next, so a goroutine has its own.
type Inspector struct {
	decoder decoder
	image   augment.Image
}

// Inspect reads and decodes image i of a set, once.
func (n *Inspector) Inspect(set *Set, i int) (f Facts) {
	err := n.inspect(&f, set, i)
	if err != nil && !errors.As(err, &f.Err) {
		f.Err = &Error{Path: set.Path(i), Reason: err.Error(), Err: err}
	}
	return f
}

func (n *Inspector) inspect(f *Facts, set *Set, i int) (err error) {
	defer guard(set, i, &err)()
	rec, err := set.store.read(&n.decoder.file, set.at(i))
	if err != nil {
		return err
	}
	f.SHA256, f.Bytes, f.Orientation = sha256.Sum256(rec.data), len(rec.data), 1
	m := &augment.Image{W: rec.w, H: rec.h, Pix: rec.data}
	if rec.w > 0 {
		f.Format = "raw"
	} else {
		f.header(rec.data)
		f.Misnamed = misnamed(set, i, f.Format)
		m = &n.image
		w, h, err := n.decoder.open(rec.data, set.Path(i))
		if err != nil {
			return err
		}
		f.CMYK = n.decoder.isCMYK
		if err := n.decoder.pixels(m, image.Rect(0, 0, w, h)); err != nil {
			return err
		}
	}
	f.W, f.H, f.Grey = m.W, m.H, isGrey(m.Pix)
	return nil
}

// header notes what a file says of itself before its pixels.
func (f *Facts) header(file []byte) {
	defer func() { // a panic of a format's decoder, which decoding will report
		if p := recover(); isFault(p) {
			panic(p)
		}
	}()
	if !tiff.Is(file) {
		f.Orientation = orientation(file)
	}
	if jpeg.Is(file) {
		f.Format = "jpeg"
		return
	}
	if isGIF(file) {
		f.Format = "gif"
		frame, err := readGIF(file)
		f.Alpha = err == nil && frame.transparent >= 0
		return
	}
	if isWebP(file) {
		f.Format = "webp"
		frame, err := readWebP(file)
		f.Alpha = err == nil && frame.alpha
		return
	}
	cfg, format, err := configOther(file)
	f.Format = format
	if err != nil {
		return
	}
	f.Alpha = hasAlpha(cfg.ColorModel)
}

func hasAlpha(m color.Model) bool {
	switch m {
	case color.NRGBAModel, color.NRGBA64Model, color.NYCbCrAModel, color.AlphaModel, color.Alpha16Model:
		return true
	}
	palette, _ := m.(color.Palette)
	for _, c := range palette {
		if _, _, _, a := c.RGBA(); a != 0xffff {
			return true
		}
	}
	return false
}

// isGrey tells whether all pixels of packed RGB are grey.
func isGrey(pix []uint8) bool {
	for len(pix) >= 3 {
		if pix[0] != pix[1] || pix[1] != pix[2] {
			return false
		}
		pix = pix[3:]
	}
	return true
}

// misnamed tells whether the name of an image says another format than it has. A
// pack keeps the names of the files that it was made from, not their formats.
func misnamed(set *Set, i int, format string) bool {
	switch set.store.(type) {
	case *folder, *shards:
		want := formatOf(filepath.Ext(set.Path(i)))
		return format != "" && want != format
	}
	return false
}

// MisnamedReason says what a file holds whose name says otherwise.
func (f Facts) MisnamedReason(path string) string {
	return fmt.Sprintf("a %s file named %s", strings.ToUpper(f.Format), filepath.Ext(path))
}
