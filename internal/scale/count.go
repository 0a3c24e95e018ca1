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
	c := counter{side: a.Resolution}
	c.stem(a)

	stage := -1
	for _, b := range a.Blocks() {
		if b.Stage != stage {
			stage = b.Stage
			s := a.Stages[stage]
			c.begin(s.label(), s.Channels, s.Repeats)
		}
		c.block(b)
	}

	if a.Head > 0 {
		c.begin("Conv1x1 & Pooling & FC", a.Head, 1)
		c.conv(1, 1, a.Stages[stage].Channels, a.Head)
	} else {
		c.begin("Pooling & FC", a.Features(), 1)
	}
	c.side = 1
	c.dense(a.Features(), a.Classes)
	return c.Cost
}

// counter adds layers to the last row while it follows the side of the map.
type counter struct {
	Cost
	side int
}

func (c *counter) begin(block string, channels, repeats int) {
	c.Rows = append(c.Rows, Row{
		Stage: len(c.Rows) + 1, Block: block, Resolution: c.side, Channels: channels, Repeats: repeats,
	})
}

func (c *counter) add(params, macs int) {
	row := &c.Rows[len(c.Rows)-1]
	row.Params += int64(params)
	row.MACs += int64(macs)
	c.Params += int64(params)
	c.MACs += int64(macs)
}

// blockNames are the papers'.
var blockNames = map[string]string{MBConv: "MBConv", Fused: "Fused-MBConv", Separable: "Separable", Bottleneck: "Bottleneck"}

// label is the stage in the papers' words: MBConv6, k3x3.
func (s Stage) label() string {
	name := blockNames[s.Block]
	if s.Block != Separable { // which has no expansion
		name += strconv.Itoa(s.Expansion)
	}
	return fmt.Sprintf("%s, k%dx%d", name, s.Kernel, s.Kernel)
}

func (c *counter) stem(a Arch) {
	k := a.StemSide()
	name := fmt.Sprintf("Conv%dx%d", k, k)
	if a.StemPool {
		name += " & MaxPool3x3"
	}
	c.begin(name, a.Stem, 1)
	c.conv(k, 2, 3, a.Stem)
	if a.StemPool {
		c.side = (c.side + 1) / 2 // as conv's
	}
}

func (c *counter) block(b Block) {
	switch {
	case b.Kind == Bottleneck:
		c.bottleneck(b)
		return
	case b.Kind == Fused && !b.Expand:
		c.conv(b.Kernel, b.Stride, b.In, b.Out)
		return
	case b.Kind == Fused:
		c.conv(b.Kernel, b.Stride, b.In, b.Inner)
		c.conv(1, 1, b.Inner, b.Out)
		return
	}
	if b.Expand {
		c.conv(1, 1, b.In, b.Inner)
	}
	c.conv(b.Kernel, b.Stride, 1, b.Inner) // depthwise: one input channel each
	if b.Squeeze > 0 {
		c.dense(b.Inner, b.Squeeze)
		c.dense(b.Squeeze, b.Inner)
	}
	c.conv(1, 1, b.Inner, b.Out)
}

func (c *counter) bottleneck(b Block) {
	c.conv(1, 1, b.In, b.Inner)
	c.conv(b.Kernel, b.Stride, b.Inner, b.Inner)
	c.conv(1, 1, b.Inner, b.Out)
	if b.Project {
		c.conv(1, 1, b.In, b.Out) // with the block's stride: on as many pixels
	}
}

// conv counts a convolution without bias and its batch normalisation's scale
// and shift. Both paddings give the same map: with an odd kernel k,
// (side + 2*(k-1)/2 - k)/stride + 1 is ceil(side/stride).
func (c *counter) conv(kernel, stride, in, out int) {
	c.side = (c.side + stride - 1) / stride
	weights := kernel * kernel * in * out
	c.add(weights+2*out, weights*c.side*c.side)
}

// dense counts a layer with bias on a pooled, 1x1 map.
func (c *counter) dense(in, out int) { c.add(in*out+out, in*out) }
