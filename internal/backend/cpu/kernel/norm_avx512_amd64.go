//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// relu6AVX512 is min(max(z, 0), 6), and NaN where z is.
func relu6AVX512(z, zero, six archsimd.Float32x16) archsimd.Float32x16 {
	return six.Merge(zero.Merge(z, z.Less(zero)), z.Greater(six))
}

// reluAVX512 is max(z, 0), and NaN where z is.
func reluAVX512(z, zero archsimd.Float32x16) archsimd.Float32x16 {
	return zero.Merge(z, z.Less(zero))
}

func normActAVX512(y, x []float32, n *Norm, act Act, cols, c int) {
	whole := c + (cols-c)/lanesAVX512*lanesAVX512
	switch {
	case act == Swish || act == Sigmoid:
		curvedAVX512(y, x, n, act, cols, c, whole)
	case isHardAVX512(act):
		hardNormActAVX512(y, x, n, act, cols, c, whole)
	default:
		straightAVX512(y, x, n, act, cols, c, whole)
	}
	if whole < cols {
		normActAVX2(y, x, n, act, cols, whole)
	}
}

// curvedAVX512 is normActAVX512 of the activations with a sigmoid.
func curvedAVX512(y, x []float32, n *Norm, act Act, cols, c, whole int) {
	px, py, ps, pb := unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift)
	minusLog2e, one, c1, c2, c3, c4, c5 := expConstantsAVX512()
	for row := 0; row < len(x); row += cols {
		if act == Swish {
			for i := c; i < whole; i += lanesAVX512 {
				z := loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i))
				storeAVX512(py, row+i, z.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one)))
			}
			continue
		}
		for i := c; i < whole; i += lanesAVX512 {
			z := loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i))
			storeAVX512(py, row+i, one.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one)))
		}
	}
}

// straightAVX512 is normActAVX512 of the others.
func straightAVX512(y, x []float32, n *Norm, act Act, cols, c, whole int) {
	px, py, ps, pb := unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift)
	zero, six := archsimd.BroadcastFloat32x16(0), archsimd.BroadcastFloat32x16(6)
	for row := 0; row < len(x); row += cols {
		for i := c; i < whole; i += lanesAVX512 {
			z := loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i))
			switch act {
			case ReLU:
				z = reluAVX512(z, zero)
			case ReLU6:
				z = relu6AVX512(z, zero, six)
			}
			storeAVX512(py, row+i, z)
		}
	}
}

func normActSumAVX512(sum, x []float32, n *Norm, act Act, cols, c int) {
	whole := c + (cols-c)/lanesAVX512*lanesAVX512
	if isHardAVX512(act) {
		hardNormActSumAVX512(sum, x, n, act, cols, c, whole)
		if whole < cols {
			normActSumAVX2(sum, x, n, act, cols, whole)
		}
		return
	}
	px, py, ps, pb := unsafe.SliceData(x), unsafe.SliceData(sum), unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift)
	minusLog2e, one, c1, c2, c3, c4, c5 := expConstantsAVX512()
	zero, six := archsimd.BroadcastFloat32x16(0), archsimd.BroadcastFloat32x16(6)
	for row := 0; row < len(x); row += cols {
		if act == Swish {
			for i := c; i < whole; i += lanesAVX512 {
				z := loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i))
				storeAVX512(py, i, loadAVX512(py, i).Add(z.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one))))
			}
			continue
		}
		for i := c; i < whole; i += lanesAVX512 {
			z := loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i))
			switch act {
			case ReLU:
				z = reluAVX512(z, zero)
			case ReLU6:
				z = relu6AVX512(z, zero, six)
			case Sigmoid:
				z = one.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one))
			}
			storeAVX512(py, i, loadAVX512(py, i).Add(z))
		}
	}
	if whole < cols {
		normActSumAVX2(sum, x, n, act, cols, whole)
	}
}

// slopeAVX512 is the derivative of the activations that need no sigmoid.
func slopeAVX512(act Act, z archsimd.Float32x16) archsimd.Float32x16 {
	one := archsimd.BroadcastFloat32x16(1)
	switch act {
	case ReLU:
		return one.Masked(z.Greater(archsimd.BroadcastFloat32x16(0)))
	case ReLU6:
		return one.Masked(z.Greater(archsimd.BroadcastFloat32x16(0)).And(z.Less(archsimd.BroadcastFloat32x16(6))))
	}
	return one
}

