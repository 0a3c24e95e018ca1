package cuda

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// BM, BN, GradRows, ExpandRows and ProductThreads of kernels/products_bf16.cu.
const rowsOfTile, columnsOfTile, rowsOfGrad, rowsOfExpand, productThreads = 64, 64, 32, 64, 128

// mostGradColumns is the widest result whose ProjectGrad kernels/products_bf16.cu has: of a
// wider one too few channels fit a block, and reading dy again for each of them costs more
// than passes apart.
const mostGradColumns = 128

// gradChannels is GradColumns of kernels/products_bf16.cu, and projectBlocks how many
// blocks a launch has at most: each writes its part of the weights' gradient.
const gradChannels, projectBlocks = 32, 528

// productBlocks is how many blocks a launch of products has, where there are rows for
// them: several for each multiprocessor of a large card.
const productBlocks = 2112

// byTensorCores says whether kernels/products_bf16.cu has a product of operands, of which
// the first is a map: one of bf16, where rows of that length are whole vectors and begin
// where vectors may.
func (c *compiler) byTensorCores(operands []place, widths ...int) bool {
	for _, n := range widths {
		if n%8 != 0 {
			return false
		}
	}
	for _, p := range operands {
		if p.dtype == backend.BFloat16 && !aligned(p) {
			return false
		}
	}
	return operands[0].dtype == backend.BFloat16
}

// productTiles is the launch of mapMatMul in kernels/products_bf16.cu for a result of M x N,
// in parts of the rows.
func productTiles(m, n int) (parts int, g geometry) {
	over := (n + columnsOfTile - 1) / columnsOfTile
	parts = max(1, min((m+rowsOfTile-1)/rowsOfTile, productBlocks/over))
	return parts, geometry{[3]uint32{uint32(parts * over), 1, 1}, [3]uint32{columnsOfTile / 2, 2 * productThreads / columnsOfTile, 1}}
}

// foldedByTensorCores compiles y = act((x*gate)·weights + bias) + shortcut of bf16 maps and
// weights; gate and shortcut are nowhere for none.
func (c *compiler) foldedByTensorCores(m, n, k, area int, x, gate, weights, bias, shortcut, y place, act backend.Activation) error {
	parts, g := productTiles(m, n)
	return c.kernel(x.kernel("foldedMatMul"), g, x, gate, weights, bias, shortcut, y, m, int32(n), int32(k), int32(max(area, 1)), int32(parts), int32(act))
}

// normMatMul compiles a NormMatMul of bf16 maps: v are x; unless Raw the norm's three; if
// Gated the gate; w, y; with Stats the statistics.
func (c *compiler) normMatMul(s backend.NormMatMul, v []place) error {
	x := taken(&v, 1)[0]
	norm := normOf(&v, s.Read != backend.Raw)
	var gate place
	if s.Read == backend.Gated {
		gate = taken(&v, 1)[0]
	}
	w, y := v[0], v[1]
	parts, g := productTiles(s.M, s.N)
	var moments place
	if s.Stats {
		moments = c.moments(parts, s.N)
	}
	if err := c.kernel(x.kernel("normMatMul"), g, x, norm[0], norm[1], norm[2], gate, w, y, moments,
		s.M, int32(s.N), int32(s.K), int32(max(s.Area, 1)), int32(parts), s.Norm.Eps, int32(s.Norm.Act)); err != nil || !s.Stats {
		return err
	}
	return c.joinMoments(moments, v[2], parts, s.N)
}

