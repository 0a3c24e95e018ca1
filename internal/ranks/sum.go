package ranks

// A Sum adds up a vector of every rank, to the same bits on all of them.
//
// Each rank gets a slice of all vectors, adds those up as a binary tree over ranks, and
// sends the result to all: as many bytes as a ring sends. With a rank's vector the sum of
// its block of shards (see Divide), the result is the sum over all shards.
type Sum struct {
	group    *Group
	bounds   []int
	values   []float32
	received []float32 // this rank's slice of every rank's values
}

// NewSum returns a Sum of vectors of n values.
func (g *Group) NewSum(n int) *Sum {
	s := &Sum{group: g, bounds: cuts(n, g.Size()), values: g.transport.Floats(n)}
	s.received = g.transport.Floats(g.Size() * s.mine())
	return s
}

// mine is the length of this rank's slice.
func (s *Sum) mine() int { return s.bounds[s.group.Rank()+1] - s.bounds[s.group.Rank()] }

// Values is this rank's vector; after Run, the sum.
func (s *Sum) Values() []float32 { return s.values }

// Run makes Values the sum of the vectors of the first so many ranks; the other ranks have
// none. Adding zeros in their place would turn a -0 into a 0.
func (s *Sum) Run(ranks int) error {
	return s.group.call("adding up gradients", func() error {
		if err := s.group.transport.Exchange(s.received, s.values, s.bounds); err != nil {
			return err
		}
		n := s.mine()
		parts := make([][]float32, ranks)
		for i := range parts {
			parts[i] = s.received[i*n:][:n]
		}
		tree(parts)
		copy(s.values[s.bounds[s.group.Rank()]:], parts[0])
		return s.group.transport.Collect(s.values, s.bounds)
	})
}

// cuts divides n values into parts of whole cache lines: part i is [at[i], at[i+1]).
func cuts(n, parts int) (at []int) {
	const line = 16 // values
	lines := (n + line - 1) / line
	for i := range parts {
		at = append(at, min(lines*i/parts*line, n))
	}
	return append(at, n)
}

// tree adds vectors up into the first: ((0+1)+(2+3))+((4+5)+6), say. A run of 2^k of them
// that begins at a multiple of 2^k is a subtree: whoever has those may add them up first.
func tree(v [][]float32) {
	for step := 1; step < len(v); step *= 2 {
		for i := 0; i+step < len(v); i += 2 * step {
			add(v[i], v[i+step])
		}
	}
}

// add adds b to a.
func add(a, b []float32) {
	b = b[:len(a)]
	i := 0
	for ; i+8 <= len(a); i += 8 {
		x, y := a[i:i+8:i+8], b[i:i+8:i+8]
		x[0] += y[0]
		x[1] += y[1]
		x[2] += y[2]
		x[3] += y[3]
		x[4] += y[4]
		x[5] += y[5]
		x[6] += y[6]
		x[7] += y[7]
	}
	for ; i < len(a); i++ {
		a[i] += b[i]
	}
}

// A Table has a row of values for each shard of an update, in the shards' order.
type Table struct {
	group  *Group
	row    int // values
	each   int // rows of a rank
	bounds []int
	values []float32
}

// NewTable returns a Table to which each rank brings so many rows of so many values.
func (g *Group) NewTable(each, row int) *Table {
	t := &Table{group: g, row: row, each: each, values: g.transport.Floats(g.Size() * each * row)}
	for rank := range g.Size() + 1 {
		t.bounds = append(t.bounds, rank*each*row)
	}
	return t
}

// Width is how many values a row has.
func (t *Table) Width() int { return t.row }

// Mine is row i of those that this rank brings.
func (t *Table) Mine(i int) []float32 { return t.Row(t.group.Rank()*t.each + i) }

// Row is row i of all; after Run the same on all ranks.
func (t *Table) Row(i int) []float32 { return t.values[i*t.row:][:t.row] }

// Run brings every rank's rows to all ranks.
func (t *Table) Run() error {
	return t.group.call("exchanging batch statistics", func() error { return t.group.transport.Collect(t.values, t.bounds) })
}
