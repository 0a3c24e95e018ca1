package backend_test

import (
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
)

func TestCost(t *testing.T) {
	dense := backend.ConvShape{N: 2, H: 9, W: 8, In: 3, Kernel: 3, Stride: 2, Top: 1, Left: 1, OutH: 5, OutW: 4, Out: 10}
	deep := dense
	deep.In, deep.Out = 24, 24
	pool := backend.GlobalAvgPool{N: 2, Area: 9, C: 5}
	for _, c := range []struct {
		spec          backend.Spec
		flops, values int64
	}{
		{backend.MatMul{M: 5, N: 7, K: 11}, 2 * 5 * 7 * 11, 5*11 + 11*7 + 5*7},
		{backend.MatMul{M: 5, N: 7, K: 11, TransB: true, Bias: true}, 2 * 5 * 7 * 11, 5*11 + 11*7 + 7 + 5*7},
		{backend.Conv{ConvShape: dense}, 2 * 2 * 5 * 4 * 10 * 9 * 3, 2*9*8*3 + 9*3*10 + 2*5*4*10},
		{backend.ConvGradInput{ConvShape: dense}, 2 * 2 * 5 * 4 * 10 * 9 * 3, 2*9*8*3 + 9*3*10 + 2*5*4*10},
		{backend.ConvGradWeight{ConvShape: dense}, 2 * 2 * 5 * 4 * 10 * 9 * 3, 2*9*8*3 + 9*3*10 + 2*5*4*10},
		{backend.Depthwise{ConvShape: deep}, 2 * 2 * 5 * 4 * 24 * 9, 2*9*8*24 + 9*24 + 2*5*4*24},
		{backend.DepthwiseGradInput{ConvShape: deep}, 2 * 2 * 5 * 4 * 24 * 9, 2*9*8*24 + 9*24 + 2*5*4*24},
		{backend.DepthwiseGradWeight{ConvShape: deep}, 2 * 2 * 5 * 4 * 24 * 9, 2*9*8*24 + 9*24 + 2*5*4*24},
		{backend.ExpandGrad{M: 5, N: 7, K: 11}, 2 * 2 * 5 * 7 * 11, 2*5*11 + 2*11*7 + 2*5*7 + 6*7},
		{pool, 0, 2*9*5 + 2*5},
		{backend.MaxPool{ConvShape: deep}, 0, 2*9*8*24 + 2*5*4*24},
		{backend.MaxPoolGrad{MaxPool: backend.MaxPool{ConvShape: deep}}, 0, 2*2*9*8*24 + 2*5*4*24},
		{backend.FoldedConv{ConvShape: dense}, 2 * 2 * 5 * 4 * 10 * 9 * 3, 2*9*8*3 + 9*3*10 + 4*10 + 2*5*4*10},
		{backend.FoldedMatMul{M: 6, N: 7, K: 11, Area: 3, Gated: true, Pool: true}, 2 * 6 * 7 * 11, 6*11 + 2*11 + 11*7 + 4*7 + 2*7},
		{backend.Add{N: 6}, 0, 18},
		{backend.RMSProp{N: 6}, 0, 6 + 4 + 2*3*6},
		{backend.SGD{N: 6}, 0, 6 + 4 + 2*2*6},
		{backend.Adam{N: 6}, 0, 6 + 4 + 2*3*6},
		{backend.Average{N: 6}, 0, 6 + 1 + 2*6},
		{backend.RunningStats{N: 6}, 0, 2*6 + 2*6},
		{backend.Guard{Groups: 2}, 0, 1 + 2*8},
	} {
		flops, bytes := backend.Cost(c.spec, nil)
		if flops != c.flops || bytes != 4*c.values {
			t.Errorf("%T%+v: %d flops, %d bytes; want %d, %d", c.spec, c.spec, flops, bytes, c.flops, 4*c.values)
		}
	}
}

// Every Spec moves at least its operands.
func TestCostOfEverySpec(t *testing.T) {
	for _, spec := range backendtest.Specs() {
		var values int64
		for _, n := range backend.Sizes(spec) {
			values += int64(n)
		}
		if flops, bytes := backend.Cost(spec, nil); flops < 0 || bytes < 4*values {
			t.Errorf("%T%+v: %d flops, %d bytes for %d values", spec, spec, flops, bytes, values)
		}
	}
}
