package data

import (
	"bytes"
	"image"
	"io"

	"effnet/internal/tiff"
)

// decodeOther decodes a file of PNG, BMP or TIFF. A PNG file that the decoder refuses is
// repaired and tried again.
func decodeOther(file []byte) (image.Image, string, error) {
	if tiff.Is(file) {
		m, err := tiff.Decode(file)
		return m, "tiff", err
	}
	m, format, err := image.Decode(bytes.NewReader(file))
	if again := repaired(file, err); again != nil {
		if m, _, err := image.Decode(again); err == nil {
			return m, format, nil
		}
	}
	return m, format, err
}

// configOther is decodeOther for the size alone.
func configOther(file []byte) (image.Config, string, error) {
	if tiff.Is(file) {
		c, err := tiff.Config(file)
		return c, "tiff", err
	}
	c, format, err := image.DecodeConfig(bytes.NewReader(file))
	if again := repaired(file, err); again != nil {
		if c, _, err := image.DecodeConfig(again); err == nil {
			return c, format, nil
		}
	}
	return c, format, err
}

// repaired returns a corrected copy of a file that a decoder refused, or nil if there
// is none.
func repaired(file []byte, refused error) io.Reader {
	if refused == nil || !isPNG(file) {
		return nil
	}
	return repairedPNG(file)
}
