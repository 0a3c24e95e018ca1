package cuda

import (
	"fmt"
	"strings"

	"effnet/internal/backend"
)

// windows compiles depthwise convolutions and pooling.
func (c *compiler) windows(spec backend.Spec, v []place) error {
	switch s := spec.(type) {
	case backend.Depthwise:
		return c.depthwise(s.ConvShape, v[0], v[1], place{}, backend.Identity, v[2])
	case backend.DepthwiseGradInput:
		return c.depthwiseGradInput(s.ConvShape, v[0], v[1], v[2])
	case backend.DepthwiseGradWeight:
		return c.depthwiseGradWeight(s.ConvShape, v[0], v[1], v[2])
	case backend.MaxPool:
		return c.kernel(v[0].kernel("maxPool"), c.byChannels(s.N*s.OutH*s.OutW, s.In, 1), v[0], v[1], shapeOf(s.ConvShape))
	case backend.MaxPoolGrad:
		return c.kernel(v[0].kernel("maxPoolGrad"), c.byChannels(s.N*s.H*s.W, s.In, 1), v[0], v[1], v[2], shapeOf(s.ConvShape))
	}
	return fmt.Errorf("cuda: no kernel for %T", spec)
}

// version is what the depthwise kernels for one filter and stride are called, and how
// many outputs of a row a thread computes of the convolution itself.
type version struct {
	suffix  string
	outputs int
}

// versions of the depthwise kernels, by kernel and stride. The zero version is for any.
var versions = map[[2]int]version{
	{3, 1}: {"3", 4},
	{3, 2}: {"3Stride2", 4},
	{5, 1}: {"5", 4},
	{5, 2}: {"5Stride2", 2},
}

// depthwise adds y = act(x*w + bias). bias is place{} for none.
func (c *compiler) depthwise(s backend.ConvShape, x, w, bias place, act backend.Activation, y place) error {
	return c.filter(s, x, w, bias, act, y, 0)
}

// filter is depthwise, with filters turned around if flip is 1.
func (c *compiler) filter(s backend.ConvShape, x, w, bias place, act backend.Activation, y place, flip int32) error {
	version := versions[[2]int{s.Kernel, s.Stride}]
	v := vec(s.In, x, w, bias, y)
	g := c.tiles(s.N*s.OutH, s.OutW, max(version.outputs, 1), s.In, v)
	return c.kernel(x.kernel("depthwise"+version.suffix), g, x, w, bias, y, shapeOf(s), flip, int32(act), v)
}

// gradOutputs is how many of a row depthwiseGradInput's versions compute a thread.
const gradOutputs = 4

func (c *compiler) depthwiseGradInput(s backend.ConvShape, dy, w, dx place) error {
	if s.Stride == 1 {
		turned := s
		turned.H, turned.W, turned.OutH, turned.OutW = s.OutH, s.OutW, s.H, s.W
		turned.Top, turned.Left = s.Kernel-1-s.Top, s.Kernel-1-s.Left
		return c.filter(turned, dy, w, place{}, backend.Identity, dx, 1)
	}
	v := vec(s.In, dy, w, dx)
	version, ok := versions[[2]int{s.Kernel, s.Stride}]
	g := c.byChannels(s.N*s.H*s.W, s.In, v)
	if ok {
		g = c.tiles(s.N*s.H, s.W+s.Left%2, gradOutputs, s.In, v)
	}
	return c.kernel(dy.kernel("depthwiseGradInput"+version.suffix), g, dy, w, dx, shapeOf(s), v)
}

// gradWeightThreads is how many threads of a block depthwiseGradWeight takes at most. 5x5
// filters on bf16 maps need up to 146 registers a thread, with which a fourth of a
// multiprocessor has room for three warps: three blocks of half as many threads fit, and
// only one of 7 or 8 warps (docs/notes/gpu-static.md).
func gradWeightThreads(threads, kernel int, maps backend.DType) int {
	if kernel == 5 && maps != backend.Float32 {
		return threads / 2
	}
	return threads
}

// Threads is how many threads a block of a kernel has at most.
func Threads(kernel string) int {
	maps := backend.Float32
	for t, kind := range kinds {
		if kind.suffix != "" && strings.HasSuffix(kernel, kind.suffix) {
			maps, kernel = backend.DType(t), strings.TrimSuffix(kernel, kind.suffix)
		}
	}
	if threads := tileThreads(kernel, maps); threads > 0 {
		return threads
	}
	if strings.HasSuffix(kernel, "MatMul") || strings.HasPrefix(kernel, "projectGrad") || strings.HasPrefix(kernel, "thin") || kernel == "wideGrad" {
		return productThreads
	}
	if strings.HasPrefix(kernel, "depthwiseGradWeight5") {
		return gradWeightThreads(maxThreads, 5, maps)
	}
	return maxThreads
}

func (c *compiler) depthwiseGradWeight(s backend.ConvShape, x, dy, dw place) error {
	v, taps := vec(s.In, x, dy, dw), s.Kernel*s.Kernel
	version, ok := versions[[2]int{s.Kernel, s.Stride}]
	filterRows, groups := 1, taps
	if ok {
		filterRows, groups = s.Kernel, 1
	}
	rows, threads := s.N*s.OutH, gradWeightThreads(c.threads, s.Kernel, x.dtype)
	over, across := even(s.In/int(v), c.threads/32)
	down := min(max(threads/(across*filterRows), 1), rows, maxDown)
	const outputsOfThread = 16 // at least, before rows are cut into more parts
	most := (rows*s.OutW + down*outputsOfThread - 1) / (down * outputsOfThread)
	parts := max(1, min(most, partBlocks/over, rows))
	to := dw
	if parts > 1 {
		to = c.temporary(parts*taps*s.In, backend.Float32)
	}
	g := geometry{[3]uint32{uint32(parts * over), uint32(groups), 1}, [3]uint32{uint32(across), uint32(filterRows), uint32(down)}}
	if err := c.kernel(x.kernel("depthwiseGradWeight"+version.suffix), g, x, dy, to, shapeOf(s), int32(parts), v); err != nil || parts == 1 {
		return err
	}
	return c.sum("sumRows", 1, parts, taps*s.In, 1, dw, to)
}
