package kernel

import (
	"math"
	"sync"
	"unsafe"
)

// BF16 is a bfloat16, by its bits: a float32's upper half.
type BF16 uint16

// Narrowed is the nearest BF16, ties to even; a NaN becomes that of all ones. Kernels may
// make another NaN, and take what is below the smallest normal number for zero.
func Narrowed(x float32) BF16 {
	if x != x {
		return math.MaxUint16
	}
	u := math.Float32bits(x)
	return BF16((u + u>>16&1 + 0x7fff) >> 16)
}

// Widened is the value of h.
func (h BF16) Widened() float32 { return math.Float32frombits(uint32(h) << 16) }

// hp is where a slice begins.
func hp(x []BF16) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(x)) }

// Words are pairs of neighbours as a product takes them, each in a float32's place, the
// first in the lower half. x has an even number of values.
func Words(x []BF16) []float32 {
	return unsafe.Slice((*float32)(hp(x)), len(x)/2)
}

// Halves are the places of two BF16 for each of a float32.
func Halves(x []float32) []BF16 {
	return unsafe.Slice((*BF16)(p(x)), 2*len(x))
}

// Narrow writes Narrowed values of x to y.
func (s *Set) Narrow(y []BF16, x []float32) {
	y = y[:len(x)]
	if s.c == nil {
		for i, v := range x {
			y[i] = Narrowed(v)
		}
		return
	}
	for at := 0; at < len(x); at += callValues {
		s.c.narrow(hp(y[at:]), p(x[at:]), min(callValues, len(x)-at))
	}
}

// Widen writes the values of x to y.
func (s *Set) Widen(y []float32, x []BF16) {
	y = y[:len(x)]
	if s.c == nil {
		for i, h := range x {
			y[i] = h.Widened()
		}
		return
	}
	for at := 0; at < len(x); at += callValues {
		s.c.widen(p(y[at:]), hp(x[at:]), min(callValues, len(x)-at))
	}
}

// NewPairPacking plans the packing of a [k,n] matrix of bfloat16 for GemmHalf, or for
// GemmTo with A a matrix of pairs: Packing.K is the pairs of the inner dimension. They are
// in one block.
//
// The sum of a pair's products is made as
//
//	sum + a[2k+1]*B[2k+1][j] + a[2k]*B[2k][j]
//
// rounded to float32 after each addition, in that order: the products are exact. So all
// sets give the same bits.
func (s *Set) NewPairPacking(k, n int) *Packing {
	pairs := (k + 1) / 2
	return newPacking(s.pairs, pairs, n, pairs)
}

// PackPairs packs the pairs from..to of B, whose element (k,j) is b[k*brs+j*bcs]; one of
// the strides is 1, and pairs go along k: if bcs is not 1 it is even. rows is how many
// values of the inner dimension there are: of an odd number the last pair's second is zero.
func (s *Set) PackPairs(packed []float32, b *Packing, from, to, rows int, x []BF16, brs, bcs int) {
	if bcs == 1 {
		s.PackPairRows(packed, b, from, min(rows-2*from, 2*(to-from)), x[2*from*brs:], brs)
		return
	}
	col := 0
	for _, t := range b.panels {
		cols := b.tiles[t].cols
		dst := packed[b.K*col+from*cols : b.K*col+to*cols]
		packColumns(dst, Words(x)[col*bcs/2+from:], to-from, bcs/2, cols, min(cols, b.N-col))
		col += cols
	}
}

// PackPairRows packs the pairs from.. of B from rows of bfloat16, which are stride apart.
func (s *Set) PackPairRows(packed []float32, b *Packing, from, rows int, x []BF16, stride int) {
	col := 0
	for _, t := range b.panels {
		cols := b.tiles[t].cols
		s.ZipRows(packed[b.K*col+from*cols:], cols, x[col:], stride, rows, min(cols, b.N-col))
		col += cols
	}
}

// ZipRows is zipRowsGeneric.
func (s *Set) ZipRows(y []float32, ldy int, x []BF16, stride, rows, cols int) {
	if rows == 0 {
		return
	}
	if s.c == nil {
		zipRowsGeneric(y, ldy, x, stride, rows, cols)
		return
	}
	_, _ = y[(rows-1)/2*ldy+cols-1], x[(rows-1)*stride+cols-1]
	most := 2 * max(1, callValues/(2*cols))
	for r := 0; r < rows; r += most {
		s.c.zipRows(p(y[r/2*ldy:]), hp(x[r*stride:]), ldy, stride, min(most, rows-r), cols)
	}
}

