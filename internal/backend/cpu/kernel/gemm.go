package kernel

import "unsafe"

// Tail is how many values past the end of any operand a kernel may read (never
// write). Buffers are padded by it.
const Tail = 16

// A tile is a product with a panel of B, cols columns wide: some rows of C, as many
// as fit into registers, at a time. It may be told to store fewer columns.
type tile struct {
	rows int // of C at a time
	cols int
	run  gemmFunc
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
	s.GemmTo(m, a, ars, acs, b, packed, c, ldc, &Store{Add: add})
}

// Store is what GemmTo does with its results beside storing them.
type Store struct {
	Add bool // to what is there

	// Stream sends the results past the caches, which a map that is larger than they
	// are would only empty. It counts where C's rows begin on cache lines.
	Stream bool

	// Stats, unless nil, is three rows of b.N values: pivots, to which nothing is
	// done, the columns' sums of differences from them, and the sums of their squares,
	// to which those of this C are added.
	Stats []float32

	// Ahead is what will be read next, and comes into the caches meanwhile; what there was
	// no time for is left in it.
	Ahead []float32
}

const (
	addHow    = 1 << iota // ADD in c/gemm.c
	streamHow             // STREAM
	halfHow               // HALF
)

// GemmTo is Gemm with the results stored as to says.
func (s *Set) GemmTo(m int, a []float32, ars, acs int, b *Packing, packed, c []float32, ldc int, to *Store) {
	if m == 0 || b.N == 0 {
		return
	}
	_, _, _ = a[(m-1)*ars+(b.K-1)*acs], c[(m-1)*ldc+b.N-1], packed[b.Size()-1]
	if to.Stats != nil {
		_ = to.Stats[3*b.N-1]
	}
	how := 0
	if to.Add {
		how = addHow
	}
	ahead := ahead{to.Ahead, p(packed)}
	for k := 0; k < b.K; k += b.depth {
		kb := min(b.depth, b.K-k)
		var stats []float32
		if k+kb == b.K {
			stats = to.Stats
			if to.Stream && b.lined && ldc%line == 0 && uintptr(p(c))%(4*line) == 0 {
				how |= streamHow
			}
		}
		for i := 0; i < m; i += blockM {
			rows, from := min(blockM, m-i), unsafe.Pointer(&a[i*ars+k*acs])
			col := 0
			for _, t := range b.panels {
				t := &b.tiles[t]
				var sums unsafe.Pointer
				if stats != nil {
					sums = unsafe.Pointer(&stats[col])
				}
				next, step := ahead.next(kb * ((rows + t.rows - 1) / t.rows))
				t.run(unsafe.Pointer(&c[i*ldc+col]), from, unsafe.Pointer(&packed[b.rowLen*k+col*kb]),
					rows, kb, ars, acs, ldc, min(t.cols, b.N-col), how, sums, b.N, next, step)
				col += t.cols
			}
		}
		how |= addHow
	}
	to.Ahead = ahead.left
}

// line is how many values a cache line holds.
const line = 16

// ahead is memory to fetch, a line for each step of a product's inner loop.
type ahead struct {
	left []float32
	any  unsafe.Pointer // what to fetch again and again when nothing is left
}

// next is where the next steps fetch, and how many bytes each is from the one before.
func (a *ahead) next(steps int) (unsafe.Pointer, int) {
	if n := steps * line; len(a.left) >= n && n > 0 {
		at := p(a.left)
		a.left = a.left[n:]
		return at, 4 * line
	}
	return a.any, 0
}

// Packing lays a matrix B [K,N] out for Gemm: blocks of some rows, each block
// cut into panels of a tile's width, each panel its rows one after another,
// padded with zeros.
type Packing struct {
	K, N   int
	tiles  []tile // of the kind of product
	depth  int    // rows of a block
	panels []int  // index of each panel's tile
	rowLen int    // padded columns
	lined  bool   // every panel begins on a cache line of a C that does, and is whole
}

// panelCost is what a panel costs beside its columns, in columns: narrow ones leave
// less to do with each value of A that is loaded.
const panelCost = 4

// NewPacking plans the packing of a [k,n] matrix by the cheapest panels, in blocks of
// blockK rows.
func (s *Set) NewPacking(k, n int) *Packing { return newPacking(s.tiles, k, n, blockK) }

