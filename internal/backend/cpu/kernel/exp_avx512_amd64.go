//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// The sigmoid of the epilogues takes fewer registers and instructions than
// sigmoid, so that all of it, and a bias and a sum, stay in registers: with
// t = -z*log2(e), e^-z = 2^floor(t) * 2^r, where 0 <= r < 1, and 2^r is a
// polynomial. It is as near, 5e-7 for |z| < 8 and 3e-6 for |z| < 50.
//
//	s := one.Div(onePlusExpAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5))

// expConstantsAVX512 are its constants.
func expConstantsAVX512() (minusLog2e, one, c1, c2, c3, c4, c5 archsimd.Float32x16) {
	k := unsafe.Pointer(&expVectors)
	return archsimd.LoadFloat32x16((*[16]float32)(k)), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 64))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 128))), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 192))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 256))), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 320))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 384)))
}

// onePlusExpAVX512 is 1 + e^-z.
func onePlusExpAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5 archsimd.Float32x16) archsimd.Float32x16 {
	t := z.Mul(minusLog2e)
	r := t.FloorScaledResidue(0)
	p := r.MulAdd(c5, c4)
	p = p.MulAdd(r, c3)
	p = p.MulAdd(r, c2)
	p = p.MulAdd(r, c1)
	p = p.MulAdd(r, one)
	return p.Scale(t).Add(one)
}