// projectGrad compiles a ProjectGrad of bf16 maps.
func (c *compiler) projectGrad(s backend.ProjectGrad, v []place) error {
	x := taken(&v, 1)[0]
	norm := normOf(&v, true)
	var gate place
	if s.Read == backend.Gated {
		gate = taken(&v, 1)[0]
	}
	w, dy, da, dw, sums := v[0], v[1], v[2], v[3], v[4]
	name := "projectGrad128"
	switch {
	case s.N <= 32:
		name = "projectGrad32"
	case s.N <= 64:
		name = "projectGrad64"
	}
	over, pieces := (s.K+gradChannels-1)/gradChannels, (s.M+rowsOfGrad-1)/rowsOfGrad
	if s.Read == backend.Gated {
		pieces = s.M / s.Area
	}
	parts := max(1, min(pieces, projectBlocks/over))
	partsOf, partsOfSums := c.temporary(parts*s.K*s.N, backend.Float32), sums
	if s.Read != backend.Gated {
		partsOfSums = c.temporary(parts*2*s.K, backend.Float32)
	}
	g := geometry{[3]uint32{uint32(parts * over), 1, 1}, [3]uint32{productThreads, 1, 1}}
	if err := c.kernel(x.kernel(name), g, x, norm[0], norm[1], norm[2], gate, w, dy, da, partsOf, partsOfSums,
		s.M, int32(s.N), int32(s.K), int32(max(s.Area, 1)), int32(parts), s.Norm.Eps, int32(s.Norm.Act)); err != nil {
		return err
	}
	if s.Read == backend.Gated {
		return c.sum("sumRows", 1, parts, s.K*s.N, 1, dw, partsOf)
	}
	return c.sumBoth(parts, partsOf, partsOfSums, dw, sums)
}

// expandKernels have both products of an ExpandGrad: of rows of at most k values that are
// expanded to at most n.
var expandKernels = []struct {
	name string
	k, n int
}{{"expandGrad16", 16, 96}, {"expandGrad32", 32, 192}}

// expandBlocks is how many blocks a launch of them has at most: two for each multiprocessor
// of a large card.
const expandBlocks = 264

// expandKernel is the kernel for an ExpandGrad; "" where it is too wide for any.
func expandKernel(k, n int) string {
	for _, kernel := range expandKernels {
		if k <= kernel.k && n <= kernel.n {
			return kernel.name
		}
	}
	return ""
}

// expandGrad compiles an ExpandGrad of bf16 maps.
func (c *compiler) expandGrad(s backend.ExpandGrad, v []place) error {
	x, w, y, dy, sums, dx, dw := v[0], v[1], v[2], v[6], v[7], v[8], v[9]
	name := expandKernel(s.K, s.N)
	if name == "" {
		return c.wideGrad(s, v)
	}
	parts := max(1, min((s.M+rowsOfExpand-1)/rowsOfExpand, expandBlocks))
	partsOf := c.temporary(parts*s.K*s.N, backend.Float32)
	g := geometry{[3]uint32{uint32(parts), 1, 1}, [3]uint32{maxThreads, 1, 1}}
	if err := c.kernel(x.kernel(name), g, x, w, y, v[3], v[4], v[5], dy, sums, dx, partsOf,
		s.M, int32(s.N), int32(s.K), int32(parts), s.Norm.Eps, int32(s.Norm.Act)); err != nil {
		return err
	}
	return c.sum("sumRows", 1, parts, s.K*s.N, 1, dw, partsOf)
}

// wideGrad is expandGrad for more channels: one launch makes the gradient of the product's
// result and multiplies it, and cuBLASLt multiplies it again.
func (c *compiler) wideGrad(s backend.ExpandGrad, v []place) error {
	x, w, y, dy, sums, dx, dw := v[0], v[1], v[2], v[6], v[7], v[8], v[9]
	before := c.used
	defer c.release(before)
	dc := c.temporary(s.M*s.N, x.dtype)
	parts, g := productTiles(s.M, s.K)
	if err := c.kernel(x.kernel("wideGrad"), g, w, y, v[3], v[4], v[5], dy, sums, dc, dx,
		s.M, int32(s.N), int32(s.K), int32(parts), s.Norm.Eps, int32(s.Norm.Act)); err != nil {
		return err
	}
	return c.product(driver.Matmul{M: s.K, N: s.N, K: s.M, TransA: true}, x, dc, place{}, dw)
}
