package tiff

import (
	"errors"
	"math/bits"
	"strings"
	"sync"
)

// The codes of runs (ITU-T T.4, tables 2 and 3): of 0 to 63 pixels, of 64 to 1728 in
// steps of 64, and of 1792 to 2560 of either colour.
const (
	whiteCodes = "00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 " +
		"101010 101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 " +
		"0011000 00000010 00000011 00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 " +
		"00101000 00101001 00101010 00101011 00101100 00101101 00000100 00000101 00001010 00001011 01010010 " +
		"01010011 01010100 01010101 00100100 00100101 01011000 01011001 01011010 01011011 01001010 01001011 " +
		"00110010 00110011 00110100 " +
		"11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 " +
		"011010010 011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 " +
		"010011000 010011001 010011010 011000 010011011 " + longCodes
	blackCodes = "0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 " +
		"000011000 0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 " +
		"00000101000 00000010111 00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 " +
		"000001101001 000001101010 000001101011 000011010010 000011010011 000011010100 000011010101 " +
		"000011010110 000011010111 000001101100 000001101101 000011011010 000011011011 000001010100 " +
		"000001010101 000001010110 000001010111 000001100100 000001100101 000001010010 000001010011 " +
		"000000100100 000000110111 000000111000 000000100111 000000101000 000001011000 000001011001 " +
		"000000101011 000000101100 000001011010 000001100110 000001100111 " +
		"0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 " +
		"0000001101100 0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 " +
		"0000001110011 0000001110100 0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 " +
		"0000001010100 0000001010101 0000001011010 0000001011011 0000001100100 0000001100101 " + longCodes
	longCodes = "00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 " +
		"000000010111 000000011100 000000011101 000000011110 000000011111"
)

// The codes of modes (T.4, table 4): the pass mode, the horizontal one, and those of
// a change 0, 1, 2 and 3 pixels right and 1, 2 and 3 left of the one above.
const (
	modeCodes  = "0001 001 1 011 000011 0000011 010 000010 0000010"
	pass       = 0
	horizontal = 1
	vertical   = 2
)

var shifts = [...]int{0, 1, 2, 3, -1, -2, -3}

const longest = 13 // bits of a code

// A codeTable has, for the next bits of the data, the code that they begin with.
type codeTable [1 << longest]struct {
	value uint16 // the number of the code
	n     uint8  // its length in bits; 0 where no code begins
}

func newCodeTable(codes string) *codeTable {
	t := new(codeTable)
	for i, code := range strings.Fields(codes) {
		first := 0
		for _, bit := range code {
			first = first<<1 | int(bit-'0')
		}
		first <<= longest - len(code)
		for j := range 1 << (longest - len(code)) {
			t[first+j].value, t[first+j].n = uint16(i), uint8(len(code))
		}
	}
	return t
}

// faxTables are those of white and of black runs and of modes.
var faxTables = sync.OnceValue(func() [3]*codeTable {
	return [3]*codeTable{newCodeTable(whiteCodes), newCodeTable(blackCodes), newCodeTable(modeCodes)}
})

var errFax = errors.New("tiff: damaged CCITT data")

// A fax reads CCITT data (ITU-T T.4 and T.6; TIFF 6.0, sections 10 and 11). A row is
// kept as the pixels where its colour changes, beginning with white.
type fax struct {
	data       []byte
	at         int // bits read so far
	w          int // pixels in a row
	row, above []int
	tables     [3]*codeTable
}

// decodeFax returns the first rows of data, packed; black pixels are set bits.
func decodeFax(data []byte, w, rows int, compression, t4Options uint64) ([]byte, error) {
	f := fax{data: data, w: w, tables: faxTables()}
	stride := (w + 7) / 8
	out := make([]byte, rows*stride)
	for y := range rows {
		twoDimensional := compression == fax4
		switch compression {
		case faxRows:
			f.at = (f.at + 7) &^ 7
		case faxWords:
			f.at = (f.at + 15) &^ 15
		case fax3:
			f.endOfLine()
			if t4Options&1 != 0 {
				twoDimensional = f.peek(1) == 0
				f.at++
			}
		}
		f.row, f.above = f.above[:0], f.row
		read := f.read1D
		if twoDimensional {
			read = f.read2D
		}
		if err := read(); err != nil {
			return nil, err
		}
		f.pack(out[y*stride:][:stride])
	}
	return out, nil
}

