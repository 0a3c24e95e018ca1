package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"

	"golang.org/x/image/webp"

	"effnet/internal/augment"
)

func isWebP(file []byte) bool {
	return len(file) >= 12 && string(file[:4]) == "RIFF" && string(file[8:12]) == "WEBP"
}

// A webpFrame is the image of a WebP file, or the first one of an animation.
type webpFrame struct {
	file  []byte          // a WebP file of it alone
	w, h  int             // of the canvas
	rect  image.Rectangle // of the frame within it
	alpha bool
}

// readWebP finds the image, whatever is around it and whatever the file says of that.
func readWebP(file []byte) (f webpFrame, err error) {
	if end := int64(binary.LittleEndian.Uint32(file[4:])) + 8; end < int64(len(file)) {
		file = file[:max(end, 12)]
	}
	extended := false
	var opacity, pixels []byte
	var kind string
	for id, data := range riffChunks(file[12:]) {
		switch {
		case id == "VP8X" && len(data) >= 10:
			extended, f.w, f.h = true, 1+uint24(data[4:]), 1+uint24(data[7:])
			f.rect = image.Rect(0, 0, f.w, f.h)
		case id == "ANMF" && len(data) >= 16:
			f.rect = image.Rect(0, 0, 1+uint24(data[6:]), 1+uint24(data[9:])).Add(image.Pt(2*uint24(data), 2*uint24(data[3:])))
			kind, opacity, pixels = webpImage(data[16:])
		}
		if pixels != nil {
			break
		}
	}
	if pixels == nil {
		kind, opacity, pixels = webpImage(file[12:])
	}
	if pixels == nil {
		return f, io.ErrUnexpectedEOF
	}
	f.alpha = opacity != nil || kind == "VP8L" && len(pixels) > losslessAlpha && pixels[losslessAlpha]&0x10 != 0
	f.file = webpFile(kind, opacity, pixels, f.rect.Size())
	cfg, err := webp.DecodeConfig(bytes.NewReader(f.file))
	if err != nil {
		return f, err
	}
	size := image.Rect(0, 0, cfg.Width, cfg.Height)
	if !extended {
		f.w, f.h, f.rect = cfg.Width, cfg.Height, size
	}
	if size.Size() != f.rect.Size() || !f.rect.In(image.Rect(0, 0, f.w, f.h)) {
		return f, errors.New("webp: its image does not have the size that the file announces")
	}
	return f, nil
}

// losslessAlpha is the byte of lossless data whose bit 4 says whether it has opacity
// (RFC 9649, section 3.4).
const losslessAlpha = 4

// webpImage returns the first image among chunks: its kind, its opacity if that is apart,
// and its data.
func webpImage(chunks []byte) (kind string, opacity, pixels []byte) {
	for id, data := range riffChunks(chunks) {
		switch id {
		case "ALPH":
			opacity = data
		case "VP8L":
			return id, nil, data
		case "VP8 ":
			return id, opacity, data
		}
	}
	return "", nil, nil
}

// webpFile is a file of one image and no more.
func webpFile(kind string, opacity, pixels []byte, size image.Point) []byte {
	out := append(make([]byte, 0, len(opacity)+len(pixels)+64), "RIFF\x00\x00\x00\x00WEBP"...)
	chunk := func(id string, data []byte) {
		out = binary.LittleEndian.AppendUint32(append(out, id...), uint32(len(data)))
		out = append(append(out, data...), make([]byte, len(data)%2)...)
	}
	if opacity != nil {
		head := binary.LittleEndian.AppendUint32([]byte{0x10, 0, 0, 0}, uint32(size.X-1)) // 0x10: there is opacity
		chunk("VP8X", binary.LittleEndian.AppendUint32(head[:7], uint32(size.Y-1))[:10])
		chunk("ALPH", opacity)
	}
	chunk(kind, pixels)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// fromWebP decodes the frame onto dst; what it leaves free of the canvas is transparent,
// and black.
func (d *decoder) fromWebP(dst *augment.Image) error {
	f, err := readWebP(d.encoded)
	if err != nil {
		return err
	}
	decoded, err := webp.Decode(bytes.NewReader(f.file))
	if err != nil {
		return err
	}
	m := decoded.(image.RGBA64Image)
	if m.Bounds().Size() != f.rect.Size() {
		return errors.New("webp: its image does not have the size that the file announces")
	}
	if f.rect.Size() == image.Pt(f.w, f.h) {
		d.toRGB(dst, m, d.fromVideo)
		return nil
	}
	var free [3]uint8
	if d.background != nil {
		free = *d.background
	}
	for i := range dst.W * dst.H {
		copy(dst.Pix[3*i:], free[:])
	}
	d.frame.Reset(f.rect.Dx(), f.rect.Dy())
	d.toRGB(&d.frame, m, d.fromVideo)
	for y := range d.frame.H {
		copy(dst.Pix[3*((f.rect.Min.Y+y)*dst.W+f.rect.Min.X):], d.frame.Pix[3*y*d.frame.W:][:3*d.frame.W])
	}
	return nil
}

// fromVideo converts Y'CbCr 4:2:0 in video range as libwebp does (src/dsp/upsampling.c
// and yuv.h): chroma is interpolated, first along one diagonal of four samples.
func (d *decoder) fromVideo(dst *augment.Image, m *image.YCbCr) {
	d.cb, d.cr = grow(d.cb, dst.W), grow(d.cr, dst.W)
	for y := range dst.H {
		near, far := m.COffset(0, y), m.COffset(0, nextRow(y, dst.H))
		upsample(d.cb, m.Cb[near:], m.Cb[far:])
		upsample(d.cr, m.Cr[near:], m.Cr[far:])
		videoRange(dst.Pix[3*dst.W*y:][:3*dst.W], m.Y[y*m.YStride:], d.cb, d.cr)
	}
}

// upsample makes a row of chroma, of the nearer and the farther row at half resolution.
func upsample(dst, near, far []uint8) {
	dst[0] = uint8((3*int(near[0]) + int(far[0]) + 2) >> 2)
	for x := 1; 2*x-1 < len(dst); x++ {
		if 2*x == len(dst) {
			dst[2*x-1] = uint8((3*int(near[x-1]) + int(far[x-1]) + 2) >> 2)
			return
		}
		a, b, c, e := int(near[x-1]), int(near[x]), int(far[x-1]), int(far[x])
		sum := a + b + c + e + 8
		dst[2*x-1] = uint8(((sum+2*(b+c))>>3 + a) >> 1)
		dst[2*x] = uint8(((sum+2*(a+e))>>3 + b) >> 1)
	}
}

// videoRange converts a row of BT.601 with luma in 16..235.
func videoRange(dst, y, cb, cr []uint8) {
	n := len(dst) / 3
	y, cb, cr = y[:n], cb[:n], cr[:n]
	for i, v := range y {
		y, cb, cr := int32(v)*19077>>8, int32(cb[i]), int32(cr[i])
		q := dst[3*i:][:3]
		q[0] = clip((y + cr*26149>>8 - 14234) >> 6)
		q[1] = clip((y - cb*6419>>8 - cr*13320>>8 + 8708) >> 6)
		q[2] = clip((y + cb*33050>>8 - 17685) >> 6)
	}
}
