package kernel

import "unsafe"

// Tail is how many values past the end of any operand a kernel may read (never
// write). Buffers are padded by it.
const Tail = 16

// A tile is a product with a panel of B, cols columns wide: some rows of C, as many
// as fit into registers, at a time. It may be told to store fewer columns.
type tile struct {
	cols int
	run  func(c, a, b unsafe.Pointer, m, k, ars, acs, ldc, cols, add int) // gemmGeneric
}

// blockK is how many values of the inner dimension a panel of B holds at once:
// 256 rows of 64 columns are 64 KiB, which stay in L2 next to the rows of A.
const blockK = 256

// blockM is how many rows of A go past all panels before the next ones: they stay in
// L1, and every tile's height divides it.
const blockM = 24

// Gemm computes rows of C = A·B from a packed B:
//
//	for i in 0..m, j in 0..b.N:
//		c[i*ldc+j] = sum over k of a[i*ars+k*acs] * B[k][j]
//
// and with add, c[...] += the sum. The strides let A be read transposed in
// place; packed holds B as b lays it out.
func (s *Set) Gemm(m int, a []float32, ars, acs int, b *Packing, packed, c []float32, ldc int, add bool) {
	if m == 0 || b.N == 0 {
		return
	}
	_, _, _ = a[(m-1)*ars+(b.K-1)*acs], c[(m-1)*ldc+b.N-1], packed[b.Size()-1]
	adds := 0
	if add {
		adds = 1
	}
	for k := 0; k < b.K; k += blockK {
		kb := min(blockK, b.K-k)
		for i := 0; i < m; i += blockM {
			rows, from := min(blockM, m-i), unsafe.Pointer(&a[i*ars+k*acs])
			col := 0
			for _, t := range b.panels {
				t := &s.tiles[t]
				t.run(unsafe.Pointer(&c[i*ldc+col]), from, unsafe.Pointer(&packed[b.rowLen*k+col*kb]),
					rows, kb, ars, acs, ldc, min(t.cols, b.N-col), adds)
				col += t.cols
			}
		}
		adds = 1
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

// panelCost is what a panel costs beside its columns, in columns: narrow ones leave
// less to do with each value of A that is loaded.
const panelCost = 4

// NewPacking plans the packing of a [k,n] matrix by the cheapest panels.
func (s *Set) NewPacking(k, n int) *Packing {
	p := &Packing{K: k, N: n}
	unit := s.tiles[len(s.tiles)-1].cols // which divides all others
	cost, first := make([]int, (n+unit-1)/unit+1), make([]int, (n+unit-1)/unit+1)
	for left := 1; left < len(cost); left++ {
		for i, t := range s.tiles {
			c := t.cols + panelCost + cost[max(0, left-t.cols/unit)]
			if i == 0 || c < cost[left] {
				cost[left], first[left] = c, i
			}
		}
	}
	for left := len(cost) - 1; left > 0; left -= s.tiles[first[left]].cols / unit {
		p.panels = append(p.panels, first[left])
		p.rowLen += s.tiles[first[left]].cols
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

// packRows is packRowsGeneric; it may copy the columns after the n-th too.
func (s *Set) packRows(dst, src []float32, rows, stride, cols, n int) {
	if s.c == nil {
		packRowsGeneric(dst, src, rows, stride, cols, n)
		return
	}
	_, _ = dst[rows*cols-1], src[(rows-1)*stride+n-1]
	s.c.packRows(p(dst), p(src), rows, stride, cols)
}

// packRowsGeneric copies the first n columns of rows that are stride apart to
// rows of cols.
func packRowsGeneric(dst, src []float32, rows, stride, cols, n int) {
	for r := range rows {
		copy(dst[r*cols:][:n], src[r*stride:][:n])
	}
}

// gemmGeneric is the definition of a tile, of 8 columns: m rows of c = a·b or, with
// add, c += a·b. Values of a are ars apart from row to row and acs along k; b holds k
// rows of 8, of which the first cols columns count.
func gemmGeneric(c, a, b unsafe.Pointer, m, k, ars, acs, ldc, cols, add int) {
	av := unsafe.Slice((*float32)(a), (m-1)*ars+(k-1)*acs+1)
	bv := unsafe.Slice((*float32)(b), k*8)
	cv := unsafe.Slice((*float32)(c), (m-1)*ldc+cols)
	for r := range m {
		var acc [8]float32
		for i := range k {
			x, row := av[r*ars+i*acs], bv[i*8:i*8+8]
			for j := range acc {
				acc[j] += x * row[j]
			}
		}
		dst := cv[r*ldc:][:cols]
		for j, v := range acc[:cols] {
			if add != 0 {
				v += dst[j]
			}
			dst[j] = v
		}
	}
}