// curveAVX512 is the derivative of swish at z, or of the sigmoid, where s is
// sigmoid(z).
func curveAVX512(swish bool, z, s, one archsimd.Float32x16) archsimd.Float32x16 {
	rest := one.Sub(s)
	if swish {
		return s.Mul(z.MulAdd(rest, one))
	}
	return s.Mul(rest)
}

func normActGradSumsAVX512(db, dg, x, dy []float32, n *Norm, act Act, cols, c int) {
	whole := c + (cols-c)/lanesAVX512*lanesAVX512
	if isHardAVX512(act) {
		hardNormActGradSumsAVX512(db, dg, x, dy, n, act, cols, c, whole)
		if whole < cols {
			normActGradSumsAVX2(db, dg, x, dy, n, act, cols, whole)
		}
		return
	}
	px, py, pb, pg := unsafe.SliceData(x), unsafe.SliceData(dy), unsafe.SliceData(db), unsafe.SliceData(dg)
	ps, pt, pm := unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift), unsafe.SliceData(n.Mean)
	minusLog2e, one, c1, c2, c3, c4, c5 := expConstantsAVX512()
	swish := act == Swish
	for row := 0; row < len(x); row += cols {
		for i := c; i < whole; i += lanesAVX512 {
			v, d := loadAVX512(px, row+i), loadAVX512(py, row+i)
			if act != Identity {
				z := v.MulAdd(loadAVX512(ps, i), loadAVX512(pt, i))
				if swish || act == Sigmoid {
					d = d.Mul(curveAVX512(swish, z, one.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one)), one))
				} else {
					d = d.Mul(slopeAVX512(act, z))
				}
			}
			storeAVX512(pb, i, loadAVX512(pb, i).Add(d))
			storeAVX512(pg, i, d.MulAdd(v.Sub(loadAVX512(pm, i)), loadAVX512(pg, i)))
		}
	}
	if whole < cols {
		normActGradSumsAVX2(db, dg, x, dy, n, act, cols, whole)
	}
}

func normActGradInputAVX512(dx, x, dy []float32, n *Norm, k1, k0 []float32, act Act, cols, c int) {
	whole := c + (cols-c)/lanesAVX512*lanesAVX512
	if isHardAVX512(act) {
		hardNormActGradInputAVX512(dx, x, dy, n, k1, k0, act, cols, c, whole)
		if whole < cols {
			normActGradInputAVX2(dx, x, dy, n, k1, k0, act, cols, whole)
		}
		return
	}
	px, py, pd := unsafe.SliceData(x), unsafe.SliceData(dy), unsafe.SliceData(dx)
	ps, pb, pm, p1, p0 := unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift), unsafe.SliceData(n.Mean), unsafe.SliceData(k1), unsafe.SliceData(k0)
	minusLog2e, one, c1, c2, c3, c4, c5 := expConstantsAVX512()
	swish := act == Swish
	for row := 0; row < len(x); row += cols {
		if swish || act == Sigmoid {
			for i := c; i < whole; i += lanesAVX512 {
				v, scale := loadAVX512(px, row+i), loadAVX512(ps, i)
				z := v.MulAdd(scale, loadAVX512(pb, i))
				d := curveAVX512(swish, z, one.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one)), one).Mul(loadAVX512(py, row+i))
				storeAVX512(pd, row+i, d.MulAdd(scale, loadAVX512(p1, i).MulAdd(v.Sub(loadAVX512(pm, i)), loadAVX512(p0, i))))
			}
			continue
		}
		for i := c; i < whole; i += lanesAVX512 {
			v, scale := loadAVX512(px, row+i), loadAVX512(ps, i)
			d := slopeAVX512(act, v.MulAdd(scale, loadAVX512(pb, i))).Mul(loadAVX512(py, row+i))
			storeAVX512(pd, row+i, d.MulAdd(scale, loadAVX512(p1, i).MulAdd(v.Sub(loadAVX512(pm, i)), loadAVX512(p0, i))))
		}
	}
	if whole < cols {
		normActGradInputAVX2(dx, x, dy, n, k1, k0, act, cols, whole)
	}
}

