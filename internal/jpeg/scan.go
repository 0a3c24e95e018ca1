package jpeg

import "slices"

// A scan is what its header says of its data (T.81, B.2.3).
type scan struct {
	of          [4]*component // the first n
	n           int
	first, last int  // coefficients, in zigzag order
	high, low   uint // bits missing before and after it; high is 0 before the first
	kind        kind
}

// A kind is the way that blocks are coded.
type kind int

const (
	wholeBlocks kind = iota // all of sequential files
	firstDC
	refineDC
	firstAC
	refineAC
)

// maxLow is the most bits that a scan may leave to others (T.81, table B.3).
const maxLow = 13

// scanHeader takes a SOS segment.
func (d *Decoder) scanHeader(s []byte) error {
	n := 0
	if len(s) > 0 {
		n = int(s[0])
	}
	if n < 1 || n > len(d.components) || len(s) != 4+2*n {
		return errHeader
	}
	tail := s[1+2*n:]
	d.scan = scan{n: n, first: int(tail[0]), last: int(tail[1]), high: uint(tail[2] >> 4), low: uint(tail[2] & 15)}
	blocks := 0
	for i := range n {
		id, tables := s[1+2*i], s[2+2*i]
		c := d.find(id, i)
		if c == nil {
			return errHeader
		}
		c.dc, c.ac = int(tables>>4), int(tables&15)
		d.scan.of[i] = c
		blocks += c.h * c.v
	}
	if n > 1 && blocks > 10 {
		return errBlocks // T.81, B.2.3
	}
	if !d.scan.classify(d.progressive) {
		return errHeader
	}
	if !d.progressive {
		d.standardTables()
	}
	for _, c := range d.scan.of[:n] {
		if err := d.add(c); err != nil {
			return err
		}
	}
	return nil
}

// find finds component number i of a scan by its id, as libjpeg-turbo does (jdmarker.c,
// get_sos): not before the frame's i-th, nor twice.
func (d *Decoder) find(id byte, i int) *component {
	for j := i; j < len(d.components); j++ {
		if c := &d.components[j]; c.id == id {
			if slices.Contains(d.scan.of[:i], c) {
				return nil
			}
			return c
		}
	}
	return nil
}

// classify finds the scan's kind and says whether such a scan is possible (T.81,
// G.1.1.1 and table B.3).
func (s *scan) classify(progressive bool) bool {
	if !progressive { // whatever it says: some files have zeros there
		s.kind, s.first, s.last, s.high, s.low = wholeBlocks, 0, 63, 0, 0
		return true
	}
	s.kind = firstDC
	if s.first > 0 {
		s.kind = firstAC
	}
	if s.high > 0 {
		s.kind++ // the refinement of either
	}
	if s.first == 0 && s.last > 0 || s.first > 0 && s.n > 1 {
		return false
	}
	return s.first <= s.last && s.last < 64 && s.low <= maxLow && (s.high == 0 || s.low == s.high-1)
}

// add checks that the scan has its tables and notes what it adds to a component.
// As in libjpeg, it may follow any others: bits that come twice, or before those
// above them, are an encoder's fault that decoding survives.
func (d *Decoder) add(c *component) error {
	s := &d.scan
	for k := s.first; k <= s.last; k++ {
		c.missing[k] = uint8(s.low)
	}
	if !c.latched { // by its first scan, whose table counts
		if c.quant > 3 || !d.hasQuant[c.quant] {
			return errHeader
		}
		c.table, c.latched = d.quant[c.quant], true
	}
	needDC, needAC := s.kind == wholeBlocks || s.kind == firstDC, s.kind == wholeBlocks || s.first > 0
	if needDC && !d.hasTable(0, c.dc) || needAC && !d.hasTable(1, c.ac) {
		return errHeader
	}
	return nil
}

// hasTable says whether there is such a Huffman table, of DC (0) or AC (1).
func (d *Decoder) hasTable(class, id int) bool {
	return id < len(d.huffman[class]) && d.huffman[class][id].defined && d.huffman[class][id].valid
}
