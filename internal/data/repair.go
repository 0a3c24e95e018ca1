package data

import (
	"bytes"
	"encoding/binary"
	"image"
)

// repaired returns a file without the harmless slips that its decoder would refuse
// and Pillow does not, or the file itself.
func repaired(file []byte) []byte {
	if isPNG(file) {
		return repairedPNG(file)
	}
	return file
}

// repairedPNG keeps the chunks that pixels are made of, IHDR, PLTE, tRNS and IDAT,
// where they belong, and ends the file.
func repairedPNG(file []byte) []byte {
	out := append(make([]byte, 0, len(file)+12), pngMagic...)
	var kind byte // IHDR's colour type
	complete := false
	for id, data := range pngChunks(file) {
		switch {
		case id == "IHDR" && len(data) == 13:
			kind = data[9]
		case id == "PLTE" && (kind == 0 || kind == 4):
			continue
		case id == "tRNS" && kind >= 4:
			continue
		case id != "PLTE" && id != "tRNS" && id != "IDAT":
			if id == "IEND" {
				complete = true
			}
			continue
		}
		out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
		out = append(append(out, id...), data[:len(data)+4]...) // with its checksum, as it is
		complete = complete || id == "IDAT"
	}
	if !complete {
		return file
	}
	return append(out, "\x00\x00\x00\x00IEND\xae\x42\x60\x82"...)
}

// decodeOther decodes a file of PNG, BMP or TIFF. One that the decoder refuses is
// tried again without its harmless slips.
func decodeOther(file []byte) (image.Image, string, error) {
	m, format, decodeErr := image.Decode(bytes.NewReader(file))
	if decodeErr == nil || format == "" {
		return m, format, decodeErr
	}
	again := repaired(file)
	if c, _, err := image.DecodeConfig(bytes.NewReader(again)); err != nil || c.Width > MaxSide || c.Height > MaxSide || c.Width*c.Height > MaxPixels {
		return m, format, decodeErr
	}
	if m, _, err := image.Decode(bytes.NewReader(again)); err == nil {
		return m, format, nil
	}
	return m, format, decodeErr
}

// configOther is decodeOther of the size.
func configOther(file []byte) (image.Config, string, error) {
	c, format, err := image.DecodeConfig(bytes.NewReader(file))
	if err == nil || format == "" {
		return c, format, err
	}
	if again, _, err := image.DecodeConfig(bytes.NewReader(repaired(file))); err == nil {
		return again, format, nil
	}
	return c, format, err
}
