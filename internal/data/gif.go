package data

import (
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"effnet/internal/augment"
)

// GIF is read here, and not by package image/gif: that drops the colour of
// transparent pixels, and refuses much of what Pillow reads.

var gifMagic = []string{"GIF87a", "GIF89a"}

func isGIF(file []byte) bool {
	return len(file) >= 6 && (string(file[:6]) == gifMagic[0] || string(file[:6]) == gifMagic[1])
}

// A gifFrame is the first frame of a GIF file.
type gifFrame struct {
	w, h                     int // of the screen, which holds the frame
	left, top, width, height int
	interlaced               bool
	colours                  [256][3]uint8
	transparent              int    // index of the transparent colour, or -1
	data                     []byte // from the LZW code's size on
}

// readGIF finds the first frame. Unknown blocks are skipped.
func readGIF(file []byte) (f gifFrame, err error) {
	number := func(b []byte, at int) int { return int(binary.LittleEndian.Uint16(b[at:])) }
	r := gifReader{rest: file[6:]}
	screen := r.take(7)
	f.w, f.h, f.transparent = number(screen, 0), number(screen, 2), -1
	table := r.table(screen[4])
	for r.err == nil {
		switch r.take(1)[0] {
		case 0x21: // an extension
			graphicControl := r.take(1)[0] == 0xf9
			block := r.block()
			if graphicControl && len(block) >= 4 && block[0]&1 != 0 {
				f.transparent = int(block[3])
			}
			for len(block) > 0 {
				block = r.block()
			}
		case 0x2c: // the frame
			b := r.take(9)
			f.left, f.top, f.width, f.height = number(b, 0), number(b, 2), number(b, 4), number(b, 6)
			f.w, f.h = max(f.w, f.left+f.width), max(f.h, f.top+f.height)
			if r.err == nil && (f.width == 0 || f.height == 0) {
				return f, fmt.Errorf("gif: a frame of %dx%d pixels", f.width, f.height)
			}
			f.interlaced = b[8]&0x40 != 0
			if local := r.table(b[8]); table == nil || local != nil && !isGreys(local) {
				table = local // but greys of its own, which Pillow takes for the screen's colours
			}
			f.colours, f.data = gifColours(table), r.rest
			return f, r.err
		case 0x3b:
			return f, errors.New("gif: missing image data")
		}
	}
	return f, r.err
}

// gifColours are the colours of a table. Without one, and with one of the first greys,
// indices are greys, those too that the table lacks; those that another table lacks
// are black.
func gifColours(table []byte) (colours [256][3]uint8) {
	greys := isGreys(table)
	for i := range colours {
		switch {
		case greys:
			colours[i] = [3]uint8{uint8(i), uint8(i), uint8(i)}
		case 3*i < len(table):
			colours[i] = [3]uint8(table[3*i:])
		}
	}
	return colours
}

// isGreys says whether a table has each index as a grey.
func isGreys(table []byte) bool {
	for i, v := range table {
		if int(v) != i/3 {
			return false
		}
	}
	return true
}

// fromGIF decodes the frame onto dst. What the frame leaves free of the screen is
// transparent; where there is no transparent colour, it has the first.
func (d *decoder) fromGIF(dst *augment.Image) error {
	f, err := readGIF(d.encoded)
	if err != nil {
		return err
	}
	d.indices = grow(d.indices, f.width*f.height)
	if err := f.decode(d.indices); err != nil {
		return err
	}
	free := f.colours[max(f.transparent, 0)]
	if d.background != nil {
		free = *d.background
		if f.transparent >= 0 {
			f.colours[f.transparent] = free
		}
	}
	if f.width*f.height < dst.W*dst.H {
		for i := range dst.W * dst.H {
			copy(dst.Pix[3*i:], free[:])
		}
	}
	row := 0
	for y := range f.rows() {
		q := dst.Pix[3*((f.top+y)*dst.W+f.left):]
		for x, index := range d.indices[row*f.width:][:f.width] {
			copy(q[3*x:], f.colours[index][:])
		}
		row++
	}
	return nil
}

// rows yields the frame's rows in the order in which they are stored.
func (f gifFrame) rows() func(yield func(int) bool) {
	passes := [][2]int{{0, 1}} // first row, and step
	if f.interlaced {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	return func(yield func(int) bool) {
		for _, pass := range passes {
			for y := pass[0]; y < f.height; y += pass[1] {
				if !yield(y) {
					return
				}
			}
		}
	}
}

// decode reads the indices of all pixels; what follows them is not looked at.
func (f gifFrame) decode(indices []uint8) error {
	if len(f.data) == 0 {
		return io.ErrUnexpectedEOF
	}
	r := lzw.NewReader(&gifBlocks{gifReader: gifReader{rest: f.data[1:]}}, lzw.LSB, int(f.data[0]))
	defer r.Close()
	_, err := io.ReadFull(r, indices)
	return err
}

// A gifReader reads a file from front to back. What is not there reads as zeros.
type gifReader struct {
	rest []byte
	err  error
}

// take returns the next n bytes, up to 768.
func (r *gifReader) take(n int) []byte {
	if n > len(r.rest) {
		r.rest, r.err = nil, io.ErrUnexpectedEOF
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// table returns the colour table that flags announce, or nil.
func (r *gifReader) table(flags byte) []byte {
	if flags&0x80 == 0 {
		return nil
	}
	return r.take(3 << (flags&7 + 1))
}

// block returns the next block of data, which is empty at their end.
func (r *gifReader) block() []byte { return r.take(int(r.take(1)[0])) }

// gifBlocks are the bytes within the blocks of data.
type gifBlocks struct {
	gifReader
	left []byte // of the block that is being read
}

// ReadByte implements io.ByteReader.
func (b *gifBlocks) ReadByte() (byte, error) {
	if len(b.left) == 0 {
		if b.left = b.block(); len(b.left) == 0 {
			return 0, io.EOF
		}
	}
	c := b.left[0]
	b.left = b.left[1:]
	return c, nil
}

// Read implements io.Reader, which package lzw asks for and does not use.
func (b *gifBlocks) Read(p []byte) (int, error) {
	for i := range p {
		c, err := b.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = c
	}
	return len(p), nil
}
