//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

func biasActAVX512(y []float32, ldy int, x, bias []float32, act Act, cols, c int) {
	whole := c + (cols-c)/lanesAVX512*lanesAVX512
	rows := len(x) / cols
	px, py, pb := unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(bias)
	switch act {
	case Swish:
		biasSwishAVX512(py, ldy, px, pb, rows, cols, c, whole)
	case Sigmoid:
		biasSigmoidAVX512(py, ldy, px, pb, rows, cols, c, whole)
	default:
		biasStraightAVX512(py, ldy, px, pb, act == ReLU6, rows, cols, c, whole)
	}
	if whole < cols {
		biasActAVX2(y, ldy, x, bias, act, cols, whole)
	}
}

func biasSwishAVX512(y *float32, ldy int, x, bias *float32, rows, cols, c, whole int) {
	log2e, minusLog2e, one, c1, c2, c3, c4, c5, c6 := sigmoidConstantsAVX512()
	for r := range rows {
		for i := c; i < whole; i += lanesAVX512 {
			z := loadAVX512(x, r*cols+i).Add(loadAVX512(bias, i))
			n, h := splitAVX512(z, log2e, minusLog2e)
			storeAVX512(y, r*ldy+i, z.Div(onePlusAVX512(h, n, one, c1, c2, c3, c4, c5, c6)))
		}
	}
}

func biasSigmoidAVX512(y *float32, ldy int, x, bias *float32, rows, cols, c, whole int) {
	log2e, minusLog2e, one, c1, c2, c3, c4, c5, c6 := sigmoidConstantsAVX512()
	for r := range rows {
		for i := c; i < whole; i += lanesAVX512 {
			z := loadAVX512(x, r*cols+i).Add(loadAVX512(bias, i))
			n, h := splitAVX512(z, log2e, minusLog2e)
			storeAVX512(y, r*ldy+i, one.Div(onePlusAVX512(h, n, one, c1, c2, c3, c4, c5, c6)))
		}
	}
}

// biasStraightAVX512 is biasActAVX512 of the activations without a sigmoid.
func biasStraightAVX512(y *float32, ldy int, x, bias *float32, relu6 bool, rows, cols, c, whole int) {
	zero, six := archsimd.BroadcastFloat32x16(0), archsimd.BroadcastFloat32x16(6)
	for r := range rows {
		for i := c; i < whole; i += lanesAVX512 {
			z := loadAVX512(x, r*cols+i).Add(loadAVX512(bias, i))
			if relu6 {
				z = relu6AVX512(z, zero, six)
			}
			storeAVX512(y, r*ldy+i, z)
		}
	}
}

// biasActSumAVX512 sums in memory: y's rows are short, and in the first cache.
func biasActSumAVX512(sum, y []float32, ldy int, x, bias []float32, act Act, cols, c int) {
	biasActAVX512(y, ldy, x, bias, act, cols, c)
	py, ps := unsafe.SliceData(y), unsafe.SliceData(sum)
	rows := len(x) / cols
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		s := loadAVX512(ps, c)
		for r, i := 0, c; r < rows; r, i = r+1, i+ldy {
			s = s.Add(loadAVX512(py, i))
		}
		storeAVX512(ps, c, s)
	}
	for ; c < cols; c++ {
		for r := range rows {
			sum[c] += y[r*ldy+c]
		}
	}
}
