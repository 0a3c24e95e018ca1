package cpu

import (
	"math"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu/kernel"
)

// folding is the scale and bias that a normalisation by fixed statistics comes
// to; without statistics the bias is given and there is no scale.
type folding struct {
	stats, gamma, beta []float32
	eps                float32
}

// nextFolding takes the three operands of a norm from the front of v.
func nextFolding(n backend.Norm, v *[]operand) folding {
	return folding{stats: nextFloats(v), gamma: nextFloats(v), beta: nextFloats(v), eps: n.Eps}
}

func biasOnly(bias []float32) folding { return folding{beta: bias} }

// at returns the scale and bias of channel c.
func (f folding) at(c int) (scale, bias float32) {
	if f.stats == nil {
		return 1, f.beta[c]
	}
	n := len(f.gamma)
	s := float64(f.gamma[c]) / math.Sqrt(float64(f.stats[n+c])+float64(f.eps))
	return float32(s), float32(float64(f.beta[c]) - float64(f.stats[c])*s)
}

// key is where a folding of w lies.
func (f folding) key(w []float32, cuts int) preparedKey {
	k := preparedKey{weights: &w[0], stats: &f.beta[0], size: len(w), cuts: cuts}
	if f.stats != nil {
		k.stats = &f.stats[0]
	}
	return k
}

// weights is a matrix [k,n], folded, as products take it: packed in groups of
// columns that tasks multiply by apart.
type weights struct {
	k      int
	half   bool // they are packed as pairs of bfloat16, and rows are narrowed for them
	groups []weightGroup
	bias   []float32 // [n]
}

type weightGroup struct {
	from, to int // columns
	packing  *kernel.Packing
	packed   []float32
	at       int // of packed, if all groups' were one after another
}

// columnUnit is what groups of columns are multiples of: a vector.
const columnUnit = 16

// columnCuts is where n columns are cut into groups, nearly equal, the
// wider ones first: tasks that are shared out one by one should end together.
func columnCuts(n, groups int) []int {
	units := (n + columnUnit - 1) / columnUnit
	groups = max(1, min(groups, units))
	cuts := make([]int, groups+1)
	for i := range cuts {
		cuts[i] = min((i*(units/groups)+min(i, units%groups))*columnUnit, n)
	}
	return cuts
}

// newMapWeights is newWeights for rows of a map, narrowed in groups of a limited size: with
// maps of bfloat16 the product is too.
func (b *Backend) newMapWeights(w []float32, rows, k, n, groups int, f folding) (*weights, func()) {
	half := b.maps == backend.BFloat16
	if half {
		b.reserveNarrow(rows * even(k))
	}
	return b.makeWeights(w, k, n, groups, f, half)
}

// newWeights returns the weights w [k,n] folded by f in groups, and what prepares them.
func (b *Backend) newWeights(w []float32, k, n, groups int, f folding) (*weights, func()) {
	return b.makeWeights(w, k, n, groups, f, false)
}

func (b *Backend) makeWeights(w []float32, k, n, groups int, f folding, half bool) (*weights, func()) {
	cuts := columnCuts(n, groups)
	m := share(b, f.key(w, len(cuts)), func() *weights {
		m := &weights{k: k, half: half, bias: alloc(n)}
		for i := range len(cuts) - 1 {
			p := b.set.NewPacking(k, cuts[i+1]-cuts[i])
			if half {
				p = b.set.NewPairPacking(k, cuts[i+1]-cuts[i])
			}
			m.groups = append(m.groups, weightGroup{cuts[i], cuts[i+1], p, alloc(p.Size()), m.size()})
		}
		return m
	})
	return m, func() { m.prepare(b, w, n, f) }
}

func (m *weights) prepare(b *Backend, w []float32, n int, f folding) {
	scale := make([]float32, n)
	for c := range n {
		scale[c], m.bias[c] = f.at(c)
	}
	for _, g := range m.groups {
		cols := g.to - g.from
		scaled := alloc(m.k * cols)
		for r := range m.k {
			row := scaled[r*cols:][:cols]
			copy(row, w[r*n+g.from:])
			for c := range row {
				row[c] *= scale[g.from+c]
			}
		}
		if m.half {
			narrow := make([]kernel.BF16, len(scaled)+kernel.Tail)
			b.set.Narrow(narrow, scaled)
			b.set.PackPairs(g.packed, g.packing, 0, g.packing.K, m.k, narrow, cols, 1)
			continue
		}
		for i := range g.packing.Blocks() {
			b.set.PackBlock(g.packed, g.packing, i, scaled, cols, 1)
		}
	}
}

// size is the values of all groups' packed weights.
func (m *weights) size() (total int) {
	for _, g := range m.groups {
		total += len(g.packed)
	}
	return total
}

// gate writes all groups' packed weights, row k times gate[k].
func (m *weights) gate(b *Backend, dst, gate []float32) {
	for _, g := range m.groups {
		g.packing.Rows(func(k, at, n int) { b.set.Scale(dst[g.at+at:][:n], g.packed[at:][:n], gate[k]) })
	}
}

// multiply is c [rows, ldc] = a [rows, k]·(group i) or, with add, c += that. a is as the
// weights are: of float32, or of pairs.
func (m *weights) multiply(b *Backend, i, rows int, a, c []float32, ldc int, add bool) {
	row := m.k
	if m.half {
		row = even(m.k) / 2
	}
	b.set.Gemm(rows, a, row, 1, m.groups[i].packing, m.groups[i].packed, c, ldc, add)
}

// rows are rows of float32 as the weights multiply them.
func (m *weights) rows(b *Backend, worker int, a []float32) []float32 {
	if m.half {
		return b.narrowed(worker, a, m.k)
	}
	return a
}

// end writes act(x + bias) to rows of n channels, ldy apart from at on, and adds them to
// sum unless that is nil.
func (m operand) end(b *Backend, sum []float32, at, ldy int, x, bias []float32, act kernel.Act, n int) {
	if m.h != nil {
		b.set.BiasActHalf(sum, m.h[at:], ldy, x, bias, act, n)
		return
	}
	b.set.BiasAct(sum, m.f[at:], ldy, x, bias, act, n)
}

// depthwiseWeights are a depthwise convolution's weights, folded, in groups of channels
// that lie together: group i's row of weights for tap t begins at
// (cuts[i]*taps + t*(cuts[i+1]-cuts[i])).
type depthwiseWeights struct {
	cuts  []int
	taps  int
	taken []float32
	bias  []float32
}

func (b *Backend) newDepthwiseWeights(w []float32, c, groups int, f folding) (*depthwiseWeights, func()) {
	cuts := columnCuts(c, groups)
	m := share(b, f.key(w, len(cuts)), func() *depthwiseWeights {
		return &depthwiseWeights{cuts, len(w) / c, alloc(len(w)), alloc(c)}
	})
	return m, func() { m.prepare(w, f) }
}

func (m *depthwiseWeights) prepare(w []float32, f folding) {
	n := len(m.bias)
	for i := range len(m.cuts) - 1 {
		from, to := m.cuts[i], m.cuts[i+1]
		for c := from; c < to; c++ {
			var scale float32
			scale, m.bias[c] = f.at(c)
			for t := range m.taps {
				m.taken[from*m.taps+t*(to-from)+c-from] = w[t*n+c] * scale
			}
		}
	}
}

// group returns the weights and the bias of group i.
func (m *depthwiseWeights) group(i int) (w, bias []float32) {
	from, to := m.cuts[i], m.cuts[i+1]
	return m.taken[from*m.taps : to*m.taps], m.bias[from:to]
}
