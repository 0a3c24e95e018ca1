//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// The kernels here are those of norm_avx512_amd64.go for hard-swish and hard-sigmoid.
// Their loops are their own: in the others' there are too few registers for the
// constants.

// hardConstantsAVX512 are the constants of a hard activation.
func hardConstantsAVX512() (three, zero, six, sixth archsimd.Float32x16) {
	k := unsafe.Pointer(&hardVectors)
	return archsimd.LoadFloat32x16((*[16]float32)(k)), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 128))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 192))), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 256)))
}

// hardSlopeConstantsAVX512 are the further ones of its derivative.
func hardSlopeConstantsAVX512() (minusThree, one, third, half archsimd.Float32x16) {
	k := unsafe.Pointer(&hardVectors)
	return archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 64))), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 320))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 384))), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 448)))
}

// hardSigmoidAVX512 is hardSigmoid.
func hardSigmoidAVX512(z, three, zero, six, sixth archsimd.Float32x16) archsimd.Float32x16 {
	return relu6AVX512(z.Add(three), zero, six).Mul(sixth)
}

// hardAVX512 is hard-swish or hard-sigmoid.
func hardAVX512(swish bool, z, three, zero, six, sixth archsimd.Float32x16) archsimd.Float32x16 {
	s := hardSigmoidAVX512(z, three, zero, six, sixth)
	if swish {
		return z.Mul(s)
	}
	return s
}

// hardSlopeAVX512 is the derivative.
func hardSlopeAVX512(swish bool, z, three, zero, sixth, minusThree, one, third, half archsimd.Float32x16) archsimd.Float32x16 {
	if swish {
		return zero.Merge(one.Merge(z.MulAdd(third, half), z.GreaterEqual(three)), z.LessEqual(minusThree))
	}
	return sixth.Masked(z.Greater(minusThree).And(z.Less(three)))
}

// isHardAVX512 says whether an activation's kernels are here.
func isHardAVX512(act Act) bool { return act == HardSwish || act == HardSigmoid }

func hardNormActAVX512(y, x []float32, n *Norm, act Act, cols, c, whole int) {
	px, py, ps, pb := unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift)
	three, zero, six, sixth := hardConstantsAVX512()
	swish := act == HardSwish
	for row := 0; row < len(x); row += cols {
		for i := c; i < whole; i += lanesAVX512 {
			z := loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i))
			storeAVX512(py, row+i, hardAVX512(swish, z, three, zero, six, sixth))
		}
	}
}

func hardNormActSumAVX512(sum, x []float32, n *Norm, act Act, cols, c, whole int) {
	px, py, ps, pb := unsafe.SliceData(x), unsafe.SliceData(sum), unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift)
	three, zero, six, sixth := hardConstantsAVX512()
	swish := act == HardSwish
	for row := 0; row < len(x); row += cols {
		for i := c; i < whole; i += lanesAVX512 {
			z := loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i))
			storeAVX512(py, i, loadAVX512(py, i).Add(hardAVX512(swish, z, three, zero, six, sixth)))
		}
	}
}

func hardNormActGradSumsAVX512(db, dg, x, dy []float32, n *Norm, act Act, cols, c, whole int) {
	px, py, pb, pg := unsafe.SliceData(x), unsafe.SliceData(dy), unsafe.SliceData(db), unsafe.SliceData(dg)
	ps, pt, pm := unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift), unsafe.SliceData(n.Mean)
	three, zero, _, sixth := hardConstantsAVX512()
	minusThree, one, third, half := hardSlopeConstantsAVX512()
	swish := act == HardSwish
	for row := 0; row < len(x); row += cols {
		for i := c; i < whole; i += lanesAVX512 {
			v := loadAVX512(px, row+i)
			z := v.MulAdd(loadAVX512(ps, i), loadAVX512(pt, i))
			d := loadAVX512(py, row+i).Mul(hardSlopeAVX512(swish, z, three, zero, sixth, minusThree, one, third, half))
			storeAVX512(pb, i, loadAVX512(pb, i).Add(d))
			storeAVX512(pg, i, d.MulAdd(v.Sub(loadAVX512(pm, i)), loadAVX512(pg, i)))
		}
	}
}

func hardNormActGradInputAVX512(dx, x, dy []float32, n *Norm, k1, k0 []float32, act Act, cols, c, whole int) {
	px, py, pd := unsafe.SliceData(x), unsafe.SliceData(dy), unsafe.SliceData(dx)
	ps, pb, pm, p1, p0 := unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift), unsafe.SliceData(n.Mean), unsafe.SliceData(k1), unsafe.SliceData(k0)
	three, zero, _, sixth := hardConstantsAVX512()
	minusThree, one, third, half := hardSlopeConstantsAVX512()
	swish := act == HardSwish
	for row := 0; row < len(x); row += cols {
		for i := c; i < whole; i += lanesAVX512 {
			v, scale := loadAVX512(px, row+i), loadAVX512(ps, i)
			z := v.MulAdd(scale, loadAVX512(pb, i))
			d := hardSlopeAVX512(swish, z, three, zero, sixth, minusThree, one, third, half).Mul(loadAVX512(py, row+i))
			storeAVX512(pd, row+i, d.MulAdd(scale, loadAVX512(p1, i).MulAdd(v.Sub(loadAVX512(pm, i)), loadAVX512(p0, i))))
		}
	}
}

func hardNormActSlopeAVX512(y, slope, x []float32, n *Norm, act Act, cols, c, whole int) {
	px, py, pd, ps, pb := unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(slope), unsafe.SliceData(n.Scale), unsafe.SliceData(n.Shift)
	three, zero, six, sixth := hardConstantsAVX512()
	minusThree, one, third, half := hardSlopeConstantsAVX512()
	swish := act == HardSwish
	for row := 0; row < len(x); row += cols {
		for i := c; i < whole; i += lanesAVX512 {
			z := loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i))
			storeAVX512(py, row+i, hardAVX512(swish, z, three, zero, six, sixth))
			storeAVX512(pd, row+i, hardSlopeAVX512(swish, z, three, zero, sixth, minusThree, one, third, half))
		}
	}
}
