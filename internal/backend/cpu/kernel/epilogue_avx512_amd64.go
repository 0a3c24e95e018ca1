//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// biasActAVX512 goes down a vector of columns at a time: its bias and its sum
// stay in registers, and the rows are few enough for a cache. Each activation is a
// function of its own that is not inlined, as one that holds them all has too few
// registers.
func biasActAVX512(sum, y []float32, ldy int, x, bias []float32, act Act, cols, c int) {
	rows := len(x) / cols
	px, py, pb, ps := unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(bias), unsafe.SliceData(sum)
	whole := c + (cols-c)/lanesAVX512*lanesAVX512
	switch act {
	case Swish:
		biasSwishAVX512(ps, py, ldy, px, pb, rows, cols, c, whole)
	case Sigmoid:
		biasSigmoidAVX512(ps, py, ldy, px, pb, rows, cols, c, whole)
	case ReLU:
		biasReLUAVX512(ps, py, ldy, px, pb, rows, cols, c, whole)
	case ReLU6:
		biasReLU6AVX512(ps, py, ldy, px, pb, rows, cols, c, whole)
	case HardSwish:
		biasHardSwishAVX512(ps, py, ldy, px, pb, rows, cols, c, whole)
	case HardSigmoid:
		biasHardSigmoidAVX512(ps, py, ldy, px, pb, rows, cols, c, whole)
	default:
		biasAVX512(ps, py, ldy, px, pb, rows, cols, c, whole)
	}
	if whole < cols {
		biasActAVX2(sum, y, ldy, x, bias, act, cols, whole)
	}
}

//go:noinline
func biasSwishAVX512(sum, y *float32, ldy int, x, bias *float32, rows, cols, c, whole int) {
	minusLog2e, one, c1, c2, c3, c4, c5 := expConstantsAVX512()
	for ; c < whole; c += lanesAVX512 {
		b := loadAVX512(bias, c)
		var s archsimd.Float32x16
		for n, i, j := rows, c, c; n > 0; n-- {
			z := loadAVX512(x, i).Add(b)
			v := z.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one))
			storeAVX512(y, j, v)
			s = s.Add(v)
			i, j = i+cols, j+ldy
		}
		if sum != nil {
			storeAVX512(sum, c, s.Add(loadAVX512(sum, c)))
		}
	}
}

//go:noinline
func biasSigmoidAVX512(sum, y *float32, ldy int, x, bias *float32, rows, cols, c, whole int) {
	minusLog2e, one, c1, c2, c3, c4, c5 := expConstantsAVX512()
	for ; c < whole; c += lanesAVX512 {
		b := loadAVX512(bias, c)
		var s archsimd.Float32x16
		for n, i, j := rows, c, c; n > 0; n-- {
			z := loadAVX512(x, i).Add(b)
			v := one.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one))
			storeAVX512(y, j, v)
			s = s.Add(v)
			i, j = i+cols, j+ldy
		}
		if sum != nil {
			storeAVX512(sum, c, s.Add(loadAVX512(sum, c)))
		}
	}
}

//go:noinline
func biasReLUAVX512(sum, y *float32, ldy int, x, bias *float32, rows, cols, c, whole int) {
	zero := archsimd.BroadcastFloat32x16(0)
	for ; c < whole; c += lanesAVX512 {
		b := loadAVX512(bias, c)
		var s archsimd.Float32x16
		for n, i, j := rows, c, c; n > 0; n-- {
			v := reluAVX512(loadAVX512(x, i).Add(b), zero)
			storeAVX512(y, j, v)
			s = s.Add(v)
			i, j = i+cols, j+ldy
		}
		if sum != nil {
			storeAVX512(sum, c, s.Add(loadAVX512(sum, c)))
		}
	}
}

//go:noinline
func biasReLU6AVX512(sum, y *float32, ldy int, x, bias *float32, rows, cols, c, whole int) {
	zero, six := archsimd.BroadcastFloat32x16(0), archsimd.BroadcastFloat32x16(6)
	for ; c < whole; c += lanesAVX512 {
		b := loadAVX512(bias, c)
		var s archsimd.Float32x16
		for n, i, j := rows, c, c; n > 0; n-- {
			v := relu6AVX512(loadAVX512(x, i).Add(b), zero, six)
			storeAVX512(y, j, v)
			s = s.Add(v)
			i, j = i+cols, j+ldy
		}
		if sum != nil {
			storeAVX512(sum, c, s.Add(loadAVX512(sum, c)))
		}
	}
}

//go:noinline
func biasHardSwishAVX512(sum, y *float32, ldy int, x, bias *float32, rows, cols, c, whole int) {
	three, zero, six, sixth := hardConstantsAVX512()
	for ; c < whole; c += lanesAVX512 {
		b := loadAVX512(bias, c)
		var s archsimd.Float32x16
		for n, i, j := rows, c, c; n > 0; n-- {
			z := loadAVX512(x, i).Add(b)
			v := z.Mul(hardSigmoidAVX512(z, three, zero, six, sixth))
			storeAVX512(y, j, v)
			s = s.Add(v)
			i, j = i+cols, j+ldy
		}
		if sum != nil {
			storeAVX512(sum, c, s.Add(loadAVX512(sum, c)))
		}
	}
}

//go:noinline
func biasHardSigmoidAVX512(sum, y *float32, ldy int, x, bias *float32, rows, cols, c, whole int) {
	three, zero, six, sixth := hardConstantsAVX512()
	for ; c < whole; c += lanesAVX512 {
		b := loadAVX512(bias, c)
		var s archsimd.Float32x16
		for n, i, j := rows, c, c; n > 0; n-- {
			v := hardSigmoidAVX512(loadAVX512(x, i).Add(b), three, zero, six, sixth)
			storeAVX512(y, j, v)
			s = s.Add(v)
			i, j = i+cols, j+ldy
		}
		if sum != nil {
			storeAVX512(sum, c, s.Add(loadAVX512(sum, c)))
		}
	}
}

//go:noinline
func biasAVX512(sum, y *float32, ldy int, x, bias *float32, rows, cols, c, whole int) {
	for ; c < whole; c += lanesAVX512 {
		b := loadAVX512(bias, c)
		var s archsimd.Float32x16
		for n, i, j := rows, c, c; n > 0; n-- {
			v := loadAVX512(x, i).Add(b)
			storeAVX512(y, j, v)
			s = s.Add(v)
			i, j = i+cols, j+ldy
		}
		if sum != nil {
			storeAVX512(sum, c, s.Add(loadAVX512(sum, c)))
		}
	}
}
