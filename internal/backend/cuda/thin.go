package cuda

import (
	"math"

	"effnet/internal/backend"
)

// MostTaps, ThinPixels and ThinColumns of kernels/thin.cu.
const mostTaps, thinPixels, thinColumns = 32, 64, 32

// thinBlocks is how many blocks a launch of thinGrad has at most: each writes its part of the
// weights' gradient.
const thinBlocks = 1056

// thin is how the names of kernels/thin.cu's kernels end for a convolution of a map by
// weights (or the gradient of these) to results; ok is false where they have it not.
func (c *compiler) thin(s backend.ConvShape, weights, results place) (suffix string, ok bool) {
	if depth(s) > mostTaps || s.Out%4 != 0 || s.N*s.OutH*s.OutW > math.MaxInt32-thinPixels ||
		weights.dtype != backend.Float32 || !aligned(results) {
		return "", false
	}
	if c.byTensorCores([]place{results}, s.Out) {
		suffix = "Pairs"
	}
	return suffix, true
}

// thinLaunch is the launch of a kernel of kernels/thin.cu, in parts of the results, by most
// blocks.
func thinLaunch(s backend.ConvShape, most int) (parts int, g geometry) {
	over := blocksOf(s.Out, thinColumns)
	parts = max(1, min(blocksOf(s.N*s.OutH*s.OutW, thinPixels), most/over))
	return parts, geometry{[3]uint32{uint32(parts * over), 1, 1}, [3]uint32{productThreads, 1, 1}}
}

// thinConv compiles y = x*weights.
func (c *compiler) thinConv(s backend.ConvShape, suffix string, x, weights, y place) error {
	parts, g := thinLaunch(s, productBlocks)
	return c.kernel(x.kernel("thinConv"+suffix), g, x, weights, y, shapeOf(s), int32(parts))
}

// thinGrad compiles the gradient of its weights.
func (c *compiler) thinGrad(s backend.ConvShape, suffix string, x, dy, dw place) error {
	parts, g := thinLaunch(s, thinBlocks)
	size := depth(s) * s.Out
	partsOf := c.temporary(parts*size, backend.Float32)
	if err := c.kernel(x.kernel("thinGrad"+suffix), g, x, dy, partsOf, shapeOf(s), int32(parts)); err != nil {
		return err
	}
	return c.sum("sumRows", 1, parts, size, 1, dw, partsOf)
}
