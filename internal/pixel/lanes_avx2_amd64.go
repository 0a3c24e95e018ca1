//go:build goexperiment.simd

package pixel

import (
	"simd/archsimd"
	"unsafe"
)

// What the AVX2 inverse DCT has in place of the parts of lanes_avx512_amd64.go.

const blocksAVX2 = 1

func rowsAVX2(b, _ unsafe.Pointer, r int) archsimd.Int32x8 {
	return archsimd.LoadInt16x8((*[8]int16)(unsafe.Add(b, 16*r))).ExtendToInt32()
}

func lowAVX2(x, y archsimd.Int32x8) archsimd.Int32x8 {
	return x.AsInt64x4().InterleaveLoGrouped(y.AsInt64x4()).AsInt32x8()
}

func highAVX2(x, y archsimd.Int32x8) archsimd.Int32x8 {
	return x.AsInt64x4().InterleaveHiGrouped(y.AsInt64x4()).AsInt32x8()
}

func evenAVX2(x, y archsimd.Int32x8) archsimd.Int32x8 { return x.Select128FromPair(0, 2, y) }
func oddAVX2(x, y archsimd.Int32x8) archsimd.Int32x8  { return x.Select128FromPair(1, 3, y) }

// storeColumnsAVX2 puts four columns of bytes into each 32-bit lane, which is a
// row.
func storeColumnsAVX2(dst []uint8, stride int, v *[8]archsimd.Int32x8) {
	left, right := fourBytesAVX2(v[0], v[1], v[2], v[3]), fourBytesAVX2(v[4], v[5], v[6], v[7])
	var rows [2][4]int64
	left.InterleaveLoGrouped(right).AsInt64x4().Store(&rows[0]) // rows 0, 1, 4, 5
	left.InterleaveHiGrouped(right).AsInt64x4().Store(&rows[1]) // rows 2, 3, 6, 7
	_ = dst[7*stride+7]
	p := unsafe.Pointer(unsafe.SliceData(dst))
	for r := range 8 {
		*(*int64)(unsafe.Add(p, r*stride)) = rows[r/2%2][r/4*2+r%2]
	}
}

func fourBytesAVX2(a, b, c, d archsimd.Int32x8) archsimd.Int32x8 {
	x := byteAVX2(a).Or(byteAVX2(b).ShiftAllLeft(8))
	return x.Or(byteAVX2(c).ShiftAllLeft(16)).Or(byteAVX2(d).ShiftAllLeft(24))
}

func byteAVX2(v archsimd.Int32x8) archsimd.Int32x8 {
	v = v.Add(archsimd.BroadcastInt32x8(128))
	return v.Max(archsimd.BroadcastInt32x8(0)).Min(archsimd.BroadcastInt32x8(255))
}