// peek returns the next n bits, zeros after the end.
func (f *fax) peek(n int) int {
	v, at := uint32(0), f.at/8
	for i := range 3 {
		v <<= 8
		if at+i < len(f.data) {
			v |= uint32(f.data[at+i])
		}
	}
	return int(v<<(8+f.at%8)) & (1<<32 - 1) >> (32 - n)
}

// endOfLine skips the code of that name, at least 11 zeros and a one, if it is next.
func (f *fax) endOfLine() {
	n := 0
	for f.at+n < 8*len(f.data) && f.data[(f.at+n)/8]>>(7-(f.at+n)%8)&1 == 0 {
		n++
	}
	if n >= 11 && f.at+n < 8*len(f.data) {
		f.at += n + 1
	}
}

// code reads a code of one of the tables.
func (f *fax) code(table int) (int, error) {
	c := f.tables[table][f.peek(longest)]
	if f.at+int(c.n) > 8*len(f.data) || c.n == 0 && f.at+longest > 8*len(f.data) {
		return 0, errTruncated
	}
	if c.n == 0 {
		return 0, errFax
	}
	f.at += int(c.n)
	return int(c.value), nil
}

// run reads the length of a run, the colour 0 for white and 1 for black.
func (f *fax) run(colour int) (int, error) {
	for total := 0; ; {
		c, err := f.code(colour)
		if err != nil {
			return 0, err
		}
		if c < 64 {
			return total + c, nil
		}
		if total += (c - 63) * 64; total > f.w {
			return 0, errFax
		}
	}
}

// change ends the run that began at from before pixel x.
func (f *fax) change(from, x int) error {
	if x < from || x > f.w {
		return errFax
	}
	f.row = append(f.row, x)
	return nil
}

// read1D reads a row of runs.
func (f *fax) read1D() error {
	for x := 0; x < f.w; {
		n, err := f.run(len(f.row) % 2)
		if err != nil {
			return err
		}
		if err := f.change(x, x+n); err != nil {
			return err
		}
		x += n
	}
	return nil
}

// read2D reads a row of changes against the one above (T.4, section 4.2). The names
// are the standard's: a0 is where the row is read to, b1 the first change above and
// right of it to the other colour, b2 the one after it.
func (f *fax) read2D() error {
	above := func(i int) int {
		if i < len(f.above) {
			return f.above[i]
		}
		return f.w
	}
	for a0 := -1; a0 < f.w; {
		colour := len(f.row) % 2
		b := colour
		for b < len(f.above) && f.above[b] <= a0 {
			b += 2
		}
		mode, err := f.code(2)
		if err != nil {
			return err
		}
		switch mode {
		case pass:
			a0 = above(b + 1)
		case horizontal:
			a0 = max(a0, 0)
			for i := range 2 {
				n, err := f.run(colour ^ i)
				if err != nil {
					return err
				}
				if err := f.change(a0, a0+n); err != nil {
					return err
				}
				a0 += n
			}
		default:
			x := above(b) + shifts[mode-vertical]
			if err := f.change(max(a0, 0), x); err != nil {
				return err
			}
			a0 = x
		}
	}
	return nil
}

// pack sets the bits of the row's black pixels.
func (f *fax) pack(out []byte) {
	for i := 0; i < len(f.row); i += 2 {
		end := f.w
		if i+1 < len(f.row) {
			end = f.row[i+1]
		}
		for x := f.row[i]; x < end; x++ {
			out[x/8] |= 0x80 >> (x % 8)
		}
	}
}

// reversedBits returns a copy of data with the bits of each byte reversed.
func reversedBits(data []byte) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		out[i] = bits.Reverse8(b)
	}
	return out
}