func normActSlopeAVX512(y, slope, x []float32, n *Norm, act Act, cols, c int) {
	whole := c + (cols-c)/lanesAVX512*lanesAVX512
	if isHardAVX512(act) {
		hardNormActSlopeAVX512(y, slope, x, n, act, cols, c, whole)
		if whole < cols {
			normActSlopeAVX2(y, slope, x, n, act, cols, whole)
		}
		return
	}
	px, py, pd, ps, pb := unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(slope), unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift)
	minusLog2e, one, c1, c2, c3, c4, c5 := expConstantsAVX512()
	zero, six := archsimd.BroadcastFloat32x16(0), archsimd.BroadcastFloat32x16(6)
	for row := 0; row < len(x); row += cols {
		if act == Swish {
			for i := c; i < whole; i += lanesAVX512 {
				z := loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i))
				s := one.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one))
				z = z.Mul(s)
				storeAVX512(py, row+i, z)
				storeAVX512(pd, row+i, z.MulAdd(one.Sub(s), s))
			}
			continue
		}
		for i := c; i < whole; i += lanesAVX512 {
			z := loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i))
			slope := one
			switch act {
			case ReLU:
				slope = slopeAVX512(act, z)
				z = reluAVX512(z, zero)
			case ReLU6:
				slope = slopeAVX512(act, z)
				z = relu6AVX512(z, zero, six)
			case Sigmoid:
				z = one.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one))
				slope = z.Mul(one.Sub(z))
			}
			storeAVX512(py, row+i, z)
			storeAVX512(pd, row+i, slope)
		}
	}
	if whole < cols {
		normActSlopeAVX2(y, slope, x, n, act, cols, whole)
	}
}

func slopeSumsAVX512(db, dg, x, dy, slope, mean []float32, cols, c int) {
	rows := len(x) / cols
	px, py, ps := unsafe.SliceData(x), unsafe.SliceData(dy), unsafe.SliceData(slope)
	pb, pg, pm := unsafe.SliceData(db), unsafe.SliceData(dg), unsafe.SliceData(mean)
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		m := loadAVX512(pm, c)
		var sb, sg archsimd.Float32x16
		for r, i := 0, c; r < rows; r, i = r+1, i+cols {
			d := loadAVX512(ps, i).Mul(loadAVX512(py, i))
			sb = sb.Add(d)
			sg = d.MulAdd(loadAVX512(px, i).Sub(m), sg)
		}
		storeAVX512(pb, c, loadAVX512(pb, c).Add(sb))
		storeAVX512(pg, c, loadAVX512(pg, c).Add(sg))
	}
	if c < cols {
		slopeSumsAVX2(db, dg, x, dy, slope, mean, cols, c)
	}
}

func gateGradAVX512(a, sums, x, da, slope, mean, gate []float32, cols, c int) {
	rows := len(x) / cols
	px, pd, pa, ps, pl := unsafe.SliceData(x), unsafe.SliceData(da), unsafe.SliceData(a), unsafe.SliceData(sums), unsafe.SliceData(slope)
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		m, g := loadAVX512(unsafe.SliceData(mean), c), loadAVX512(unsafe.SliceData(gate), c)
		var s0, s1, s2, s3, s4 archsimd.Float32x16
		for r, i := 0, c; r < rows; r, i = r+1, i+cols {
			y, dy, slope := loadAVX512(pa, i), loadAVX512(pd, i), loadAVX512(pl, i)
			v := loadAVX512(px, i).Sub(m)
			storeAVX512(pa, i, y.Mul(g))
			s0 = y.MulAdd(dy, s0)
			s2 = s2.Add(slope)
			s4 = v.MulAdd(slope, s4)
			d := dy.Mul(slope)
			s1 = s1.Add(d)
			s3 = v.MulAdd(d, s3)
		}
		storeAVX512(ps, c, loadAVX512(ps, c).Add(s0))
		storeAVX512(ps, cols+c, loadAVX512(ps, cols+c).Add(s1))
		storeAVX512(ps, 2*cols+c, loadAVX512(ps, 2*cols+c).Add(s2))
		storeAVX512(ps, 3*cols+c, loadAVX512(ps, 3*cols+c).Add(s3))
		storeAVX512(ps, 4*cols+c, loadAVX512(ps, 4*cols+c).Add(s4))
	}
	if c < cols {
		gateGradAVX2(a, sums, x, da, slope, mean, gate, cols, c)
	}
}

func expAVX512(y, x []float32, top float32, i int) {
	px, py := unsafe.SliceData(x), unsafe.SliceData(y)
	minusLog2e, one, c1, c2, c3, c4, c5 := expConstantsAVX512()
	t := archsimd.BroadcastFloat32x16(top)
	for ; i+lanesAVX512 <= len(x); i += lanesAVX512 {
		storeAVX512(py, i, expMinusAVX512(t.Sub(loadAVX512(px, i)), minusLog2e, one, c1, c2, c3, c4, c5))
	}
	expAVX2(y, x, top, i)
}
