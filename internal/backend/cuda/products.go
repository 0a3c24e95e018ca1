package cuda

import (
	"errors"
	"fmt"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// product is productPlus without a shortcut.
func (c *compiler) product(m driver.Matmul, a, b, bias, out place) error {
	return c.productPlus(m, a, b, bias, place{}, out)
}

// productPlus adds C = op(A)·op(B) (+ bias) (+ shortcut) by cuBLASLt. Factors of which
// one is bf16 are multiplied as bf16: the other, weights, is converted. What is added
// is made of the result's kind.
func (c *compiler) productPlus(m driver.Matmul, a, b, bias, shortcut, out place) error {
	before := c.used
	defer c.release(before)
	factors := narrowest(a, b)
	m.Precision, m.In, m.Out = c.precision, kinds[factors].matrix, kinds[out.dtype].matrix
	if !m.Bias {
		bias.dtype = out.dtype
	}
	for _, f := range []struct {
		at    *place
		size  int
		dtype backend.DType
	}{{&a, m.M * m.K, factors}, {&b, m.K * m.N, factors}, {&bias, m.N, out.dtype}} {
		if f.at.dtype != f.dtype {
			converted := c.temporary(f.size, f.dtype)
			if err := c.convert(*f.at, converted, f.size); err != nil {
				return err
			}
			*f.at = converted
		}
	}
	return c.cutProduct(m, a, b, bias, shortcut, out)
}

// mostValues is how many values a matrix of cuBLASLt has at most: it counts some of
// them in 32 bits.
const mostValues = 1<<31 - 1

// cutProduct adds a product in lots of rows of A's memory, of as many values as
// cuBLASLt takes. Where these are the rows of the result, each lot gives some of them;
// where they are summed over, each lot adds to the ones before.
func (c *compiler) cutProduct(m driver.Matmul, a, b, bias, shortcut, out place) error {
	rows, widthA := m.M, m.K
	if m.TransA {
		rows, widthA = m.K, m.M
	}
	widthA = max(widthA, m.StrideA)
	most := max(1, c.mostValues/max(widthA, m.N))
	if limit := c.device.MostRows(); limit > 0 && !m.TransA {
		most = min(most, limit)
	}
	_, size := even(rows, most)
	for first := 0; first < rows; first += size {
		lot, n := m, min(size, rows-first)
		if !m.TransA {
			lot.M = n
			if err := c.oneProduct(lot, a.part(first*widthA, n*widthA), b, bias, shortcut.part(first*m.N, n*m.N), out.part(first*m.N, n*m.N)); err != nil {
				return err
			}
			continue
		}
		lot.K = n
		if first > 0 {
			lot.Bias, lot.Residual, shortcut = false, true, out
		}
		if err := c.oneProduct(lot, a.part(first*widthA, n*widthA), b.part(first*m.N, n*m.N), bias, shortcut, out); err != nil {
			return err
		}
	}
	return nil
}

// oneProduct adds a product that is no larger than cuBLASLt takes. Where that adds no
// bias to such a product, a pass after it does.
func (c *compiler) oneProduct(m driver.Matmul, a, b, bias, shortcut, out place) error {
	if m.Align = narrowest(a, out).Size(); aligned(a, b, bias, shortcut, out) {
		m.Align = vector
	}
	p, err := c.matmul(m)
	var none *driver.NoAlgorithm
	apart := m.Bias && errors.As(err, &none)
	if apart {
		m.Bias = false
		p, err = c.matmul(m)
	}
	if err != nil {
		return c.error(fmt.Sprintf("prepare a product of %dx%d and %dx%d", m.M, m.K, m.K, m.N), err)
	}
	o := own(c.Backend, p)
	c.steps = append(c.steps, step{func() error {
		if err := o.it.Run(c.where(a), c.where(b), c.where(bias), c.where(shortcut), c.where(out)); err != nil {
			return fmt.Errorf("product %+v: %w", m, err)
		}
		if c.careful {
			if err := c.device.Sync(); err != nil {
				return fmt.Errorf("product %+v: %w", m, err)
			}
		}
		return nil
	}, launchedProduct(m, narrowest(a, b), out.dtype)})
	if !apart {
		return nil
	}
	if bias.dtype != backend.Float32 {
		before := c.used
		defer c.release(before)
		wide := c.temporary(m.N, backend.Float32)
		if err := c.convert(bias, wide, m.N); err != nil {
			return err
		}
		bias = wide
	}
	return c.biasAct(out, bias, m.M, m.N, backend.Identity)
}

// launchedProduct is what a product of factors of a type asks of the device.
func launchedProduct(m driver.Matmul, factors, out backend.DType) backend.Launched {
	in, to := int64(factors.Size()), int64(out.Size())
	l := backend.Launched{
		Name:   fmt.Sprintf("product %dx%dx%d", m.M, m.N, m.K),
		FLOPs:  2 * int64(m.M) * int64(m.N) * int64(m.K),
		Reads:  in * (int64(m.M)*int64(m.K) + int64(m.K)*int64(m.N)),
		Writes: to * int64(m.M) * int64(m.N),
	}
	if m.Bias {
		l.Reads += to * int64(m.N)
	}
	if m.Residual {
		l.Reads += l.Writes
	}
	return l
}

func (c *compiler) matMul(s backend.MatMul, v []place) error {
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
	_, width := sizes(s)
	size := max(1, mostColumns/(s.OutH*s.OutW*padded(width)))
	for first := 0; first < s.N; first += size {
		lot := s
		lot.N = min(size, s.N-first)
		if err := do(lot, first); err != nil {
			return err
		}
	}
	return nil
}

// patches adds the gathering of a lot's patches: rows of width values, padded apart. It
// returns where they are.
func (c *compiler) patches(lot backend.ConvShape, x place) (columns place, err error) {
	pixels, width := sizes(lot)
	columns = c.temporary(pixels*padded(width), x.dtype)
	w := vec(lot.In, x, columns)
	return columns, c.kernel(x.kernel("gather"), c.flat(pixels*width, w), x, columns.part(0, pixels*width), shapeOf(lot), int32(padded(width)), w)
}

// sizes of a lot: its output pixels, its patches' width.
func sizes(lot backend.ConvShape) (pixels, width int) {
	return lot.N * lot.OutH * lot.OutW, lot.Kernel * lot.Kernel * lot.In
}

// padded is the distance of rows of width values: a multiple of 8, since products are
// fast, and some possible at all, where each row is on 16 bytes.
func padded(width int) int { return (width + 7) / 8 * 8 }

func (c *compiler) conv(s backend.Conv, v []place) error {
	return c.convolve(s.ConvShape, v[0], v[1], place{}, v[2])
}

// convolve adds a dense convolution and a bias, unless that is nowhere.
func (c *compiler) convolve(s backend.ConvShape, x, weights, bias, y place) error {
	m := driver.Matmul{M: s.N * s.H * s.W, N: s.Out, K: s.In, Bias: bias != place{}}
	if s.Pointwise() {
		return c.product(m, x, weights, bias, y)
	}
	if suffix, ok := c.thin(s, weights, y); ok && bias == (place{}) {
		return c.thinConv(s, suffix, x, weights, y)
	}
	before := c.used
	return lots(s, func(lot backend.ConvShape, first int) error {
		defer c.release(before)
		columns, err := c.patches(lot, x.part(first*lot.H*lot.W*lot.In, lot.N*lot.H*lot.W*lot.In))
		if err != nil {
			return err
		}
		m.M, m.K = sizes(lot)
		m.StrideA = padded(m.K)
		return c.product(m, columns, weights, bias, y.part(first*s.OutH*s.OutW*s.Out, m.M*s.Out))
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
		columns := c.temporary(pixels*width, v[0].dtype)
		m := driver.Matmul{M: pixels, N: width, K: s.Out, TransB: true}
		if err := c.product(m, v[0].part(first*s.OutH*s.OutW*s.Out, pixels*s.Out), v[1], place{}, columns); err != nil {
			return err
		}
		dx := v[2].part(first*s.H*s.W*s.In, lot.N*s.H*s.W*s.In)
		w := vec(s.In, columns, dx)
		return c.kernel(dx.kernel("scatter"), c.byChannels(lot.N*s.H*s.W, s.In, w), columns, dx, shapeOf(lot), w)
	})
}

func (c *compiler) convGradWeight(s backend.ConvGradWeight, v []place) error {
	if s.Pointwise() {
		return c.product(driver.Matmul{M: s.In, N: s.Out, K: s.N * s.H * s.W, TransA: true}, v[0], v[1], place{}, v[2])
	}
	if suffix, ok := c.thin(s.ConvShape, v[2], v[1]); ok {
		return c.thinGrad(s.ConvShape, suffix, v[0], v[1], v[2])
	}
	count := 0
	_ = lots(s.ConvShape, func(backend.ConvShape, int) error { count++; return nil })
	size := s.Kernel * s.Kernel * s.In * s.Out
	parts := v[2]
	if count > 1 {
		parts = c.temporary(count*size, backend.Float32)
	}
	before, done := c.used, 0
	err := lots(s.ConvShape, func(lot backend.ConvShape, first int) error {
		defer c.release(before)
		pixels, width := sizes(lot)
		columns, err := c.patches(lot, v[0].part(first*s.H*s.W*s.In, lot.N*s.H*s.W*s.In))
		if err != nil {
			return err
		}
		to := parts.part(done*size, size)
		done++
		return c.product(driver.Matmul{M: width, N: s.Out, K: pixels, TransA: true, StrideA: padded(width)}, columns, v[1].part(first*s.OutH*s.OutW*s.Out, pixels*s.Out), place{}, to)
	})
	if err != nil || count == 1 {
		return err
	}
	return c.sum("sumRows", 1, count, size, 1, v[2], parts)
}
