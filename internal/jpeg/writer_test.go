package jpeg

import (
	"encoding/binary"
	mathbits "math/bits"
	"slices"
)

// writer writes the coefficients that a decoder was left with, after a file in
// several scans, as another file.
type writer struct {
	d *Decoder
	script
	out []byte

	number  int       // of the scan
	codes   [2][]byte // symbols of DC and AC, in the order of their codes
	scan    scripted
	begun   [3]bool // components with a scan
	acc     uint64  // bits not yet in out, the last ones
	n       uint    // their number
	pred    [3]int
	run     int   // blocks that ended, not yet written
	pending []int // the bits that belong behind that run
}

func (w *writer) segment(mark byte, s ...byte) {
	w.out = append(w.out, 0xff, mark)
	w.out = binary.BigEndian.AppendUint16(w.out, uint16(len(s)+2))
	w.out = append(w.out, s...)
}

func (w *writer) file() []byte {
	w.out = []byte{0xff, markSOI}
	h := w.d.header
	sof := []byte{8, byte(h.Height >> 8), byte(h.Height), byte(h.Width >> 8), byte(h.Width), byte(len(w.d.components))}
	for i, c := range w.d.components {
		sof = append(sof, c.id, byte(c.h<<4|c.v), byte(i))
	}
	mark := byte(markSOF0)
	if w.progressive {
		mark = markSOF2
	}
	w.segment(mark, sof...)
	w.segment(markDRI, 0, byte(w.interval))
	for w.number, w.scan = range w.scans {
		w.header()
		w.data()
	}
	return append(w.out, 0xff, markEOI)
}

// header writes the scan's tables, other ones each time, and its header.
func (w *writer) header() {
	sos := []byte{byte(len(w.scan.of))}
	for _, i := range w.scan.of {
		c := &w.d.components[i]
		sos = append(sos, c.id, 0)
		dqt := append(make([]byte, 0, 65), byte(i))
		for _, q := range c.table {
			dqt = append(dqt, byte(q))
		}
		if w.begun[i] {
			slices.Reverse(dqt[1:])
		}
		if !w.begun[i] || w.redefine {
			w.segment(markDQT, dqt...)
		}
		w.begun[i] = true
	}
	w.codes = [2][]byte{w.symbols(0), w.symbols(1)}
	w.segment(markDHT, slices.Concat([]byte{0x00, 3: 0}, []byte{12}, make([]byte, 12), w.codes[0])...)
	ac := append([]byte{0x10}, make([]byte, 16)...)
	ac[8], ac[12] = short, byte(len(w.codes[1])-short)
	w.segment(markDHT, append(ac, w.codes[1]...)...)
	w.segment(markSOS, append(sos, byte(w.scan.first), byte(w.scan.last), byte(w.scan.high<<4|w.scan.low))...)
}

// short is how many codes of AC have 8 bits; the others have 12.
const short = 100

// symbols are those of DC (0) or AC (1), in an order of this scan's own.
func (w *writer) symbols(class int) []byte {
	n, sizes := 12, 12
	if class == 1 {
		n, sizes = 16*11, 11
	}
	list := make([]byte, n)
	for i := range list {
		s := (7*i + w.number) % n
		list[i] = byte(s/sizes<<4 | s%sizes)
	}
	return list
}

func (w *writer) code(class int, symbol int) {
	switch i := slices.Index(w.codes[class], byte(symbol)); {
	case class == 0:
		w.bits(i, 4)
	case i < short:
		w.bits(i, 8)
	default:
		w.bits(short<<4+i-short, 12)
	}
}

// bits writes the n low bits of v.
func (w *writer) bits(v int, n int) {
	w.acc = w.acc<<n | uint64(v)&(1<<n-1)
	w.n += uint(n)
	for w.n >= 8 {
		w.n -= 8
		b := byte(w.acc >> w.n)
		w.out = append(w.out, b)
		if b == 0xff {
			w.out = append(w.out, 0)
		}
	}
}

