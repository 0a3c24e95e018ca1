//go:build goexperiment.simd

package kernel

import "simd/archsimd"

// peakAVX512 is peakGeneric with fused multiply-adds on vectors. Twelve
// sums and the two factors are what stays in the compiler's registers, and hide
// the latency of two units.
func peakAVX512(c []float32, k int) (flops int) {
	const lanes = 16
	const sums, unrolled = 12, 4
	flops = 2 * lanes * sums * unrolled * k
	x := archsimd.LoadFloat32x4((*[4]float32)(c)).Broadcast1To16()
	y := archsimd.LoadFloat32x4((*[4]float32)(c[1:])).Broadcast1To16()
	c0 := archsimd.LoadFloat32x16((*[16]float32)(c[2:]))
	c1 := archsimd.LoadFloat32x16((*[16]float32)(c[3:]))
	c2 := archsimd.LoadFloat32x16((*[16]float32)(c[4:]))
	c3 := archsimd.LoadFloat32x16((*[16]float32)(c[5:]))
	c4 := archsimd.LoadFloat32x16((*[16]float32)(c[6:]))
	c5 := archsimd.LoadFloat32x16((*[16]float32)(c[7:]))
	c6 := archsimd.LoadFloat32x16((*[16]float32)(c[8:]))
	c7 := archsimd.LoadFloat32x16((*[16]float32)(c[9:]))
	c8 := archsimd.LoadFloat32x16((*[16]float32)(c[10:]))
	c9 := archsimd.LoadFloat32x16((*[16]float32)(c[11:]))
	c10 := archsimd.LoadFloat32x16((*[16]float32)(c[12:]))
	c11 := archsimd.LoadFloat32x16((*[16]float32)(c[13:]))
	for k > 0 {
		c0 = x.MulAdd(y, c0)
		c1 = x.MulAdd(y, c1)
		c2 = x.MulAdd(y, c2)
		c3 = x.MulAdd(y, c3)
		c4 = x.MulAdd(y, c4)
		c5 = x.MulAdd(y, c5)
		c6 = x.MulAdd(y, c6)
		c7 = x.MulAdd(y, c7)
		c8 = x.MulAdd(y, c8)
		c9 = x.MulAdd(y, c9)
		c10 = x.MulAdd(y, c10)
		c11 = x.MulAdd(y, c11)
		c0 = x.MulAdd(y, c0)
		c1 = x.MulAdd(y, c1)
		c2 = x.MulAdd(y, c2)
		c3 = x.MulAdd(y, c3)
		c4 = x.MulAdd(y, c4)
		c5 = x.MulAdd(y, c5)
		c6 = x.MulAdd(y, c6)
		c7 = x.MulAdd(y, c7)
		c8 = x.MulAdd(y, c8)
		c9 = x.MulAdd(y, c9)
		c10 = x.MulAdd(y, c10)
		c11 = x.MulAdd(y, c11)
		c0 = x.MulAdd(y, c0)
		c1 = x.MulAdd(y, c1)
		c2 = x.MulAdd(y, c2)
		c3 = x.MulAdd(y, c3)
		c4 = x.MulAdd(y, c4)
		c5 = x.MulAdd(y, c5)
		c6 = x.MulAdd(y, c6)
		c7 = x.MulAdd(y, c7)
		c8 = x.MulAdd(y, c8)
		c9 = x.MulAdd(y, c9)
		c10 = x.MulAdd(y, c10)
		c11 = x.MulAdd(y, c11)
		c0 = x.MulAdd(y, c0)
		c1 = x.MulAdd(y, c1)
		c2 = x.MulAdd(y, c2)
		c3 = x.MulAdd(y, c3)
		c4 = x.MulAdd(y, c4)
		c5 = x.MulAdd(y, c5)
		c6 = x.MulAdd(y, c6)
		c7 = x.MulAdd(y, c7)
		c8 = x.MulAdd(y, c8)
		c9 = x.MulAdd(y, c9)
		c10 = x.MulAdd(y, c10)
		c11 = x.MulAdd(y, c11)
		k--
		if k == 0 {
			break
		}
	}
	c0.Add(c1).Add(c2).Add(c3).Add(c4).Add(c5).Add(c6).Add(c7).Add(c8).Add(c9).Add(c10).Add(c11).Store((*[16]float32)(c))
	return flops
}
