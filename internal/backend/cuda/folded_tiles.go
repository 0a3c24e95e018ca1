package cuda

import (
	"slices"

	"effnet/internal/backend"
)

// mostExpanded is how many channels, or values of a window, the convolution before a folded
// depthwise one may read for kernels/tiles_bf16.cu to have both, by the kernel's name.
var mostExpanded = map[string]int{
	"expandDepthwise3": 288, "expandDepthwise3Small": 288, "expandDepthwise3Stride2": 288,
	"expandDepthwise5": 288, "expandDepthwise5Small": 192, "expandDepthwise5Stride2": 288,
	"stemDepthwise3": 32,
}

// depth is how many values each of a convolution's results is summed over.
func depth(s backend.ConvShape) int { return s.Kernel * s.Kernel * s.In }

// expands is the kernel that makes the map which a folded depthwise convolution reads, tile
// by tile, as it is read; "" if there is none.
func (c *compiler) expands(s backend.FoldedDepthwise, x, y place, ending string) string {
	name := "stemDepthwise" + ending
	if s.Before.Pointwise() {
		name = "expandDepthwise" + ending
	}
	if depth(s.Before) > mostExpanded[name] || !c.byTensorCores([]place{x, y}, s.In) || s.Before.Pointwise() && s.Before.In%8 != 0 {
		return ""
	}
	return name
}

func (c *compiler) foldedDepthwise(s backend.FoldedDepthwise, v []place) error {
	return c.typed(s, v, func(v []place) error {
		tiling, ok := tilings[[2]int{s.Kernel, s.Stride}]
		if !ok {
			return c.anyDepthwise(s, v)
		}
		return c.depthwiseTiles(s, tiling, v)
	})
}

// anyDepthwise is foldedDepthwise for filters and strides that have no tiles. What comes
// before it is in the scratch.
func (c *compiler) anyDepthwise(s backend.FoldedDepthwise, v []place) error {
	y, means := v[len(v)-1], place{}
	if s.Pool {
		y, means = v[len(v)-2], y
	}
	x := v[0]
	if s.Before.Kernel > 0 {
		x = c.temporary(s.N*s.H*s.W*s.In, x.dtype)
		if err := c.foldedConv(backend.FoldedConv{ConvShape: s.Before, Norm: s.BeforeNorm}, append(v[:5:5], x)); err != nil {
			return err
		}
		v = v[4:]
	}
	weights, bias, err := c.fold(v[1], v[2:5], s.Kernel*s.Kernel, s.In, s.Norm.Eps, backend.Float32)
	if err != nil {
		return err
	}
	if err := c.depthwise(s.ConvShape, x, weights, bias, s.Norm.Act, y); err != nil || !s.Pool {
		return err
	}
	return c.compile(backend.GlobalAvgPool{N: s.N, Area: s.OutH * s.OutW, C: s.In}, []place{y, means})
}

// depthwiseTiles compiles a foldedDepthwise by tiles. The map that it reads is made as it is
// read, if there is a kernel for that; else it is in the scratch, as the convolution before
// gives it, without bias and activation.
func (c *compiler) depthwiseTiles(s backend.FoldedDepthwise, t tiling, v []place) error {
	var means, bias1 place
	if s.Pool {
		means, v = v[len(v)-1], v[:len(v)-1]
	}
	x, y := v[0], v[len(v)-1]
	size, ending := t.forward.of(s.OutW)
	name, front, shapes := "foldedDepthwise"+t.suffix+ending, []any{x, bias1}, []any{shapeOf(s.ConvShape)}
	if s.Before.Kernel > 0 {
		weights, bias, err := c.fold(v[1], v[2:5], depth(s.Before), s.In, s.BeforeNorm.Eps, x.dtype)
		if err != nil {
			return err
		}
		if expand := c.expands(s, x, y, t.suffix+ending); expand != "" {
			name, front, shapes = expand, []any{x, weights, bias}, []any{shapeOf(s.Before), shapes[0]}
		} else {
			wide := c.temporary(s.N*s.H*s.W*s.In, x.dtype)
			if err := c.convolve(s.Before, x, weights, place{}, wide); err != nil {
				return err
			}
			x, bias1, front = wide, bias, []any{wide, bias}
		}
		v = v[4:]
	}
	weights, bias, err := c.fold(v[1], v[2:5], s.Kernel*s.Kernel, s.In, s.Norm.Eps, backend.Float32)
	if err != nil {
		return err
	}
	sums, per := means, size.of(s.OutH, s.OutW)
	if s.Pool && per > 1 {
		sums = c.temporary(s.N*per*s.In, backend.Float32)
	}
	vec := few(s.In, x, bias1, weights, bias, y, sums)
	parts, g := size.over(s.N, s.OutH, s.OutW, s.In, x.dtype, vec, tileBlocks)
	args := slices.Concat(front, []any{weights, bias, y, sums}, shapes,
		[]any{int32(parts), 1 / float32(s.OutH*s.OutW), int32(s.BeforeNorm.Act), int32(s.Norm.Act)})
	if len(shapes) == 1 {
		args = append(args, vec)
	}
	if err := c.kernel(x.kernel(name), g, args...); err != nil || !s.Pool || per == 1 {
		return err
	}
	return c.sum("sumRows", s.N, per, s.In, 1, means, sums)
}
