package data

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image/png"
	"io"
)

const pngMagic = "\x89PNG\r\n\x1a\n"

func isPNG(file []byte) bool { return bytes.HasPrefix(file, []byte(pngMagic)) }

// pngChunks yields the names and the contents of a PNG file's chunks.
func pngChunks(file []byte) func(yield func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for rest := file[len(pngMagic):]; len(rest) >= 12; {
			n := int64(binary.BigEndian.Uint32(rest))
			if n > int64(len(rest)-12) || !yield(string(rest[4:8]), rest[8:8+n]) {
				return
			}
			rest = rest[12+n:]
		}
	}
}

// A pngImage is what the pixels of a PNG file are made of.
type pngImage struct {
	header, palette, transparency []byte // of IHDR, PLTE and tRNS
	data                          []io.Reader
	damaged                       bool // a checksum of the data is wrong
}

// repairedPNG returns a file without the slips that package png refuses and Pillow does
// not, or nil: chunks that are damaged, at a wrong place or more than one, where no
// pixels are in them; too long ones; no end; data of more than the pixels, or of
// less than all rows, which are black then; a missing checksum. A wrong checksum of
// the data is one of these if the checksum within is right.
func repairedPNG(file []byte) io.Reader {
	var m pngImage
	for rest := file[len(pngMagic):]; len(rest) >= 8; {
		n, id := int64(binary.BigEndian.Uint32(rest)), string(rest[4:8])
		if n > int64(len(rest)-8) { // the file ends here
			n = int64(len(rest) - 8)
			if id != "IDAT" {
				break
			}
		}
		after := rest[8+n:]
		wrong := len(after) >= 4 && binary.BigEndian.Uint32(after) != crc32.ChecksumIEEE(rest[4:8+n])
		if !m.take(id, rest[8:8+n], wrong) {
			return nil
		}
		if len(after) < 4 || id == "IEND" {
			break
		}
		rest = after[4:]
	}
	if m.header == nil || m.data == nil || !m.clean() {
		return nil
	}
	return m.write()
}

// take notes a chunk; ok is false where the file is not to be read.
func (m *pngImage) take(id string, data []byte, wrong bool) (ok bool) {
	switch {
	case id == "IDAT":
		m.data = append(m.data, bytes.NewReader(data))
		m.damaged = m.damaged || wrong
	case m.data != nil:
	case id == "IHDR":
		if wrong || len(data) < 13 || m.header != nil && !bytes.Equal(m.header, data[:13]) {
			return false
		}
		m.header = data[:13:13]
	case m.header == nil:
	case id == "PLTE" && m.header[9] == pngPalette:
		m.palette = data
		return !wrong
	case id == "tRNS" && m.header[9] < pngGreyAlpha:
		m.transparency = data
		return !wrong
	}
	return true
}

// Colour types.
const (
	pngGrey, pngRGB, pngPalette = 0, 2, 3
	pngGreyAlpha, pngRGBA       = 4, 6
)

var pngChannels = map[byte]int64{pngGrey: 1, pngRGB: 3, pngPalette: 1, pngGreyAlpha: 2, pngRGBA: 4}

// clean makes palette and transparency what the colour type has, and says whether there
// is such an image. Colours that the palette lacks are black.
func (m *pngImage) clean() bool {
	depth, kind := m.header[8], m.header[9]
	length := map[byte]int{pngGrey: 2, pngRGB: 6}[kind]
	if kind == pngPalette && depth <= 8 {
		colours := min(len(m.palette)/3, 1<<depth)
		m.palette = m.palette[:3*colours]
		if colours == 0 {
			m.palette, colours = []byte{0, 0, 0}, 1
		}
		length = min(len(m.transparency), colours)
	}
	if m.transparency != nil && len(m.transparency) < length {
		return false
	}
	m.transparency = m.transparency[:min(length, len(m.transparency))]
	w, h := m.size()
	return pngChannels[kind] > 0 && w <= MaxSide && h <= MaxSide && w*h <= MaxPixels
}

func (m *pngImage) size() (w, h int64) {
	return int64(binary.BigEndian.Uint32(m.header)), int64(binary.BigEndian.Uint32(m.header[4:]))
}

