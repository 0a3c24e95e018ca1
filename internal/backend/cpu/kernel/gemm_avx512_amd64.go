//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// tile3x3AVX512 is tileGeneric for 3 rows and 3 vectors of columns. The form of
// the loop matters: with one basic block and the intrinsics called in it, the
// nine accumulators stay in registers.
func tile3x3AVX512(k int, a *[tileRows]unsafe.Pointer, acs int, b unsafe.Pointer, c unsafe.Pointer, ldc int, add bool) {
	a0, a1, a2 := a[0], a[1], a[2]
	step, ldc := uintptr(acs)*4, ldc*4
	var c00, c01, c02, c10, c11, c12, c20, c21, c22 archsimd.Float32x16
	for k > 0 {
		b0 := archsimd.LoadFloat32x16((*[16]float32)(b))
		b1 := archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(b, 64)))
		b2 := archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(b, 128)))
		x := archsimd.LoadFloat32x4((*[4]float32)(a0)).Broadcast1To16()
		c00 = x.MulAdd(b0, c00)
		c01 = x.MulAdd(b1, c01)
		c02 = x.MulAdd(b2, c02)
		x = archsimd.LoadFloat32x4((*[4]float32)(a1)).Broadcast1To16()
		c10 = x.MulAdd(b0, c10)
		c11 = x.MulAdd(b1, c11)
		c12 = x.MulAdd(b2, c12)
		x = archsimd.LoadFloat32x4((*[4]float32)(a2)).Broadcast1To16()
		c20 = x.MulAdd(b0, c20)
		c21 = x.MulAdd(b1, c21)
		c22 = x.MulAdd(b2, c22)
		a0 = unsafe.Add(a0, step)
		a1 = unsafe.Add(a1, step)
		a2 = unsafe.Add(a2, step)
		b = unsafe.Add(b, 192)
		k--
		if k == 0 {
			break
		}
	}
	storeRow3AVX512(c, add, c00, c01, c02)
	storeRow3AVX512(unsafe.Add(c, ldc), add, c10, c11, c12)
	storeRow3AVX512(unsafe.Add(c, 2*ldc), add, c20, c21, c22)
}

func storeRow3AVX512(c unsafe.Pointer, add bool, v0, v1, v2 archsimd.Float32x16) {
	p0, p1, p2 := (*[16]float32)(c), (*[16]float32)(unsafe.Add(c, 64)), (*[16]float32)(unsafe.Add(c, 128))
	if add {
		v0 = v0.Add(archsimd.LoadFloat32x16(p0))
		v1 = v1.Add(archsimd.LoadFloat32x16(p1))
		v2 = v2.Add(archsimd.LoadFloat32x16(p2))
	}
	v0.Store(p0)
	v1.Store(p1)
	v2.Store(p2)
}

// tile4x2AVX512 is tileGeneric for 4 rows and 2 vectors of columns.
func tile4x2AVX512(k int, a *[tileRows]unsafe.Pointer, acs int, b unsafe.Pointer, c unsafe.Pointer, ldc int, add bool) {
	a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
	step, ldc := uintptr(acs)*4, ldc*4
	var c00, c01, c10, c11, c20, c21, c30, c31 archsimd.Float32x16
	for k > 0 {
		b0 := archsimd.LoadFloat32x16((*[16]float32)(b))
		b1 := archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(b, 64)))
		x := archsimd.LoadFloat32x4((*[4]float32)(a0)).Broadcast1To16()
		c00 = x.MulAdd(b0, c00)
		c01 = x.MulAdd(b1, c01)
		x = archsimd.LoadFloat32x4((*[4]float32)(a1)).Broadcast1To16()
		c10 = x.MulAdd(b0, c10)
		c11 = x.MulAdd(b1, c11)
		x = archsimd.LoadFloat32x4((*[4]float32)(a2)).Broadcast1To16()
		c20 = x.MulAdd(b0, c20)
		c21 = x.MulAdd(b1, c21)
		x = archsimd.LoadFloat32x4((*[4]float32)(a3)).Broadcast1To16()
		c30 = x.MulAdd(b0, c30)
		c31 = x.MulAdd(b1, c31)
		a0 = unsafe.Add(a0, step)
		a1 = unsafe.Add(a1, step)
		a2 = unsafe.Add(a2, step)
		a3 = unsafe.Add(a3, step)
		b = unsafe.Add(b, 128)
		k--
		if k == 0 {
			break
		}
	}
	storeRow2AVX512(c, add, c00, c01)
	storeRow2AVX512(unsafe.Add(c, ldc), add, c10, c11)
	storeRow2AVX512(unsafe.Add(c, 2*ldc), add, c20, c21)
	storeRow2AVX512(unsafe.Add(c, 3*ldc), add, c30, c31)
}

func storeRow2AVX512(c unsafe.Pointer, add bool, v0, v1 archsimd.Float32x16) {
	p0, p1 := (*[16]float32)(c), (*[16]float32)(unsafe.Add(c, 64))
	if add {
		v0 = v0.Add(archsimd.LoadFloat32x16(p0))
		v1 = v1.Add(archsimd.LoadFloat32x16(p1))
	}
	v0.Store(p0)
	v1.Store(p1)
}

// tile4x1AVX512 is tileGeneric for 4 rows and 1 vector of columns.
func tile4x1AVX512(k int, a *[tileRows]unsafe.Pointer, acs int, b unsafe.Pointer, c unsafe.Pointer, ldc int, add bool) {
	a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
	step, ldc := uintptr(acs)*4, ldc*4
	var c0, c1, c2, c3 archsimd.Float32x16
	for k > 0 {
		b0 := archsimd.LoadFloat32x16((*[16]float32)(b))
		c0 = archsimd.LoadFloat32x4((*[4]float32)(a0)).Broadcast1To16().MulAdd(b0, c0)
		c1 = archsimd.LoadFloat32x4((*[4]float32)(a1)).Broadcast1To16().MulAdd(b0, c1)
		c2 = archsimd.LoadFloat32x4((*[4]float32)(a2)).Broadcast1To16().MulAdd(b0, c2)
		c3 = archsimd.LoadFloat32x4((*[4]float32)(a3)).Broadcast1To16().MulAdd(b0, c3)
		a0 = unsafe.Add(a0, step)
		a1 = unsafe.Add(a1, step)
		a2 = unsafe.Add(a2, step)
		a3 = unsafe.Add(a3, step)
		b = unsafe.Add(b, 64)
		k--
		if k == 0 {
			break
		}
	}
	storeRow1AVX512(c, add, c0)
	storeRow1AVX512(unsafe.Add(c, ldc), add, c1)
	storeRow1AVX512(unsafe.Add(c, 2*ldc), add, c2)
	storeRow1AVX512(unsafe.Add(c, 3*ldc), add, c3)
}

func storeRow1AVX512(c unsafe.Pointer, add bool, v archsimd.Float32x16) {
	p := (*[16]float32)(c)
	if add {
		v = v.Add(archsimd.LoadFloat32x16(p))
	}
	v.Store(p)
}