// value writes a code for zeros and a value's length, then the value.
func (w *writer) value(class, zeros, v int) {
	n := mathbits.Len(uint(max(v, -v)))
	w.code(class, zeros<<4|n)
	if v < 0 {
		v--
	}
	w.bits(v, n)
}

// data writes the scan's MCUs.
func (w *writer) data() {
	units := w.d.mcus
	if len(w.scan.of) == 1 {
		units = w.d.components[w.scan.of[0]].size
	}
	w.pred = [3]int{}
	for i := range units.X * units.Y {
		if w.interval > 0 && i > 0 && i%w.interval == 0 {
			w.flush()
			w.out = append(w.out, 0xff, markRST0+byte(i/w.interval-1)&7)
			w.pred = [3]int{}
		}
		x, y := i%units.X, i/units.X
		for _, number := range w.scan.of {
			c := &w.d.components[number]
			h, v := c.h, c.v
			if len(w.scan.of) == 1 {
				h, v = 1, 1
			}
			for j := range h * v {
				at := (y*v+j/h)*c.across + x*h + j%h
				w.block(number, (*[64]int16)(c.coefficients[64*at:]))
			}
		}
	}
	w.flush()
}

// flush ends a run and fills the last byte.
func (w *writer) flush() {
	if w.longRuns && w.run > 0 {
		w.run += 3
	}
	w.endRun()
	w.bits(0x7f, int(-w.n&7))
}

func (w *writer) endRun() {
	if w.run > 0 {
		n := mathbits.Len(uint(w.run)) - 1
		w.code(1, n<<4)
		w.bits(w.run, n)
	}
	w.run = 0
	w.correct()
}

// correct writes the pending bits.
func (w *writer) correct() {
	for _, b := range w.pending {
		w.bits(b, 1)
	}
	w.pending = w.pending[:0]
}

// block writes what the scan has of a block of a component.
func (w *writer) block(c int, block *[64]int16) {
	if w.scan.first == 0 {
		v := int(block[0]) >> w.scan.low
		if w.scan.high > 0 {
			w.bits(v, 1)
		} else {
			w.value(0, 0, v-w.pred[c])
			w.pred[c] = v
		}
	}
	if w.scan.last == 0 {
		return
	}
	var values [64]int // to be written
	for k := max(w.scan.first, 1); k <= w.scan.last; k++ {
		values[k] = int(block[order[k]]) / (1 << w.scan.low)
	}
	if w.scan.high > 0 {
		w.refinement(&values)
	} else {
		w.coefficients(&values)
	}
}

// coefficients writes a block's AC coefficients (T.81, F.1.2.2 and G.1.2.2).
func (w *writer) coefficients(values *[64]int) {
	zeros := 0
	for k := max(w.scan.first, 1); k <= w.scan.last; k++ {
		if values[k] == 0 {
			zeros++
			continue
		}
		w.endRun()
		for ; zeros > 15; zeros -= 16 {
			w.code(1, 0xf0)
		}
		w.value(1, zeros, values[k])
		zeros = 0
	}
	if zeros > 0 {
		w.run++
		if !w.progressive {
			w.endRun()
		}
	}
}

// refinement writes the last bits of coefficients (T.81, G.1.2.3).
func (w *writer) refinement(values *[64]int) {
	isNew := func(v int) bool { return v == 1 || v == -1 }
	end := 63
	for end > 0 && !isNew(values[end]) {
		end--
	}
	zeros := 0
	var behind []int // bits of those the next code leads past
	put := func(symbol int, v ...int) {
		w.endRun()
		w.code(1, symbol)
		w.pending = append(append(w.pending, v...), behind...)
		w.correct()
		behind = nil
	}
	for k := w.scan.first; k <= w.scan.last; k++ {
		v := values[k]
		for v != 0 && zeros > 15 && k <= end {
			put(0xf0)
			zeros -= 16
		}
		switch {
		case v == 0:
			zeros++
		case isNew(v):
			put(zeros<<4|1, (v+1)/2)
			zeros = 0
		default:
			behind = append(behind, max(v, -v)&1)
		}
	}
	if zeros > 0 || len(behind) > 0 {
		w.run++
		w.pending = append(w.pending, behind...)
	}
}
