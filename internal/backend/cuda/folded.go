package cuda

import (
	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// A folded Spec's Prepare makes weights and a bias in memory that the program keeps.
// With bf16 maps the weights of products are bf16, and the bias is where cuBLASLt adds
// it; what kernels add, and a depthwise convolution's weights, are float32.

// prepared adds what build compiles to Prepare instead of Run.
func (c *compiler) prepared(build func() error) error {
	run := c.steps
	c.steps = c.prepare
	err := build()
	c.prepare, c.steps = c.steps, run
	return err
}

// keep allocates values that live as long as the program.
func (c *compiler) keep(values int, dtype backend.DType) (place, error) {
	v, err := backend.NewViewOf(c.Backend, values, dtype)
	if err != nil {
		return place{}, err
	}
	c.kept = append(c.kept, v.Buffer)
	return places([]backend.View{v})[0], nil
}

// keepAs keeps float32 values, as Prepare finds them, in another type.
func (c *compiler) keepAs(dtype backend.DType, from place, values int) (place, error) {
	to, err := c.keep(values, dtype)
	if err != nil {
		return place{}, err
	}
	return to, c.prepared(func() error { return c.convert(from, to, values) })
}

// fold keeps weights [rows,channels] times the scale of a norm, given by its three
// operands, and the bias that is left of it, which is float32.
func (c *compiler) fold(weights place, norm []place, rows, channels int, eps float32, dtype backend.DType) (folded, bias place, err error) {
	if folded, err = c.keep(rows*channels, dtype); err != nil {
		return place{}, place{}, err
	}
	if bias, err = c.keep(channels, backend.Float32); err != nil {
		return place{}, place{}, err
	}
	w := vec(channels, weights, norm[0], norm[1], norm[2], folded, bias)
	return folded, bias, c.prepared(func() error {
		return c.kernel(folded.kernel("fold"), c.byChannels(rows, channels, w), weights, norm[0], norm[1], norm[2], folded, bias,
			rows, int32(channels), eps, w)
	})
}

// biasAct compiles y = act(y + bias) of rows of a map.
func (c *compiler) biasAct(y, bias place, rows, channels int, act backend.Activation) error {
	w := vec(channels, y, bias)
	return c.kernel(y.kernel("biasAct"), c.byChannels(rows, channels, w), y, bias, y, rows, int32(channels), int32(act), w)
}

// biasOf is a float32 bias as cuBLASLt adds it to y: of y's kind.
func (c *compiler) biasOf(y, bias place, values int) (place, error) {
	if y.dtype == bias.dtype {
		return bias, nil
	}
	return c.keepAs(y.dtype, bias, values)
}

func (c *compiler) foldedMatMul(s backend.FoldedMatMul, v []place) error {
	return c.typed(s, v, func(v []place) error { return c.foldedMaps(s, v) })
}

// foldedMaps is foldedMatMul with maps of one kind.
func (c *compiler) foldedMaps(s backend.FoldedMatMul, v []place) error {
	if !s.Pool && c.byTensorCores(v, s.K, s.N) {
		x := taken(&v, 1)[0]
		var gate, shortcut place
		if s.Gated {
			gate = taken(&v, 1)[0]
		}
		weights, bias, err := c.fold(v[0], v[1:4], s.K, s.N, s.Norm.Eps, x.dtype)
		if err != nil {
			return err
		}
		if s.Residual {
			shortcut = v[4]
		}
		return c.foldedByTensorCores(s.M, s.N, s.K, s.Area, x, gate, weights, bias, shortcut, v[len(v)-1], s.Norm.Act)
	}
	if s.Gated {
		gated := c.temporary(s.M*s.K, v[0].dtype)
		if err := c.compile(backend.ChannelScale{N: s.M / s.Area, Area: s.Area, C: s.K}, []place{v[0], v[1], gated}); err != nil {
			return err
		}
		v = append([]place{gated}, v[2:]...)
	}
	weights, bias, err := c.fold(v[1], v[2:5], s.K, s.N, s.Norm.Eps, v[0].dtype)
	if err != nil {
		return err
	}
	return c.foldedProduct(s, v[0], weights, bias, v[5], v[len(v)-1])
}

// foldedProduct is one product where there is no activation, with the bias and the
// shortcut in it. Otherwise a pass after it adds the bias and activates, or sums that
// if the Spec pools.
func (c *compiler) foldedProduct(s backend.FoldedMatMul, x, weights, bias, shortcut, y place) (err error) {
	m := driver.Matmul{M: s.M, N: s.N, K: s.K, Residual: s.Residual}
	switch {
	case s.Pool:
		z := c.temporary(s.M*s.N, x.dtype)
		if err := c.product(m, x, weights, place{}, z); err != nil {
			return err
		}
		return c.sumWith("sumBiasAct", s.M/s.Area, s.Area, s.N, 1, 1/float32(s.Area), y, []place{z, bias}, int32(s.Norm.Act))
	case s.Norm.Act != backend.Identity:
		if err := c.product(m, x, weights, place{}, y); err != nil {
			return err
		}
		return c.biasAct(y, bias, s.M, s.N, s.Norm.Act)
	}
	if bias, err = c.biasOf(y, bias, s.N); err != nil {
		return err
	}
	m.Bias = true
	return c.productPlus(m, x, weights, bias, shortcut, y)
}

// foldedConv: v are x, w, the norm's three and y, both maps of one kind.
func (c *compiler) foldedConv(s backend.FoldedConv, v []place) error {
	x, y := v[0], v[5]
	weights, bias, err := c.fold(v[1], v[2:5], s.Kernel*s.Kernel*s.In, s.Out, s.Norm.Eps, x.dtype)
	if err != nil {
		return err
	}
	if s.Pointwise() && c.byTensorCores([]place{x, y}, s.In, s.Out) {
		return c.foldedByTensorCores(s.N*s.H*s.W, s.Out, s.In, 0, x, place{}, weights, bias, place{}, y, s.Norm.Act)
	}
	if s.Norm.Act != backend.Identity {
		if err := c.convolve(s.ConvShape, x, weights, place{}, y); err != nil {
			return err
		}
		return c.biasAct(y, bias, s.N*s.OutH*s.OutW, s.Out, s.Norm.Act)
	}
	if bias, err = c.biasOf(y, bias, s.Out); err != nil {
		return err
	}
	return c.convolve(s.ConvShape, x, weights, bias, y)
}

// linear multiplies, with precision bf16, by weights that Prepare made bf16; product
// makes x so too. What it gives is float32.
func (c *compiler) linear(s backend.Linear, v []place) (err error) {
	weights := v[1]
	if kept := c.Maps(); kept != backend.Float32 {
		if weights, err = c.keepAs(kept, weights, s.K*s.N); err != nil {
			return err
		}
	}
	return c.product(driver.Matmul{M: s.M, N: s.N, K: s.K, Bias: true}, v[0], weights, v[2], v[3])
}
