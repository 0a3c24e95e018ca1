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
//	n, h := splitAVX512(z, log2e, minusLog2e)
//	s := one.Div(onePlusAVX512(h, n, one, c1, c2, c3, c4, c5, c6))

// sigmoidConstantsAVX512 are the constants of sigmoid.
func sigmoidConstantsAVX512() (log2e, minusLog2e, one, c1, c2, c3, c4, c5, c6 archsimd.Float32x16) {
	k := unsafe.Pointer(&sigmoidVectors)
	return archsimd.LoadFloat32x16((*[16]float32)(k)), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 64))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 128))), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 192))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 256))), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 320))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 384))), archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 448))),
		archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(k, 512)))
}

// splitAVX512 returns the integer n and h, at most 1/2 in size, such that
// e^-z = 2^(n-h).
func splitAVX512(z, log2e, minusLog2e archsimd.Float32x16) (n, h archsimd.Float32x16) {
	n = z.Mul(minusLog2e).RoundToEvenScaled(0)
	return n, z.MulAdd(log2e, n)
}

// onePlusAVX512 is 1 + 2^(n-h).
func onePlusAVX512(h, n, one, c1, c2, c3, c4, c5, c6 archsimd.Float32x16) archsimd.Float32x16 {
	return pow2AVX512(h, n, one, c1, c2, c3, c4, c5, c6).Add(one)
}

// pow2AVX512 is 2^(n-h).
func pow2AVX512(h, n, one, c1, c2, c3, c4, c5, c6 archsimd.Float32x16) archsimd.Float32x16 {
	p := h.MulAdd(c6, c5)
	p = p.MulAdd(h, c4)
	p = p.MulAdd(h, c3)
	p = p.MulAdd(h, c2)
	p = p.MulAdd(h, c1)
	p = p.MulAdd(h, one)
	return p.Scale(n)
}
