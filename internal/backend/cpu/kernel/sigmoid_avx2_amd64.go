//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// These are sigmoid_avx512_amd64.go's, where no instruction scales by 2^n.

func sigmoidConstantsAVX2() (log2e, minusLog2e, one, c1, c2, c3, c4, c5, c6 archsimd.Float32x8) {
	k := unsafe.Pointer(&sigmoidVectors)
	return archsimd.LoadFloat32x8((*[8]float32)(k)), archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 64))),
		archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 128))), archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 192))),
		archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 256))), archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 320))),
		archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 384))), archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 448))),
		archsimd.LoadFloat32x8((*[8]float32)(unsafe.Add(k, 512)))
}

func splitAVX2(z, log2e, minusLog2e archsimd.Float32x8) (n, h archsimd.Float32x8) {
	n = z.Mul(minusLog2e).RoundToEven()
	return n, z.MulAdd(log2e, n)
}

// onePlusAVX2 is 1 + 2^(n-h).
func onePlusAVX2(h, n, one, c1, c2, c3, c4, c5, c6 archsimd.Float32x8) archsimd.Float32x8 {
	return pow2AVX2(h, n, one, c1, c2, c3, c4, c5, c6).Add(one)
}

// pow2AVX2 is 2^(n-h). A NaN in z is one in h and in the result.
func pow2AVX2(h, n, one, c1, c2, c3, c4, c5, c6 archsimd.Float32x8) archsimd.Float32x8 {
	p := h.MulAdd(c6, c5)
	p = p.MulAdd(h, c4)
	p = p.MulAdd(h, c3)
	p = p.MulAdd(h, c2)
	p = p.MulAdd(h, c1)
	p = p.MulAdd(h, one)
	return p.Mul(wholePow2AVX2(n))
}

// wholePow2AVX2 is 2^n, with n clamped to where that is a normal number.
func wholePow2AVX2(n archsimd.Float32x8) archsimd.Float32x8 {
	lo, hi, bias := archsimd.BroadcastInt32x8(-126), archsimd.BroadcastInt32x8(127), archsimd.BroadcastInt32x8(127)
	return n.ConvertToInt32().Max(lo).Min(hi).Add(bias).ShiftAllLeft(23).AsFloat32x8()
}
