package jpeg

import (
	"image"

	"effnet/internal/pixel"
)

// Decode writes the pixels of a region of the file that Open read to dst, the
// whole image [Height, Width, 3]; pixels outside the region are unspecified. Damage
// outside the region may go unnoticed, but a file without its end is always an
// error.
func (d *Decoder) Decode(dst []uint8, region image.Rectangle) error {
	w, h := d.header.Width, d.header.Height
	region = region.Intersect(image.Rect(0, 0, w, h))
	if region.Empty() {
		return nil
	}
	// The region in MCUs, with the neighbours that chroma is interpolated from.
	m := image.Rect((region.Min.X-2)/d.mcu.X, (region.Min.Y-2)/d.mcu.Y,
		(region.Max.X+1)/d.mcu.X+1, (region.Max.Y+1)/d.mcu.Y+1)
	m = m.Intersect(image.Rectangle{Max: d.mcus})
	if err := d.samples(m); err != nil {
		return err
	}
	d.colour(dst, region, m)
	return nil
}

// DecodeYCbCr is Decode of the whole image of three components that are Y'CbCr,
// whatever the file says of them, as those of a TIFF file are.
func (d *Decoder) DecodeYCbCr(dst []uint8) error {
	d.space = yCbCr
	return d.Decode(dst, image.Rect(0, 0, d.header.Width, d.header.Height))
}

// DecodeComponents writes the samples of the file that Open read as they are, without
// a conversion to RGB, to dst [Height, Width, Components]. Those of lower resolution
// are repeated, as by readers that ask libjpeg for its raw data.
func (d *Decoder) DecodeComponents(dst []uint8) error {
	if err := d.samples(image.Rectangle{Max: d.mcus}); err != nil {
		return err
	}
	w, n := d.header.Width, len(d.components)
	for i := range d.components {
		c := &d.components[i]
		for y := range d.header.Height {
			line, q := c.plane[y/c.repeat.Y*c.stride:], dst[y*w*n+i:]
			for x := range w {
				q[x*n] = line[x/c.repeat.X]
			}
		}
	}
	return nil
}

// samples decodes the MCUs m into the components' planes.
func (d *Decoder) samples(m image.Rectangle) error {
	if d.several {
		return d.allScans(m)
	}
	return d.oneScan(m)
}

// prepare gives the components memory for the MCUs m.
func (d *Decoder) prepare(m image.Rectangle) {
	for i := range d.components {
		c := &d.components[i]
		across := m.Dx() * c.h
		c.blocks = grow(c.blocks, across*c.v*64)
		c.flat = grow(c.flat, across*c.v)
		c.stride = 8 * (across + across%2)
		c.plane = grow(c.plane, m.Dy()*c.v*8*c.stride+pixel.Tail)
	}
}

// oneScan decodes a file in one scan, the MCUs of the whole image in order, and
// keeps the samples of m.
func (d *Decoder) oneScan(m image.Rectangle) error {
	rest, err := d.startScan()
	if err != nil {
		return err
	}
	if err := trailer(rest); err != nil {
		return err
	}
	d.prepare(m)
	for y := range m.Max.Y {
		keep := y >= m.Min.Y
		if keep {
			d.clearBlocks()
		}
		for x := range d.mcus.X {
			if err := d.nextMCU(); err != nil {
				return err
			}
			if err := d.decodeMCU(x-m.Min.X, m.Dx(), keep); err != nil {
				return err
			}
		}
		if d.bits.past() {
			return errDamaged
		}
		if keep {
			d.transform(y - m.Min.Y)
		}
	}
	return nil
}

// trailer checks that only the end follows the only scan, perhaps after segments
// that no longer matter.
func trailer(rest []byte) error {
	for {
		mark, _, after, err := nextSegment(rest)
		switch {
		case err != nil:
			return err
		case mark == markEOI:
			return nil
		case !skipped(mark) && mark != markDHT && mark != markDQT && mark != markDRI:
			return errDamaged // a scan of what is complete, or a second image
		}
		rest = after
	}
}

// startScan loads the data of the scan whose header was read, and returns the
// rest of the file from the next marker on.
func (d *Decoder) startScan() (rest []byte, err error) {
	d.resetPredictions()
	return d.bits.load(d.data)
}

func (d *Decoder) resetPredictions() {
	for i := range d.components {
		d.components[i].pred = 0
	}
}

// nextMCU counts the MCUs; where a restart is due it goes to the data after it.
func (d *Decoder) nextMCU() error {
	b := &d.bits
	if d.interval > 0 && b.mcus == d.interval {
		if b.interval+1 >= len(b.ends) || b.past() {
			return errDamaged
		}
		b.begin(b.interval + 1)
		d.resetPredictions()
	}
	b.mcus++
	return nil
}

// clearBlocks makes all coefficients of a row of MCUs zero.
func (d *Decoder) clearBlocks() {
	for i := range d.components {
		clear(d.components[i].blocks)
	}
}

// decodeMCU decodes one MCU, number x of n in the region if keep is set.
func (d *Decoder) decodeMCU(x, n int, keep bool) error {
	keep = keep && x >= 0 && x < n
	for _, c := range d.scan.of[:d.scan.n] {
		dc, ac, quant := &d.huffman[0][c.dc], &d.huffman[1][c.ac], &c.table
		for v := range c.v {
			for h := range c.h {
				dst, at := &d.skip, 0
				if keep {
					at = (v*n+x)*c.h + h
					dst = (*[64]int16)(c.blocks[64*at:])
				}
				textured, err := d.bits.block(dst, &c.pred, dc, ac, quant)
				if err != nil {
					return err
				}
				if keep {
					c.flat[at] = !textured
				}
			}
		}
	}
	return nil
}

// transform turns the coefficients of row y of the region's MCUs into samples.
func (d *Decoder) transform(y int) {
	for i := range d.components {
		c := &d.components[i]
		across := len(c.flat) / c.v
		for v := range c.v {
			dst := c.plane[(y*c.v+v)*8*c.stride:]
			blocks, flat := c.blocks[v*across*64:][:across*64], c.flat[v*across:][:across]
			for x := 0; x < across; x += 2 {
				n := min(2, across-x)
				if flat[x] && flat[x+n-1] {
					level(dst[8*x:], c.stride, blocks[64*x:], n)
				} else {
					d.set.IDCT(dst[8*x:], c.stride, blocks[64*x:][:64*n])
				}
			}
		}
	}
}

// level is the IDCT of n blocks of which only the first coefficient is not zero.
func level(dst []uint8, stride int, blocks []int16, n int) {
	for b := range n {
		v := uint8(min(max((int32(blocks[64*b])+4)>>3+128, 0), 255))
		for r := range 8 {
			q := dst[r*stride+8*b:][:8]
			for i := range q {
				q[i] = v
			}
		}
	}
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
