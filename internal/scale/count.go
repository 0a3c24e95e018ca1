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
}

// Cost is what an architecture costs. Params are the trained numbers (not batch
// normalisation's running statistics). MACs are the multiply-adds of one
// image's forward pass in convolutions, squeeze-and-excitation and classifier;
// normalisation, activations, pooling and biases are not counted.
type Cost struct {
	Params int64
	MACs   int64
	Rows   []Row
}

// Count counts a valid architecture row by row: stem, stages, head.
func Count(a Arch) Cost {
	var c Cost
	last := ""
	for _, l := range a.Layers() {
		label, channels, repeats := a.rowOf(l)
		if row := l.row(); row != last {
			last = row
			c.Rows = append(c.Rows, Row{
				Stage: len(c.Rows) + 1, Block: label, Resolution: l.From, Channels: channels, Repeats: repeats,
			})
		}
		row := &c.Rows[len(c.Rows)-1]
		row.Params += int64(l.Params())
		row.MACs += int64(l.MACs())
		c.Params += int64(l.Params())
		c.MACs += int64(l.MACs())
	}
	return c
}

// row names the row of table 1 that a layer is in.
func (l Layer) row() string {
	switch {
	case l.Block != nil:
		return strconv.Itoa(l.Block.Row)
	case l.Role == StemRole:
		return "stem"
	}
	return "head"
}

// rowOf is the row of table 1 that a layer is in: the papers' words for it, its output
// channels and how often its block is repeated.
func (a Arch) rowOf(l Layer) (label string, channels, repeats int) {
	switch {
	case l.Block != nil:
		s := a.Stages[l.Block.Row]
		return s.label(), s.Channels, s.Repeats
	case l.Role == StemRole:
		k := a.StemSide()
		label = fmt.Sprintf("Conv%dx%d", k, k)
		if a.StemPool {
			label += " & MaxPool3x3"
		}
		return label, a.Stem, 1
	case a.Head > 0:
		if a.HeadPooled {
			return "Pooling & Conv1x1 & FC", a.Head, 1
		}
		return "Conv1x1 & Pooling & FC", a.Head, 1
	}
	return "Pooling & FC", a.Features(), 1
}

// label is the stage in the papers' words: MBConv6, k3x3.
func (s Stage) label() string {
	name := kindOf(s.Block).title
	if s.Block != Separable { // which has no expansion
		name += strconv.FormatFloat(s.Expansion, 'g', -1, 64)
	}
	return fmt.Sprintf("%s, k%dx%d", name, s.Kernel, s.Kernel)
}
