package scale

import "fmt"

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
	c.begin("Conv3x3", a.Stem, 1)
	c.conv(3, 2, 3, a.Stem)

	stage := -1
	for _, b := range a.Blocks() {
		if b.Stage != stage {
			stage = b.Stage
			s := a.Stages[stage]
			c.begin(fmt.Sprintf("%s%d, k%dx%d", blockNames[s.Block], s.Expansion, s.Kernel, s.Kernel), s.Channels, s.Repeats)
		}
		c.block(b)
	}

	c.begin("Conv1x1 & Pooling & FC", a.Head, 1)
	c.conv(1, 1, a.Stages[stage].Channels, a.Head)
	c.side = 1
	c.dense(a.Head, a.Classes)
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
var blockNames = map[string]string{MBConv: "MBConv", Fused: "Fused-MBConv"}

func (c *counter) block(b Block) {
	switch {
	case b.Fused && !b.Expand:
		c.conv(b.Kernel, b.Stride, b.In, b.Out)
		return
	case b.Fused:
		c.conv(b.Kernel, b.Stride, b.In, b.Expanded)
		c.conv(1, 1, b.Expanded, b.Out)
		return
	}
	if b.Expand {
		c.conv(1, 1, b.In, b.Expanded)
	}
	c.conv(b.Kernel, b.Stride, 1, b.Expanded) // depthwise: one input channel each
	if b.Squeeze > 0 {
		c.dense(b.Expanded, b.Squeeze)
		c.dense(b.Squeeze, b.Expanded)
	}
	c.conv(1, 1, b.Expanded, b.Out)
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
