package data

import (
	"bytes"
	"encoding/binary"
	"image"
)

// repaired returns a file without the harmless slips that its decoder would refuse
// and Pillow does not, or the file itself.
func repaired(file []byte) []byte {
	switch {
	case isPNG(file):
		return repairedPNG(file)
	case isWebP(file):
		return firstFrame(file)
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

// firstFrame makes an animated WebP file a still one of its first frame, if that
// covers the canvas.
func firstFrame(file []byte) []byte {
	var canvas []byte // width and height, each less 1
	for id, data := range riffChunks(file[12:]) {
		if id == "VP8X" && len(data) >= 10 {
			canvas = data[4:10]
		}
		if id != "ANMF" || len(data) < 16 {
			continue
		}
		if !bytes.Equal(data[:6], make([]byte, 6)) || !bytes.Equal(data[6:12], canvas) {
			return file
		}
		head := make([]byte, 10)
		for sub := range riffChunks(data[16:]) {
			if sub == "ALPH" {
				head[0] = 0x10 // the frame has opacity
			}
		}
		copy(head[4:], canvas)
		out := append(make([]byte, 0, len(data)+30), "RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00"...)
		out = append(append(out, head...), data[16:]...)
		binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
		return out
	}
	return file
}

// decodeOther decodes a file that is neither JPEG nor GIF. One that the decoder refuses is
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
