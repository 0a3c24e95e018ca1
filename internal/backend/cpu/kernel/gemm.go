package kernel

import "unsafe"

// Tail is how many values past the end of any operand a kernel may read (never
// write). Buffers are padded by it.
const Tail = 16

// A tile is the inner loop of a matrix product: rows x cols accumulators that
// stay in registers while k runs. It may be told to use fewer rows, and to store
// fewer columns, down to one in its last vector.
type tile struct {
	rows, cols int
	run        func(k, rows int, a unsafe.Pointer, ars, acs int, b, c unsafe.Pointer, ldc, cols int, add bool)
}

// laneNumbers are the numbers of a vector's values.
var laneNumbers = [16]int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// blockK is how many values of the inner dimension a panel of B holds at once:
// 256 rows of 48 columns are 48 KiB, which stay in L2 next to the rows of A.
const blockK = 256

// Gemm computes rows of C = A·B from a packed B:
//
//	for i in 0..m, j in 0..b.N:
//		c[i*ldc+j] = sum over k of a[i*ars+k*acs] * B[k][j]
//
// and with add, c[...] += the sum. The strides let A be read transposed in
// place; packed holds B as b lays it out.
func (s *Set) Gemm(m int, a []float32, ars, acs int, b *Packing, packed, c []float32, ldc int, add bool) {
	pa, pc := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(c))
	if m == 0 || b.N == 0 {
		return
	}
	_, _ = a[(m-1)*ars+(b.K-1)*acs], c[(m-1)*ldc+b.N-1]
	for k := 0; k < b.K; k += blockK {
		kb := min(blockK, b.K-k)
		col := 0
		for _, p := range b.panels {
			t := s.tiles[p]
			panel := unsafe.Pointer(&packed[b.rowLen*k+col*kb])
			gemmPanel(t, m, kb, unsafe.Add(pa, k*acs*4), ars, acs, panel, unsafe.Add(pc, col*4), ldc, min(t.cols, b.N-col), add || k > 0)
			col += t.cols
		}
	}
}

// gemmPanel runs a tile down the m rows of one panel of which n columns count.
func gemmPanel(t tile, m, k int, a unsafe.Pointer, ars, acs int, b, c unsafe.Pointer, ldc, n int, add bool) {
	for i := 0; i < m; i += t.rows {
		t.run(k, min(t.rows, m-i), unsafe.Add(a, i*ars*4), ars, acs, b, unsafe.Add(c, i*ldc*4), ldc, n, add)
	}
}

// Packing lays a matrix B [K,N] out for Gemm: blocks of blockK rows, each block
// cut into panels of a tile's width, each panel its rows one after another,
// padded with zeros.
type Packing struct {
	K, N   int
	panels []int // index of each panel's tile in the Set
	rowLen int   // padded columns
}

// NewPacking plans the packing of a [k,n] matrix: the widest panels, unless
// that would leave a narrow one where two of middle width do.
func (s *Set) NewPacking(k, n int) *Packing {
	p := &Packing{K: k, N: n}
	for left := n; left > 0; {
		i := len(s.tiles) - 1
		for i > 0 && s.tiles[i].cols < left {
			i--
		}
		if i == 0 && len(s.tiles) == 3 && left > s.tiles[0].cols && left <= 2*s.tiles[1].cols {
			i = 1
		}
		p.panels = append(p.panels, i)
		p.rowLen += s.tiles[i].cols
		left -= s.tiles[i].cols
	}
	return p
}

// Size is the number of values of the packed matrix.
func (p *Packing) Size() int { return p.K * p.rowLen }

// Blocks is the number of pieces PackBlock can pack independently.
func (p *Packing) Blocks() int { return (p.K + blockK - 1) / blockK }

// PackBlock packs rows i*blockK... of B, whose element (k,j) is b[k*brs+j*bcs];
// one of the strides is 1. Columns that pad a panel hold anything: what they give
// is not stored.
func (s *Set) PackBlock(packed []float32, p *Packing, i int, b []float32, brs, bcs int) {
	k0 := i * blockK
	kb := min(blockK, p.K-k0)
	dst := packed[k0*p.rowLen:]
	col := 0
	for _, t := range p.panels {
		cols := s.tiles[t].cols
		n := min(cols, p.N-col)
		if bcs == 1 {
			s.packRows(dst[:kb*cols], b[k0*brs+col:], kb, brs, cols, n)
		} else {
			for j := range n {
				for k, v := range b[k0+(col+j)*bcs:][:kb] {
					dst[k*cols+j] = v
				}
			}
		}
		dst = dst[kb*cols:]
		col += n
	}
}

// packRowsGeneric copies the first n columns of rows that are stride apart to
// rows of cols.
func packRowsGeneric(dst, src []float32, rows, stride, cols, n int) {
	for r := range rows {
		copy(dst[r*cols:][:n], src[r*stride:][:n])
	}
}

// tileGeneric is the definition of a tile, of up to 4 rows and 8 columns: c = a·b
// or, with add, c += a·b. Values of a are ars apart from row to row and acs along
// k; b holds k rows of 8, of which the first cols columns count.
func tileGeneric(k, rows int, a unsafe.Pointer, ars, acs int, b, c unsafe.Pointer, ldc, cols int, add bool) {
	av := unsafe.Slice((*float32)(a), (rows-1)*ars+(k-1)*acs+1)
	bv := unsafe.Slice((*float32)(b), k*8)
	cv := unsafe.Slice((*float32)(c), (rows-1)*ldc+cols)
	for r := range rows {
		var acc [8]float32
		for i := range k {
			x, row := av[r*ars+i*acs], bv[i*8:i*8+8]
			for j := range acc {
				acc[j] += x * row[j]
			}
		}
		dst := cv[r*ldc:][:cols]
		for j, v := range acc[:cols] {
			if add {
				v += dst[j]
			}
			dst[j] = v
		}
	}
}
