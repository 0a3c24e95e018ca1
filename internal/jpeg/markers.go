package jpeg

import "encoding/binary"

// The markers that matter (ITU-T T.81, table B.1).
const (
	markTEM  = 0x01
	markSOF0 = 0xc0 // baseline
	markSOF1 = 0xc1 // extended sequential
	markSOF2 = 0xc2 // progressive
	markSOF3 = 0xc3 // lossless
	markDHT  = 0xc4
	markJPG  = 0xc8
	markDAC  = 0xcc
	markSOFF = 0xcf
	markRST0 = 0xd0
	markRST7 = 0xd7
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
	markDQT  = 0xdb
	markDNL  = 0xdc
	markDRI  = 0xdd
	markDHP  = 0xde
	markAPP0 = 0xe0
	markAPP1 = 0xe1
	markAPPE = 0xee
	markAPPF = 0xef
	markJPG7 = 0xf7
	markCOM  = 0xfe
)

// Is tells whether a file begins as JPEG files do.
func Is(file []byte) bool { return len(file) >= 2 && file[0] == 0xff && file[1] == markSOI }

// alone says whether a marker has no segment.
func alone(mark byte) bool {
	return mark == markTEM || mark >= markRST0 && mark <= markEOI
}

// nextSegment finds the next marker in data and splits off its segment, without
// the length, which markers that stand alone do not have. Bytes before a marker
// that belong to nothing are skipped, as libjpeg does (jdmarker.c, next_marker).
func nextSegment(data []byte) (mark byte, segment, rest []byte, err error) {
	at := 0
	for {
		if at+1 >= len(data) {
			return 0, nil, nil, ErrTruncated
		}
		if data[at] == 0xff && data[at+1] != 0xff && data[at+1] != 0 {
			break
		}
		at++
	}
	mark, data = data[at+1], data[at+2:]
	if alone(mark) {
		return mark, nil, data, nil
	}
	if len(data) < 2 {
		return 0, nil, nil, ErrTruncated
	}
	n := max(int(binary.BigEndian.Uint16(data)), 2)
	if len(data) < n {
		return 0, nil, nil, ErrTruncated
	}
	return mark, data[2:n], data[n:], nil
}

// segment takes one segment other than SOS.
func (d *Decoder) segment(mark byte, s []byte) error {
	switch {
	case mark >= markSOF0 && mark <= markSOF2:
		d.progressive = mark == markSOF2
		return d.frame(s)
	case mark == markDHT:
		return d.tables(s)
	case mark == markDQT:
		return d.quantization(s)
	case mark == markDRI:
		if len(s) != 2 {
			return errHeader
		}
		d.interval = int(binary.BigEndian.Uint16(s))
		return nil
	case mark == markAPP0:
		d.jfif = d.jfif || len(s) >= 14 && string(s[:5]) == "JFIF\x00"
		return nil
	case mark == markAPPE:
		if len(s) >= 12 && string(s[:5]) == "Adobe" {
			d.adobe, d.adobeFlag = true, s[11]
		}
		return nil
	case mark >= markSOF3 && mark <= markSOFF && mark != markDAC && mark != markJPG:
		return unsupportedFrame(mark)
	case mark == markDHP:
		return UnsupportedError("hierarchical JPEG")
	case mark == markJPG7:
		return UnsupportedError("JPEG-LS") // its SOF (ITU-T T.87)
	case skipped(mark):
		return nil
	}
	return errHeader
}

// skipped says whether segments of a marker are skipped, wherever they are.
func skipped(mark byte) bool {
	return mark >= markAPP0 && mark <= markAPPF || mark >= markRST0 && mark <= markRST7 ||
		mark == markCOM || mark == markDNL || mark == markDAC || mark == markTEM
}

// unsupportedFrame names the process of a SOF marker (T.81, table B.1).
func unsupportedFrame(mark byte) error {
	switch mark & 15 {
	case 3:
		return UnsupportedError("lossless JPEG")
	case 5, 6, 7, 13, 14, 15:
		return UnsupportedError("hierarchical JPEG")
	case 11:
		return UnsupportedError("lossless arithmetic-coded JPEG")
	}
	return UnsupportedError("arithmetic-coded JPEG")
}

// quantization takes a DQT segment. Values of 16 bits wrap in an int16, and so
// do products with them in libjpeg-turbo.
func (d *Decoder) quantization(s []byte) error {
	for len(s) > 0 {
		id, size := s[0]&15, 1
		if s[0] > 15 {
			size = 2
		}
		if id > 3 || len(s) < 1+64*size {
			return errHeader
		}
		for i := range d.quant[id] {
			if size == 2 {
				d.quant[id][i] = int16(binary.BigEndian.Uint16(s[1+2*i:]))
			} else {
				d.quant[id][i] = int16(s[1+i])
			}
		}
		d.hasQuant[id] = true
		s = s[1+64*size:]
	}
	return nil
}

// frame takes a SOF segment.
func (d *Decoder) frame(s []byte) error {
	if len(d.components) > 0 || len(s) < 6 || len(s) != 6+3*int(s[5]) {
		return errHeader
	}
	if s[0] != 8 {
		return unsupported("%d-bit JPEG", s[0])
	}
	n := int(s[5])
	d.header = Header{Height: int(binary.BigEndian.Uint16(s[1:])), Width: int(binary.BigEndian.Uint16(s[3:])), Components: n}
	if d.header.Width == 0 || d.header.Height == 0 {
		return headerError("its header claims %dx%d pixels", d.header.Width, d.header.Height)
	}
	if n != 1 && n != 3 && n != 4 {
		return unsupported("%d-component JPEG", n)
	}
	if cap(d.components) < 4 {
		d.components = make([]component, 0, 4)
	}
	d.components = d.components[:n]
	for i := range d.components {
		d.components[i].reset(s[6+3*i:])
	}
	for _, c := range d.components {
		if c.h == 0 || c.h > 4 || c.v == 0 || c.v > 4 {
			return headerError("sampling factors of %dx%d", c.h, c.v)
		}
	}
	if c := &d.components[0]; n == 1 && !d.progressive {
		// The only component of a scan is not interleaved; but what smoothing does
		// depends on the factors.
		c.h, c.v = 1, 1
	}
	return d.sampling()
}

// reset sets a component to its part of a SOF segment.
func (c *component) reset(s []byte) {
	c.id, c.h, c.v, c.quant = s[0], int(s[1]>>4), int(s[1]&15), int(s[2])
	c.table, c.latched = [64]int16{}, false
	for k := range c.missing {
		c.missing[k] = allBits
	}
}

// sampling derives the sizes that follow from the sampling factors.
func (d *Decoder) sampling() error {
	h, v := 1, 1
	for i := range d.components {
		c := &d.components[i]
		h, v = max(h, c.h), max(v, c.v)
	}
	d.mcu.X, d.mcu.Y = 8*h, 8*v
	d.mcus.X, d.mcus.Y = divideUp(d.header.Width, d.mcu.X), divideUp(d.header.Height, d.mcu.Y)
	for i := range d.components {
		c := &d.components[i]
		if h%c.h != 0 || v%c.v != 0 {
			return errFraction
		}
		c.repeat.X, c.repeat.Y = h/c.h, v/c.v
		c.samples.X, c.samples.Y = divideUp(d.header.Width, c.repeat.X), divideUp(d.header.Height, c.repeat.Y)
		c.size.X, c.size.Y = divideUp(c.samples.X, 8), divideUp(c.samples.Y, 8)
	}
	return nil
}

func divideUp(a, b int) int { return (a + b - 1) / b }