func newPacking(tiles []tile, k, n, depth int) *Packing {
	p := &Packing{K: k, N: n, tiles: tiles, depth: depth}
	unit := tiles[len(tiles)-1].cols // which divides all others
	cost, first := make([]int, (n+unit-1)/unit+1), make([]int, (n+unit-1)/unit+1)
	for left := 1; left < len(cost); left++ {
		for i, t := range tiles {
			c := t.cols + panelCost + cost[max(0, left-t.cols/unit)]
			if i == 0 || c < cost[left] {
				cost[left], first[left] = c, i
			}
		}
	}
	p.lined = n%line == 0
	for left := len(cost) - 1; left > 0; left -= tiles[first[left]].cols / unit {
		p.lined = p.lined && tiles[first[left]].cols%line == 0
		p.panels = append(p.panels, first[left])
		p.rowLen += tiles[first[left]].cols
	}
	return p
}

// Size is the number of values of the packed matrix.
func (p *Packing) Size() int { return p.K * p.rowLen }

// Blocks is the number of pieces PackBlock can pack independently.
func (p *Packing) Blocks() int { return (p.K + p.depth - 1) / p.depth }

// Panels are how many groups of columns the matrix is cut into.
func (p *Packing) Panels() int { return len(p.panels) }

// Panel is the packing of panel i alone, of whose columns the matrix has N from column at
// on; of a packing in one block it begins at*K values into the packed one.
func (p *Packing) Panel(i int) (panel Packing, at int) {
	for _, t := range p.panels[:i] {
		at += p.tiles[t].cols
	}
	cols := p.tiles[p.panels[i]].cols
	return Packing{K: p.K, N: min(cols, p.N-at), tiles: p.tiles, depth: p.depth, panels: p.panels[i : i+1], rowLen: cols, lined: false}, at
}

// PackBlock packs block i of B, whose element (k,j) is b[k*brs+j*bcs];
// one of the strides is 1. Columns that pad a panel hold anything: what they give
// is not stored.
func (s *Set) PackBlock(packed []float32, p *Packing, i int, b []float32, brs, bcs int) {
	k0 := i * p.depth
	kb := min(p.depth, p.K-k0)
	dst := packed[k0*p.rowLen:]
	col := 0
	for _, t := range p.panels {
		cols := p.tiles[t].cols
		n := min(cols, p.N-col)
		if bcs == 1 {
			s.packRows(dst[:kb*cols], b[k0*brs+col:], kb, brs, cols, n)
		} else {
			packColumns(dst, b[k0+col*bcs:], kb, bcs, cols, n)
		}
		dst = dst[kb*cols:]
		col += n
	}
}

// PackRows packs the rows from.. of B, a packing in one block, from b, whose rows are
// stride apart.
func (s *Set) PackRows(packed []float32, p *Packing, from, rows int, b []float32, stride int) {
	col := 0
	for _, t := range p.panels {
		cols := p.tiles[t].cols
		s.packRows(packed[col*p.K+from*cols:][:rows*cols], b[col:], rows, stride, cols, min(cols, p.N-col))
		col += cols
	}
}

// packColumns copies n columns of rows values, which are stride apart, to rows of cols:
// eight at a time, so that each line of dst is written once.
func packColumns(dst, src []float32, rows, stride, cols, n int) {
	j := 0
	for ; j+8 <= n; j += 8 {
		c := func(i int) []float32 { return src[(j+i)*stride:][:rows] }
		c0, c1, c2, c3, c4, c5, c6, c7 := c(0), c(1), c(2), c(3), c(4), c(5), c(6), c(7)
		at := dst[j:]
		for r := range rows {
			d := at[r*cols:][:8]
			d[0], d[1], d[2], d[3] = c0[r], c1[r], c2[r], c3[r]
			d[4], d[5], d[6], d[7] = c4[r], c5[r], c6[r], c7[r]
		}
	}
	for ; j < n; j++ {
		for r, v := range src[j*stride:][:rows] {
			dst[r*cols+j] = v
		}
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
// addHow, c += a·b. Values of a are ars apart from row to row and acs along k; b holds k
// rows of 8, of which the first cols columns count. It adds c's differences from stats, and
// their squares, to the sums sumsAt and twice as far behind it.
func gemmGeneric(c, a, b unsafe.Pointer, m, k, ars, acs, ldc, cols, how int, stats unsafe.Pointer, sumsAt int, _ unsafe.Pointer, _ int) {
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
			if how&addHow != 0 {
				v += dst[j]
			}
			dst[j] = v
		}
	}
	if stats == nil {
		return
	}
	sums := unsafe.Slice((*float32)(stats), 2*sumsAt+cols)
	for r := range m {
		for j, v := range cv[r*ldc:][:cols] {
			d := v - sums[j]
			sums[sumsAt+j] += d
			sums[2*sumsAt+j] += d * d
		}
	}
}
