package jpeg

import (
	"bytes"
	"encoding/binary"
)

// lookBits is how many bits of the stream find a code at once. Longer codes are
// rare: they take a search by length.
const lookBits = 11

// A code is what a Huffman code stands for: a number of zero coefficients, then one
// whose value is in the extra bits after the code.
//
//	bits  0 to  5  length of the code and of the extra bits together
//	bits  6 to 10  length of the code
//	bits 11 to 14  length of the extra bits
//	bits 15 to 21  zeros, or endOfBlock and more
//
// Zero means that there is no code.
type code uint32

// endOfBlock ends a block; in progressive files this one and others, by as many
// bits more as are added to it.
const endOfBlock = 64

func newCode(length int, symbol byte, ac bool) code {
	extra, zeros := int(symbol), 0
	if ac {
		extra, zeros = int(symbol&15), int(symbol>>4)
		if extra == 0 && zeros < 15 {
			zeros += endOfBlock
		}
	}
	return code(length + extra | length<<6 | extra<<11 | zeros<<15)
}

func (c code) total() uint { return uint(c & 63) }
func (c code) extra() uint { return uint(c >> 11 & 15) }
func (c code) zeros() int  { return int(c >> 15) }

// value is the coefficient, of a stream whose next bits are acc (T.81, F.2.2.1):
// a first extra bit of zero means a negative one.
func (c code) value(acc uint64) int32 {
	acc <<= c >> 6 & 31
	extra := c >> 11 & 15
	v := int32(acc >> 1 >> (63 - extra))
	return v - (1<<extra-1)&^int32(int64(acc)>>63)
}

// A table decodes one Huffman code.
type table struct {
	defined bool // by a file, perhaps wrongly
	valid   bool // spec is that of a code
	ac      bool
	spec    []byte              // the DHT segment's part it was made from
	look    [1 << lookBits]code // by the next lookBits bits; zero for longer codes

	// By length of code: the codes of length n are those below last[n], left
	// aligned in 16 bits, and offset[n] + code>>(16-n) is the index of their
	// symbol.
	last    [18]int32
	offset  [17]int32
	symbols [256]byte
}

// tables takes a DHT segment.
func (d *Decoder) tables(s []byte) error {
	for len(s) > 0 {
		if len(s) < 17 {
			return errHeader
		}
		class, id := s[0]>>4, s[0]&15
		if class > 1 || id > 3 {
			return errHeader
		}
		n := 0
		for _, count := range s[1:17] {
			n += int(count)
		}
		if n > 256 || len(s) < 17+n {
			return errHeader
		}
		d.huffman[class][id].set(s[1:17+n], class == 1)
		s = s[17+n:]
	}
	return nil
}

// set makes the table of a code: spec is the number of codes of each length from
// 1 to 16, then their symbols. Files mostly have the tables of the file
// before. A wrong table matters only to a scan that uses it.
func (t *table) set(spec []byte, ac bool) {
	t.defined = true
	if ac == t.ac && bytes.Equal(spec, t.spec) {
		return
	}
	t.valid, t.ac, t.spec = false, ac, append(t.spec[:0], spec...)
	clear(t.look[:])
	copy(t.symbols[:], spec[16:])
	next, k := int32(0), int32(0)
	for n := 1; n <= 16; n++ {
		t.offset[n] = k - next
		for range spec[n-1] {
			symbol := t.symbols[k]
			if next >= 1<<n || !ac && symbol > 15 {
				return
			}
			if rest := lookBits - n; rest >= 0 {
				c := newCode(n, symbol, ac)
				for i := range t.look[next<<rest:][:1<<rest] {
					t.look[int(next)<<rest+i] = c
				}
			}
			next++
			k++
		}
		t.last[n] = next << (16 - n)
		next <<= 1
	}
	t.last[17] = 1 << 16 // ends the search
	t.valid = true
}

