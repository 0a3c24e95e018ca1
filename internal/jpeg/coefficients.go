package jpeg

import (
	"image"
	mathbits "math/bits"
)

// maxScans bounds the time that a small file can take. Files have about 10;
// libjpeg-turbo's fuzz targets stop at 500 too.
const maxScans = 500

// maxKept is how many coefficients of a component stay allocated from file to
// file (16 MB): the luma of 8 megapixels.
const maxKept = 8 << 20

// allScans decodes a file in several scans, and from their sum the samples of
// the MCUs m.
func (d *Decoder) allScans(m image.Rectangle) error {
	// Scans change the tables; this also lets one Open serve several times.
	if _, err := d.Open(d.file); err != nil {
		return err
	}
	defer d.release()
	if err := d.prepareAll(); err != nil {
		return err
	}
	for n := 0; d.data != nil; n++ {
		if n == maxScans {
			return errScans
		}
		rest, err := d.startScan()
		if err != nil {
			return err
		}
		if err := d.addScan(); err != nil {
			return err
		}
		if err := d.nextScan(rest); err != nil {
			return err
		}
	}
	smooth := d.smoothing()
	d.prepare(m)
	for y := m.Min.Y; y < m.Max.Y; y++ {
		d.clearBlocks()
		for i := range d.components {
			d.components[i].dequantise(y, m)
			if smooth {
				d.smooth(&d.components[i], y, m)
			}
		}
		d.transform(y - m.Min.Y)
	}
	return nil
}

// prepareAll gives the components memory for all coefficients, unless the file
// is too short for one bit of each block.
func (d *Decoder) prepareAll() error {
	blocks := 0
	for i := range d.components {
		c := &d.components[i]
		blocks += c.size.X * c.size.Y
	}
	if blocks > 8*len(d.file) {
		return errDamaged
	}
	for i := range d.components {
		c := &d.components[i]
		c.across = d.mcus.X * c.h
		n := c.across * d.mcus.Y * c.v
		c.coefficients, c.set = grow(c.coefficients, 64*n), grow(c.set, n)
		clear(c.coefficients)
		clear(c.set)
	}
	return nil
}

// release frees the coefficients of huge images.
func (d *Decoder) release() {
	for i := range d.components {
		if c := &d.components[i]; cap(c.coefficients) > maxKept {
			c.coefficients, c.set = nil, nil
		}
	}
}

// addScan decodes a scan. A scan of several components consists of MCUs; one of a
// single component consists of its visible blocks (T.81, A.2).
func (d *Decoder) addScan() error {
	s := &d.scan
	units := d.mcus
	if s.n == 1 {
		units = s.of[0].size
	}
	for y := range units.Y {
		for x := range units.X {
			if err := d.nextMCU(); err != nil {
				return err
			}
			if s.n == 1 {
				if err := d.addBlock(s.of[0], x, y); err != nil {
					return err
				}
				continue
			}
			if err := d.addMCU(x, y); err != nil {
				return err
			}
		}
		if d.bits.past() {
			return errDamaged
		}
	}
	return nil
}

// addMCU decodes the MCU at x, y.
func (d *Decoder) addMCU(x, y int) error {
	for _, c := range d.scan.of[:d.scan.n] {
		for v := range c.v {
			for h := range c.h {
				if err := d.addBlock(c, x*c.h+h, y*c.v+v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// addBlock decodes what the scan has of a component's block at x, y.
func (d *Decoder) addBlock(c *component, x, y int) error {
	at := y*c.across + x
	block, set := (*[64]int16)(c.coefficients[64*at:]), &c.set[at]
	s, b := &d.scan, &d.bits
	if b.pos > len(b.data)-padding+8 {
		return errDamaged
	}
	switch s.kind {
	case wholeBlocks:
		d.skip = [64]int16{}
		textured, err := b.block(&d.skip, &c.pred, &d.huffman[0][c.dc], &d.huffman[1][c.ac], &ones)
		if textured {
			*set = 1<<64 - 1
		}
		merge(block, &d.skip)
		return err
	case firstDC:
		return b.firstDC(block, &c.pred, s, &d.huffman[0][c.dc])
	case refineDC:
		b.refineDC(block, s)
		return nil
	case firstAC:
		return b.firstAC(block, set, s, &d.huffman[1][c.ac])
	default:
		return b.refineAC(block, set, s, &d.huffman[1][c.ac])
	}
}

// merge writes a block of a sequential scan over that of an earlier one of the same
// component, if there was one: its zeros leave what was there.
func merge(dst, src *[64]int16) {
	dst[0] = src[0]
	for i, v := range src[1:] {
		if v != 0 {
			dst[1+i] = v
		}
	}
}

// dequantise writes the coefficients of row y of MCUs, of the columns in m, to
// blocks, which are zero.
func (c *component) dequantise(y int, m image.Rectangle) {
	across := m.Dx() * c.h
	for v := range c.v {
		from := (y*c.v+v)*c.across + m.Min.X*c.h
		for x := range across {
			src := (*[64]int16)(c.coefficients[64*(from+x):])
			dst := (*[64]int16)(c.blocks[64*(v*across+x):])
			dst[0] = src[0] * c.table[0]
			set := c.set[from+x] &^ 1
			c.flat[v*across+x] = set == 0
			for ; set != 0; set &= set - 1 {
				k := mathbits.TrailingZeros64(set) & 63
				at := order[k] & 63
				dst[at] = src[at] * c.table[k]
			}
		}
	}
}

// ones is the quantisation table that changes nothing.
var ones = func() (table [64]int16) {
	for k := range table {
		table[k] = 1
	}
	return table
}()
