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

// Run makes Values the sum of the vectors of the first ranks, as many as the argument says; the others have
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

// A Table has a row of values for each shard of an update. Each rank gets a slice of all
// rows, processes them in the shards' order, and sends its slice of the
// result to all: what a rank sends does not grow with the number of ranks.
type Table struct {
	group    *Group
	each     int // rows of a rank
	at       []int
	bounds   []int     // at times each
	sent     []float32 // for each rank its slice of each of this one's rows
	received []float32 // this rank's slice of every row
	whole    []float32 // a row
}

// NewTable returns a Table to which each rank brings each rows of row values.
func (g *Group) NewTable(each, row int) *Table {
	t := &Table{group: g, each: each, at: cuts(row, g.Size())}
	for _, at := range t.at {
		t.bounds = append(t.bounds, each*at)
	}
	_, n := t.Slice()
	t.sent, t.received, t.whole = g.transport.Floats(each*row), g.transport.Floats(g.Size()*each*n), g.transport.Floats(row)
	return t
}

// Width is how many values a row has.
func (t *Table) Width() int { return len(t.whole) }

// Slice is where this rank's slice of a row begins, and how many values it has.
func (t *Table) Slice() (from, n int) {
	rank := t.group.Rank()
	return t.at[rank], t.at[rank+1] - t.at[rank]
}

// Set makes values row i of those that this rank brings.
func (t *Table) Set(i int, values []float32) {
	for rank := range t.group.Size() {
		part := values[t.at[rank]:t.at[rank+1]]
		copy(t.sent[t.bounds[rank]+i*len(part):], part)
	}
}

// Run brings each rank its slice of all rows.
func (t *Table) Run() error {
	return t.group.call("exchanging batch statistics", func() error { return t.group.transport.Exchange(t.received, t.sent, t.bounds) })
}

// Part is this rank's slice of row i of all ranks'.
func (t *Table) Part(i int) []float32 {
	_, n := t.Slice()
	return t.received[i*n:][:n]
}

// Result is memory for what was made of all rows, a row of values. This rank fills in its
// slice; Collect fills in those of the others.
func (t *Table) Result() []float32 { return t.whole }

// Collect makes Result the same on all ranks.
func (t *Table) Collect() error {
	return t.group.call("exchanging running statistics", func() error { return t.group.transport.Collect(t.whole, t.at) })
}
