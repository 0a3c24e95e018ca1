package jpeg

// A scan is what its header says of its data (T.81, B.2.3).
type scan struct {
	of          [3]*component // the first n
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
		return ErrUnsupported
	}
	tail := s[1+2*n:]
	d.scan = scan{n: n, first: int(tail[0]), last: int(tail[1]), high: uint(tail[2] >> 4), low: uint(tail[2] & 15)}
	rest := d.components // the scan has them in this order
	for i := range n {
		id, tables := s[1+2*i], s[2+2*i]
		for len(rest) > 0 && rest[0].id != id {
			rest = rest[1:]
		}
		if len(rest) == 0 || tables>>4 > 3 || tables&15 > 3 {
			return ErrUnsupported
		}
		c := &rest[0]
		c.dc, c.ac = int(tables>>4), int(tables&15)
		d.scan.of[i] = c
		rest = rest[1:]
	}
	if !d.scan.classify(d.progressive) {
		return ErrUnsupported
	}
	for _, c := range d.scan.of[:n] {
		if err := d.add(c); err != nil {
			return err
		}
	}
	return nil
}

// classify finds the scan's kind and says whether there are such scans (T.81,
// G.1.1.1 and table B.3).
func (s *scan) classify(progressive bool) bool {
	if !progressive {
		s.kind = wholeBlocks
		return s.first == 0 && s.last == 63 && s.high == 0 && s.low == 0
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

// add checks that the scan may follow those before it and has its tables, and
// notes what it adds to a component.
func (d *Decoder) add(c *component) error {
	s := &d.scan
	before := uint8(s.high)
	if s.high == 0 {
		before = allBits
	}
	if s.first > 0 && c.missing[0] == allBits {
		return errDamaged // DC coefficients come first
	}
	for k := s.first; k <= s.last; k++ {
		if c.missing[k] != before {
			return errDamaged
		}
		c.missing[k] = uint8(s.low)
	}
	needDC, needAC := s.kind == wholeBlocks || s.kind == firstDC, s.kind == wholeBlocks || s.first > 0
	if needDC && !d.huffman[0][c.dc].defined || needAC && !d.huffman[1][c.ac].defined {
		return errDamaged
	}
	if s.first == 0 && s.high == 0 { // its first scan, whose table counts
		if !d.hasQuant[c.quant] {
			return errDamaged
		}
		c.table = d.quant[c.quant]
	}
	return nil
}