// passes are the rows of each pass, and the bytes of each.
func (m *pngImage) passes() (all [][2]int64) {
	w, h := m.size()
	pass := func(x, y, dx, dy int64) {
		if wide, high := (w-x+dx-1)/dx, (h-y+dy-1)/dy; wide > 0 && high > 0 {
			all = append(all, [2]int64{high, 1 + (wide*pngChannels[m.header[9]]*int64(m.header[8])+7)/8})
		}
	}
	if m.header[12] == 0 {
		pass(0, 0, 1, 1)
		return all
	}
	for _, p := range [][4]int64{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		pass(p[0], p[1], p[2], p[3])
	}
	return all
}

// write returns the file.
func (m *pngImage) write() io.Reader {
	pixels, err := zlib.NewReader(io.MultiReader(m.data...))
	if err != nil {
		return nil
	}
	s := &pngStream{pixels: pixels, damaged: m.damaged, passes: m.passes(), buf: make([]byte, 1<<15)}
	for _, p := range s.passes {
		s.size += p[0] * p[1]
	}
	s.out.WriteString(pngMagic)
	header := bytes.Clone(m.header)
	header[10] = 0 // the only compression there is
	s.chunk("IHDR", header)
	if m.palette != nil {
		s.chunk("PLTE", m.palette)
	}
	if len(m.transparency) > 0 {
		s.chunk("tRNS", m.transparency)
	}
	s.store, _ = zlib.NewWriterLevel(&s.body, zlib.NoCompression) // which exists
	return s
}

// A pngStream is a PNG file, made while it is read: its data are written again, cut or
// filled to the right length.
type pngStream struct {
	pixels  io.Reader // the data
	damaged bool
	passes  [][2]int64
	size    int64 // of the data, as it is to be
	done    int64
	buf     []byte
	store   *zlib.Writer // to body
	body    bytes.Buffer // the next IDAT
	out     bytes.Buffer // what is to be read
	ended   bool
}

func (s *pngStream) chunk(id string, data []byte) {
	at := s.out.Len() + 4
	s.out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(data))))
	s.out.WriteString(id)
	s.out.Write(data)
	s.out.Write(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(s.out.Bytes()[at:])))
}

// Read implements io.Reader.
func (s *pngStream) Read(p []byte) (int, error) {
	for s.out.Len() == 0 {
		if s.ended {
			return 0, io.EOF
		}
		if err := s.more(); err != nil {
			return 0, err
		}
	}
	return s.out.Read(p)
}

// more makes out hold another chunk, if body is full enough for one.
func (s *pngStream) more() error {
	want := s.buf[:min(int64(len(s.buf)), s.size-s.done)]
	n := 0
	for n < len(want) {
		k, err := s.pixels.Read(want[n:])
		n += k
		if err == io.EOF && s.rowEnds(s.done+int64(n)) {
			clear(want[n:]) // as the rest, since the data stay ended
			break
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && n < len(want) {
			return err
		}
	}
	s.done += int64(len(want))
	if _, err := s.store.Write(want); err != nil {
		return err
	}
	if s.ended = s.done == s.size; s.ended {
		if err := s.check(); err != nil {
			return err
		}
		if err := s.store.Close(); err != nil {
			return err
		}
	}
	if s.body.Len() > 0 {
		s.chunk("IDAT", s.body.Bytes())
		s.body.Reset()
	}
	if s.ended {
		s.chunk("IEND", nil)
	}
	return nil
}

// rowEnds says whether a row ends at a byte of the data.
func (s *pngStream) rowEnds(at int64) bool {
	for _, p := range s.passes {
		if at <= p[0]*p[1] {
			return at%p[1] == 0
		}
		at -= p[0] * p[1]
	}
	return false
}

// check returns an error if the data's own checksum is wrong, and if it is not there to
// speak for data that another checksum speaks against.
func (s *pngStream) check() error {
	const most = 1 << 20 // of data behind the pixels
	switch _, err := io.CopyN(io.Discard, s.pixels, most); {
	case errors.Is(err, zlib.ErrChecksum), s.damaged && !errors.Is(err, io.EOF):
		return png.FormatError("invalid checksum")
	}
	return nil
}
