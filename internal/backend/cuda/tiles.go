package cuda

import "effnet/internal/backend"

// tile is how many images, rows and columns of results a block of kernels/tiles.cu makes
// at once, and how many neighbouring results a thread does.
type tile struct{ images, rows, columns, run int }

// units is how many threads a tile has for each group of channels.
func (t tile) units() int { return t.images * t.rows * (t.columns / t.run) }

// of is how many tiles an image of height x width results has.
func (t tile) of(height, width int) int {
	return blocksOf(height, t.rows) * blocksOf(width, t.columns)
}

// blocksOf is how many blocks of size cover n.
func blocksOf(n, size int) int { return (n + size - 1) / size }

// tiles are those of one pass: maps of few columns may have tiles of their own.
type tiles struct{ large, small tile }

// of is the tile for results of c columns, and what the kernel's name ends in.
func (t tiles) of(columns int) (tile, string) {
	if columns <= t.small.columns {
		return t.small, "Small"
	}
	return t.large, ""
}

// tiling is the kernels for one filter and stride: what their names end in, and their
// tiles, forward and backward.
type tiling struct {
	suffix         string
	forward, grads tiles
}

// tilings by kernel and stride, as kernels/tiles.cu has them.
var tilings = map[[2]int]tiling{
	{3, 1}: {"3", stride1, stride1},
	{3, 2}: {"3Stride2", stride2, stride2Grads},
	{5, 1}: {"5", stride1, stride1},
	{5, 2}: {"5Stride2", stride2, stride2Grads},
}

var (
	stride1      = tiles{tile{1, 14, 14, 7}, tile{4, 7, 7, 7}}
	stride2      = tiles{large: tile{1, 4, 14, 2}} // runs are short: what a tile meets is large, and leaves room for few blocks
	stride2Grads = tiles{large: tile{1, 16, 16, 8}}
)

// fewChannels is Few of kernels/tiles.cu.
const fewChannels = 4

// lanes is Lanes for maps of a type.
func lanes(maps backend.DType) int { return vector / maps.Size() }

// few is how many channels a thread of kernels/tiles.cu has.
func few(channels int, operands ...place) int32 {
	if channels%fewChannels != 0 || !aligned(operands...) {
		return 1
	}
	return fewChannels
}

// tileBlocks is how many blocks a launch of tiles has at most: some for each
// multiprocessor of a large card, so that one computes while another reads. Gradients of
// weights are a part's each, and have fewer.
const tileBlocks, gradBlocks = 2048, 1024

// over is the launch over maps of n images of height x width pixels, in parts, by most
// blocks.
func (t tile) over(n, height, width, channels int, maps backend.DType, vec int32, most int) (parts int, g geometry) {
	all := blocksOf(n, t.images) * t.of(height, width)
	groups := blocksOf(channels, lanes(maps)*int(vec))
	parts = max(1, min(all, most/groups))
	return parts, geometry{[3]uint32{uint32(parts * groups), 1, 1}, [3]uint32{uint32(lanes(maps)), uint32(t.units()), 1}}
}

// tileThreads is how many threads a block of a kernel of kernels/tiles.cu has; 0 for
// others.
func tileThreads(kernel string, maps backend.DType) int {
	for _, t := range tilings {
		for name, pass := range map[string]tiles{"normDepthwise" + t.suffix: t.forward, "depthwiseGrad" + t.suffix: t.grads,
			"foldedDepthwise" + t.suffix: t.forward, "expandDepthwise" + t.suffix: t.forward, "stemDepthwise" + t.suffix: t.forward} {
			switch kernel {
			case name:
				return lanes(maps) * pass.large.units()
			case name + "Small":
				return lanes(maps) * pass.small.units()
			}
		}
	}
	return 0
}

// taken takes operands from the front of v.
func taken(v *[]place, n int) []place {
	all := (*v)[:n]
	*v = (*v)[n:]
	return all
}

// normOf takes a norm's three operands; nowhere for none.
func normOf(v *[]place, normed bool) []place {
	if !normed {
		return make([]place, 3)
	}
	return taken(v, 3)
}

// normDepthwise compiles a NormDepthwise of maps of one kind.
func (c *compiler) normDepthwise(s backend.NormDepthwise, t tiling, v []place) error {
	all := v
	x := taken(&v, 1)[0]
	norm := normOf(&v, s.Read != backend.Raw)
	w, y := v[0], v[1]
	size, ending := t.forward.of(s.OutW)
	vec := few(s.In, all...)
	parts, g := size.over(s.N, s.OutH, s.OutW, s.In, x.dtype, vec, tileBlocks)
	var moments place
	if s.Stats {
		moments = c.moments(parts, s.In)
	}
	if err := c.kernel(x.kernel("normDepthwise"+t.suffix+ending), g, x, norm[0], norm[1], norm[2], w, y, moments,
		shapeOf(s.ConvShape), int32(parts), s.Norm.Eps, int32(s.Norm.Act), vec); err != nil || !s.Stats {
		return err
	}
	return c.joinMoments(moments, v[2], parts, s.In)
}

// depthwiseGrad compiles a DepthwiseGrad of maps of one kind.
func (c *compiler) depthwiseGrad(s backend.DepthwiseGrad, t tiling, v []place) error {
	all, taps := v, s.Kernel*s.Kernel
	x := taken(&v, 1)[0]
	norm := normOf(&v, s.Read != backend.Raw)
	w, y := v[0], v[1]
	v = v[2:]
	out := normOf(&v, true)
	dy, sums := v[0], v[1]
	v = v[2:]
	var gate, dpool place
	if s.Gated {
		gate, dpool = v[0], v[1]
		v = v[2:]
	}
	dx, dw := v[0], v[1]
	size, ending := t.grads.of(s.W)
	vec := few(s.In, all...)
	parts, g := size.over(s.N, s.H+s.Top%s.Stride, s.W+s.Left%s.Stride, s.In, x.dtype, vec, gradBlocks)
	partsOf, partsOfSums := c.temporary(parts*taps*s.In, backend.Float32), place{}
	if s.Read != backend.Raw {
		partsOfSums = c.temporary(parts*2*s.In, backend.Float32)
	}
	if err := c.kernel(x.kernel("depthwiseGrad"+t.suffix+ending), g, x, norm[0], norm[1], norm[2], w, y, out[0], out[1], out[2], dy, sums, gate, dpool,
		dx, partsOf, partsOfSums, shapeOf(s.ConvShape), int32(parts), s.Norm.Eps, int32(s.Norm.Act), s.Out.Eps, int32(s.Out.Act), vec); err != nil {
		return err
	}
	if s.Read == backend.Raw {
		return c.sum("sumRows", 1, parts, taps*s.In, 1, dw, partsOf)
	}
	return c.sumBoth(parts, partsOf, partsOfSums, dw, v[2])
}
