//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// The AVX2 form of exp_avx512_amd64.go.

func expConstantsAVX2() (minusLog2e, one, c1, c2, c3, c4, c5 archsimd.Float32x8) {
	k := unsafe.Pointer(&expVectors)
	return archsimd.LoadFloat32x8((*[8]float32)(k)), archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 64))),
		archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 128))), archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 192))),
		archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 256))), archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 320))),
		archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 384)))
}

// expMinusAVX2 clamps the exponent to where its power of two is a normal number:
// above as long as it is no integer, which has no room for more. A NaN in z is one
// in r and in the result.
func expMinusAVX2(z, minusLog2e, one, c1, c2, c3, c4, c5 archsimd.Float32x8) archsimd.Float32x8 {
	t := z.Mul(minusLog2e)
	n, most := t.Floor(), archsimd.BroadcastFloat32x8(127)
	r := t.Sub(n)
	p := r.MulAdd(c5, c4)
	p = p.MulAdd(r, c3)
	p = p.MulAdd(r, c2)
	p = p.MulAdd(r, c1)
	p = p.MulAdd(r, one)
	return p.Mul(pow2AVX2(n.Min(most)))
}

// pow2AVX2 is 2^n of an integer n, at least 2^-126.
func pow2AVX2(n archsimd.Float32x8) archsimd.Float32x8 {
	least, bias := archsimd.BroadcastInt32x8(-126), archsimd.BroadcastInt32x8(127)
	return n.ConvertToInt32().Max(least).Add(bias).ShiftAllLeft(23).AsFloat32x8()
}
