//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// The sigmoid is in parts small enough to be inlined, and its constants are
// variables of the loops: a call, or a constant that is read from memory each
// time, takes as long as the arithmetic.
//
//	s := one.Div(expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5).Add(one))

// expConstantsAVX512 are the constants of expMinus.
func expConstantsAVX512() (minusLog2e, one, c1, c2, c3, c4, c5 archsimd.Float32x16) {
	k := unsafe.Pointer(&expVectors)
	return archsimd.LoadFloat32x16((*[16]float32)(k)), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 64))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 128))), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 192))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 256))), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 320))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 384)))
}

// expMinusAVX512 is expMinus.
func expMinusAVX512(z, minusLog2e, one, c1, c2, c3, c4, c5 archsimd.Float32x16) archsimd.Float32x16 {
	t := z.Mul(minusLog2e)
	r := t.FloorScaledResidue(0)
	p := r.MulAdd(c5, c4)
	p = p.MulAdd(r, c3)
	p = p.MulAdd(r, c2)
	p = p.MulAdd(r, c1)
	p = p.MulAdd(r, one)
	return p.Scale(t)
}
