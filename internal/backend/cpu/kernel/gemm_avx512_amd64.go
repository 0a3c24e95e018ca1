//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// The storeRow functions end a row of a tile: they store its vectors or, with
// add, add them to what is there. Of the last vector only the values that are
// among the cols columns count.

func storeRow3AVX512(c unsafe.Pointer, cols int, add bool, v0, v1, v2 archsimd.Float32x16) {
	storeAllAVX512(c, add, v0)
	storeAllAVX512(unsafe.Add(c, lanesAVX512*4), add, v1)
	storeFirstAVX512(unsafe.Add(c, 2*lanesAVX512*4), cols-2*lanesAVX512, add, v2)
}

func storeRow2AVX512(c unsafe.Pointer, cols int, add bool, v0, v1 archsimd.Float32x16) {
	storeAllAVX512(c, add, v0)
	storeFirstAVX512(unsafe.Add(c, lanesAVX512*4), cols-lanesAVX512, add, v1)
}

func storeRow1AVX512(c unsafe.Pointer, cols int, add bool, v archsimd.Float32x16) {
	storeFirstAVX512(c, cols, add, v)
}

func storeAllAVX512(c unsafe.Pointer, add bool, v archsimd.Float32x16) {
	p := (*[16]float32)(c)
	if add {
		v = v.Add(archsimd.LoadFloat32x16(p))
	}
	v.Store(p)
}

// storeFirstAVX512 stores the first n values of v.
func storeFirstAVX512(c unsafe.Pointer, n int, add bool, v archsimd.Float32x16) {
	if n >= lanesAVX512 {
		storeAllAVX512(c, add, v)
		return
	}
	p, mask := (*[16]float32)(c), firstAVX512(n)
	if add {
		v = v.Add(archsimd.LoadMaskedFloat32x16(p, mask))
	}
	v.StoreMasked(p, mask)
}

// firstAVX512 masks the first n lanes.
func firstAVX512(n int) archsimd.Mask32x16 {
	return archsimd.BroadcastInt32x16(int32(n)).Greater(archsimd.LoadInt32x16((*[16]int32)(unsafe.Pointer(&laneNumbers))))
}

// packRowsAVX512 copies whole vectors, and so columns after the n-th too.
func packRowsAVX512(dst, src []float32, rows, stride, cols, _ int) {
	pd, ps := unsafe.SliceData(dst), unsafe.SliceData(src)
	for r := range rows {
		for i := 0; i < cols; i += lanesAVX512 {
			storeAVX512(pd, r*cols+i, loadAVX512(ps, r*stride+i))
		}
	}
}