// search finds the code, longer than lookBits, that acc begins with, or zero.
func (t *table) search(acc uint64) code {
	next := int32(acc >> 48)
	n := lookBits + 1
	for next >= t.last[n] {
		n++
	}
	if n > 16 {
		return 0
	}
	return newCode(n, t.symbols[(t.offset[n]+next>>(16-n))&255], t.ac)
}

// bits is the compressed data without stuffing and markers, and a position.
type bits struct {
	data []byte // ends in padding zeros
	ends []int  // of the intervals between restarts
	pos  int    // of the next byte to load
	acc  uint64 // the next bits, from the top
	n    uint   // how many of acc are valid

	interval int // which of ends is the next
	mcus     int // begun since the last
	run      int // blocks, the next ones, that a scan adds no coefficients to
}

// padding is more than the data of one block can take beyond the end.
const padding = 64*4 + 32

// load takes the data of a scan apart and returns the rest of the file, which
// begins with the marker after that data.
func (b *bits) load(scan []byte) (rest []byte, err error) {
	b.data, b.ends = b.data[:0], b.ends[:0]
	for {
		i := bytes.IndexByte(scan, 0xff)
		if i < 0 || i+1 >= len(scan) {
			return nil, ErrTruncated
		}
		b.data = append(b.data, scan[:i]...)
		mark := scan[i+1]
		rest, scan = scan[i:], scan[i+2:]
		switch {
		case mark == 0:
			b.data = append(b.data, 0xff)
		case mark == 0xff: // padding
			scan = rest[1:]
		case mark&^7 == markRST0:
			if int(mark&7) != len(b.ends)&7 {
				return nil, errDamaged
			}
			b.ends = append(b.ends, len(b.data))
		default:
			b.ends = append(b.ends, len(b.data))
			b.data = append(b.data, make([]byte, padding)...)
			b.begin(0)
			return rest, nil
		}
	}
}

// begin goes to the start of an interval.
func (b *bits) begin(interval int) {
	b.pos, b.acc, b.n = 0, 0, 0
	if interval > 0 {
		b.pos = b.ends[interval-1]
	}
	b.interval, b.mcus, b.run = interval, 0, 0
}

// past says whether more was taken than the interval has.
func (b *bits) past() bool { return 8*b.pos-int(b.n) > 8*b.ends[b.interval] }

// refill loads at least 56 bits; no code takes more than 31 with its extra bits.
func (b *bits) refill() {
	b.acc |= binary.BigEndian.Uint64(b.data[b.pos:]) >> b.n
	b.pos += int(63-b.n) >> 3
	b.n |= 56
}

// block decodes the coefficients of one block into dst, dequantised and in rows,
// where they are not zero; pred is that of the first. It reports whether there
// are others.
func (b *bits) block(dst *[64]int16, pred *int32, dc, ac *table, quant *[64]int16) (textured bool, err error) {
	if b.pos > len(b.data)-padding+8 {
		return false, errDamaged
	}
	b.refill()
	c := dc.look[b.acc>>(64-lookBits)]
	if c == 0 {
		c = dc.search(b.acc)
	}
	*pred += c.value(b.acc)
	dst[0] = int16(*pred * int32(quant[0]))

	acc, n, pos := b.acc<<c.total(), b.n-c.total(), b.pos
	last := 0
	for k := 1; k < 64 && c != 0; k++ {
		if n < 32 { // refill
			acc |= binary.BigEndian.Uint64(b.data[pos:]) >> (n & 63)
			pos += int(63-n) >> 3
			n |= 56
		}
		c = ac.look[acc>>(64-lookBits)]
		if c == 0 {
			c = ac.search(acc)
		}
		v := c.value(acc)
		acc <<= c.total() & 63
		n -= c.total()
		k += c.zeros()
		if k > 63 {
			if c.extra() > 0 {
				return false, errDamaged
			}
			break
		}
		dst[order[k]&63] = int16(v * int32(quant[k]))
		last = k
	}
	if c == 0 {
		return false, errDamaged
	}
	b.acc, b.n, b.pos = acc, n, pos
	return last > 0, nil
}

// order is where the coefficients of a file go in rows of a block (zigzag).
var order = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}