// zipRowsGeneric makes pairs of two rows of x: row i of y, which begins at i*ldy, has
// those of rows 2i and 2i+1, which begin stride apart. The last pairs of an odd number of
// rows have zeros.
func zipRowsGeneric(y []float32, ldy int, x []BF16, stride, rows, cols int) {
	for r := 0; r < rows; r += 2 {
		for j := range cols {
			pair := uint32(x[r*stride+j])
			if r+1 < rows {
				pair |= uint32(x[(r+1)*stride+j]) << 16
			}
			y[r/2*ldy+j] = math.Float32frombits(pair)
		}
	}
}

// GemmHalf is GemmTo for a packing of pairs and A of such, with C of bfloat16, to which
// nothing is added.
func (s *Set) GemmHalf(m int, a []float32, ars, acs int, b *Packing, packed []float32, c []BF16, ldc int, to *Store) {
	if m == 0 || b.N == 0 {
		return
	}
	_, _, _ = a[(m-1)*ars+(b.K-1)*acs], c[(m-1)*ldc+b.N-1], packed[b.Size()-1]
	if to.Stats != nil {
		_ = to.Stats[3*b.N-1]
	}
	how := halfHow
	if to.Stream && b.lined && ldc%line == 0 && uintptr(hp(c))%(2*line) == 0 {
		how |= streamHow
	}
	ahead := ahead{to.Ahead, p(packed)}
	var floats *[blockM * 64]float32
	if !s.half {
		floats = tileFloats.Get().(*[blockM * 64]float32)
		defer tileFloats.Put(floats)
	}
	for i := 0; i < m; i += blockM {
		rows, from, col := min(blockM, m-i), unsafe.Pointer(&a[i*ars]), 0
		for _, t := range b.panels {
			t := &b.tiles[t]
			cols, panel := min(t.cols, b.N-col), unsafe.Pointer(&packed[col*b.K])
			var sums unsafe.Pointer
			if to.Stats != nil {
				sums = unsafe.Pointer(&to.Stats[col])
			}
			next, step := ahead.next(b.K * ((rows + t.rows - 1) / t.rows))
			if s.half {
				t.run(unsafe.Pointer(&c[i*ldc+col]), from, panel, rows, b.K, ars, acs, ldc, cols, how, sums, b.N, next, step)
			} else {
				t.run(unsafe.Pointer(floats), from, panel, rows, b.K, ars, acs, t.cols, cols, 0, sums, b.N, next, step)
				for r := range rows {
					s.Narrow(c[(i+r)*ldc+col:], floats[r*t.cols:][:cols])
				}
			}
			col += t.cols
		}
	}
	to.Ahead = ahead.left
}

// tileFloats are for a tile's results where its kernel cannot store bfloat16.
var tileFloats = sync.Pool{New: func() any { return new([blockM * 64]float32) }}

// pairsGeneric is gemmGeneric of pairs (NewPairPacking).
func pairsGeneric(c, a, b unsafe.Pointer, m, k, ars, acs, ldc, cols, how int, stats unsafe.Pointer, sumsAt int, _ unsafe.Pointer, _ int) {
	av := unsafe.Slice((*uint32)(a), (m-1)*ars+(k-1)*acs+1)
	bv := unsafe.Slice((*uint32)(b), k*8)
	x, y := make([]float32, 2*m*k), make([]float32, 2*k*8)
	for i := range k {
		for r := range m {
			x[r*2*k+2*i], x[r*2*k+2*i+1] = parts(av[r*ars+i*acs])
		}
		for j := range 8 {
			y[2*i*8+j], y[(2*i+1)*8+j] = parts(bv[i*8+j])
		}
	}
	gemmGeneric(c, unsafe.Pointer(&x[0]), unsafe.Pointer(&y[0]), m, 2*k, 2*k, 1, ldc, cols, how, stats, sumsAt, nil, 0)
}

// parts are the values of a pair, in the order in which they are multiplied.
func parts(pair uint32) (second, first float32) {
	return math.Float32frombits(pair &^ 0xffff), math.Float32frombits(pair << 16)
}
