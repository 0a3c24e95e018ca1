package cuda

import (
	"fmt"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// product is productPlus without a shortcut.
func (c *compiler) product(m driver.Matmul, a, b, bias, out place) error {
	return c.productPlus(m, a, b, bias, place{}, out)
}

func (c *compiler) matMul(s backend.MatMul, v []place) error {
	if s.TransA && (s.TransB || s.Bias) {
		return fmt.Errorf("cuda: unsupported product %+v", s)
	}
	m := driver.Matmul{M: s.M, N: s.N, K: s.K, TransA: s.TransA, TransB: s.TransB, Bias: s.Bias}
	if s.Bias {
		return c.product(m, v[0], v[1], v[2], v[3])
	}
	return c.product(m, v[0], v[1], place{}, v[2])
}

// mostColumns is how many values of patches are gathered at a time: 256 MiB.
const mostColumns = 64 << 20

// lots cuts a convolution's images into lots whose patches are no more than
// mostColumns, one image at least, and calls do with each and its first image.
func lots(s backend.ConvShape, do func(lot backend.ConvShape, first int) error) error {
	width := s.Kernel * s.Kernel * s.In
	size := max(1, mostColumns/(s.OutH*s.OutW*width))
	for first := 0; first < s.N; first += size {
		lot := s
		lot.N = min(size, s.N-first)
		if err := do(lot, first); err != nil {
			return err
		}
	}
	return nil
}

// patches adds the gathering of a lot's patches, [pixels, width].
func (c *compiler) patches(lot backend.ConvShape, x, columns place) error {
	w := vec(lot.In, x, columns)
	return c.kernel(x.kernel("gather"), c.flat(lot.N*lot.OutH*lot.OutW*lot.Kernel*lot.Kernel*lot.In, w), x, columns, shapeOf(lot), w)
}

// sizes of a lot: its output pixels, its patches' width.
func sizes(lot backend.ConvShape) (pixels, width int) {
	return lot.N * lot.OutH * lot.OutW, lot.Kernel * lot.Kernel * lot.In
}

func (c *compiler) conv(s backend.Conv, v []place) error {
	return c.convolve(s.ConvShape, v[0], v[1], place{}, v[2])
}

// convolve adds a dense convolution and a bias, unless that is nowhere.
func (c *compiler) convolve(s backend.ConvShape, x, weights, bias, y place) error {
	m := driver.Matmul{M: s.N * s.H * s.W, N: s.Out, K: s.In, Bias: bias != place{}}
	if s.Pointwise() {
		return c.product(m, x, weights, bias, y)
	}
	before := c.used
	return lots(s, func(lot backend.ConvShape, first int) error {
		defer c.release(before)
		m.M, m.K = sizes(lot)
		columns := c.temporary(m.M*m.K, x.half)
		if err := c.patches(lot, x.plus(first*s.H*s.W*s.In), columns); err != nil {
			return err
		}
		return c.product(m, columns, weights, bias, y.plus(first*s.OutH*s.OutW*s.Out))
	})
}

func (c *compiler) convGradInput(s backend.ConvGradInput, v []place) error {
	if s.Pointwise() {
		return c.product(driver.Matmul{M: s.N * s.H * s.W, N: s.In, K: s.Out, TransB: true}, v[0], v[1], place{}, v[2])
	}
	before := c.used
	return lots(s.ConvShape, func(lot backend.ConvShape, first int) error {
		defer c.release(before)
		pixels, width := sizes(lot)
		columns := c.temporary(pixels*width, v[0].half)
		m := driver.Matmul{M: pixels, N: width, K: s.Out, TransB: true}
		if err := c.product(m, v[0].plus(first*s.OutH*s.OutW*s.Out), v[1], place{}, columns); err != nil {
			return err
		}
		dx := v[2].plus(first * s.H * s.W * s.In)
		w := vec(s.In, columns, dx)
		return c.kernel(dx.kernel("scatter"), c.byChannels(lot.N*s.H*s.W, s.In, w), columns, dx, shapeOf(lot), w)
	})
}

func (c *compiler) convGradWeight(s backend.ConvGradWeight, v []place) error {
	if s.Pointwise() {
		return c.product(driver.Matmul{M: s.In, N: s.Out, K: s.N * s.H * s.W, TransA: true}, v[0], v[1], place{}, v[2])
	}
	count := 0
	_ = lots(s.ConvShape, func(backend.ConvShape, int) error { count++; return nil })
	size := s.Kernel * s.Kernel * s.In * s.Out
	parts := v[2]
	if count > 1 {
		parts = c.temporary(count*size, false)
	}
	before, done := c.used, 0
	err := lots(s.ConvShape, func(lot backend.ConvShape, first int) error {
		defer c.release(before)
		pixels, width := sizes(lot)
		columns := c.temporary(pixels*width, v[0].half)
		if err := c.patches(lot, v[0].plus(first*s.H*s.W*s.In), columns); err != nil {
			return err
		}
		to := parts.plus(done * size)
		done++
		return c.product(driver.Matmul{M: width, N: s.Out, K: pixels, TransA: true}, columns, v[1].plus(first*s.OutH*s.OutW*s.Out), place{}, to)
	})
	if err != nil || count == 1 {
		return err
	}
	return c.sum("sumRows", 1, count, size, 1, v[2], parts)
}
