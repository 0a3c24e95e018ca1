package scale

import (
	"fmt"
	"strconv"
)

// Row is what one row of the paper's table 1 costs.
type Row struct {
	Stage      int    `json:"stage"` // from 1, the stem, as the paper numbers them
	Block      string `json:"block"`
	Resolution int    `json:"resolution"` // side of the row's input, pixels
	Channels   int    `json:"channels"`   // of the row's output
	Repeats    int    `json:"repeats"`
	Params     int64  `json:"params"`
	MACs       int64  `json:"macs"`

	Activations int64 `json:"activations"`
}

// Cost is what an architecture costs. Params are the trained numbers (not batch
// normalisation's running statistics). MACs are the multiply-adds of one
// image's forward pass in convolutions, squeeze-and-excitation and classifier;
// normalisation, activations, pooling and biases are not counted. Activations are the
// values that those layers make of one image.
type Cost struct {
	Params      int64
	MACs        int64
	Activations int64
	Rows        []Row
}

// Count counts a valid architecture row by row: stem, stages, head.
func Count(a Arch) Cost {
	c := Cost{Rows: make([]Row, 0, len(a.Stages)+2)}
	last := -1
	a.list(a.Blocks(), &lister{visit: func(l Layer) {
		if row := a.rowOf(l); row != last {
			last = row
			c.Rows = append(c.Rows, a.row(row, l.From))
		}
		params, macs, activations := int64(l.Params()), int64(l.MACs()), int64(l.Activations())
		row := &c.Rows[len(c.Rows)-1]
		row.Params += params
		row.MACs += macs
		row.Activations += activations
		c.Params += params
		c.MACs += macs
		c.Activations += activations
	}})
	return c
}

// rowOf is the row of table 1 that a layer is in: 0 for the stem, i+1 for Stages[i], and
// the last for the head.
func (a Arch) rowOf(l Layer) int {
	switch {
	case l.Block != nil:
		return l.Block.Row + 1
	case l.Role == StemRole:
		return 0
	}
	return len(a.Stages) + 1
}

// row is a row of table 1 in the papers' words, before anything is counted. Its input is
// a map of side pixels.
func (a Arch) row(n, side int) Row {
	r := Row{Stage: n + 1, Resolution: side, Repeats: 1}
	switch {
	case n == 0:
		k := a.StemSide()
		r.Block, r.Channels = fmt.Sprintf("Conv%dx%d", k, k), a.Stem
		if a.StemPool {
			r.Block += " & MaxPool3x3"
		}
	case n <= len(a.Stages):
		s := a.Stages[n-1]
		r.Block, r.Channels, r.Repeats = s.label(), s.Channels, s.Repeats
	case a.Head == 0:
		r.Block, r.Channels = "Pooling & FC", a.Features()
	case a.HeadPooled:
		r.Block, r.Channels = "Pooling & Conv1x1 & FC", a.Head
	default:
		r.Block, r.Channels = "Conv1x1 & Pooling & FC", a.Head
	}
	return r
}

// label is the stage in the papers' words: MBConv6, k3x3.
func (s Stage) label() string {
	kind := kindOf(s.Block)
	name := kind.title
	if kind.expansion != noExpansion {
		name += strconv.FormatFloat(s.Expansion, 'g', -1, 64)
	}
	return fmt.Sprintf("%s, k%dx%d", name, s.Kernel, s.Kernel)
}
