package jpeg

import (
	"encoding/binary"
	mathbits "math/bits"
)

// The four ways that a progressive scan codes a block (T.81, annex G). They write
// coefficients that are not dequantised, in rows, those of AC noted in set.

// find finds the code that acc begins with, or zero.
func (t *table) find(acc uint64) code {
	if c := t.look[acc>>(64-lookBits)]; c != 0 {
		return c
	}
	return t.search(acc)
}

// firstDC decodes the high bits of a block's DC coefficient (T.81, G.1.2.1).
func (b *bits) firstDC(block *[64]int16, pred *int32, s *scan, dc *table) error {
	b.refill()
	c := dc.find(b.acc)
	if c == 0 {
		return errDamaged
	}
	*pred += c.value(b.acc)
	b.skip(c.total())
	block[0] = int16(*pred << s.low)
	return nil
}

// refineDC decodes one more bit of it, in two's complement.
func (b *bits) refineDC(block *[64]int16, s *scan) {
	b.refill()
	block[0] |= int16(b.acc >> 63 << s.low)
	b.skip(1)
}

// firstAC decodes the high bits of the scan's AC coefficients (T.81, G.1.2.2).
func (b *bits) firstAC(block *[64]int16, set *uint64, s *scan, ac *table) error {
	if b.run > 0 {
		b.run--
		return nil
	}
	acc, n, pos := b.acc, b.n, b.pos
	for k := s.first; k <= s.last; k++ {
		if n < 32 { // refill
			acc |= binary.BigEndian.Uint64(b.data[pos:]) >> (n & 63)
			pos += int(63-n) >> 3
			n |= 56
		}
		c := ac.look[acc>>(64-lookBits)]
		if c == 0 {
			c = ac.search(acc)
		}
		v := int16(c.value(acc) << s.low)
		acc <<= c.total() & 63
		n -= c.total()
		if v == 0 {
			if c == 0 || c.extra() > 0 { // no code, or a coefficient out of range
				return errDamaged
			}
			if c.zeros() != 15 {
				b.acc, b.n, b.pos = acc, n, pos
				b.startRun(c)
				b.run--
				return nil
			}
		}
		k += c.zeros()
		if v != 0 {
			if k > s.last {
				return errDamaged
			}
			block[order[k&63]&63] = v
			*set |= 1 << (k & 63)
		}
	}
	b.acc, b.n, b.pos = acc, n, pos
	return nil
}

// startRun takes the bits after a code that ends this block and others: as many
// blocks as they say, in as many bits as the code says, with a 1 before them.
func (b *bits) startRun(c code) {
	n := uint(c.zeros()) & 15 // endOfBlock is a run of one
	b.run = 1<<n | int(b.acc>>1>>(63-n))
	b.skip(n)
}

// refineAC decodes one more bit of the scan's AC coefficients, and those whose
// first bit it is (T.81, G.1.2.3): each code is followed by a bit for each
// coefficient, already known, that its zeros lead past.
func (b *bits) refineAC(block *[64]int16, set *uint64, s *scan, ac *table) error {
	bit := int16(1) << s.low
	known := *set & (2<<s.last - 1) // in the scan, and not behind
	known &^= 1<<s.first - 1
	free := ^known &^ (1<<s.first - 1) // those that are zero
	for k := s.first; b.run == 0 && k <= s.last; k++ {
		b.refill()
		c := ac.find(b.acc)
		if c == 0 || c.extra() > 1 {
			return errDamaged
		}
		v := int16(c.value(b.acc)) << s.low
		b.skip(c.total())
		if v == 0 && c.zeros() != 15 {
			b.startRun(c)
			break
		}
		for range c.zeros() {
			free &= free - 1
		}
		k = mathbits.TrailingZeros64(free)
		if k > s.last {
			if v != 0 {
				return errDamaged
			}
			b.correct(block, known, bit)
			return nil
		}
		free &= free - 1
		b.correct(block, known&(1<<k-1), bit)
		known &^= 1<<k - 1
		if v != 0 {
			block[order[k&63]&63] = v
			*set |= 1 << k
		}
	}
	if b.run > 0 {
		b.run--
		b.correct(block, known, bit)
	}
	return nil
}

// correct decodes a bit of each coefficient of known: whether bit is added to
// its absolute value.
func (b *bits) correct(block *[64]int16, known uint64, bit int16) {
	for ; known != 0; known &= known - 1 {
		if b.n == 0 {
			b.refill()
		}
		v := &block[order[mathbits.TrailingZeros64(known)&63]&63]
		sign := *v >> 15
		if *v&bit == 0 { // always, of scans in order
			*v += (bit ^ sign - sign) & int16(int64(b.acc)>>63)
		}
		b.skip(1)
	}
}

// skip takes n bits, of those that are loaded.
func (b *bits) skip(n uint) {
	b.acc <<= n & 63
	b.n -= n
}
