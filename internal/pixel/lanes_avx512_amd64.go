//go:build goexperiment.simd

package pixel

import (
	"simd/archsimd"
	"unsafe"
)

// blocksAVX512 is how many blocks of an IDCT a vector holds a row of.
const blocksAVX512 = 2

// rowsAVX512 loads row r of the blocks at b and next.
func rowsAVX512(b, next unsafe.Pointer, r int) archsimd.Int32x16 {
	lo := archsimd.LoadInt16x8((*[8]int16)(unsafe.Add(b, 16*r)))
	hi := archsimd.LoadInt16x8((*[8]int16)(unsafe.Add(next, 16*r)))
	var both archsimd.Int16x16
	return both.SetLo(lo).SetHi(hi).ExtendToInt32()
}

// lowAVX512 interleaves the lower pairs of each four lanes, highAVX512 the upper.
func lowAVX512(x, y archsimd.Int32x16) archsimd.Int32x16 {
	return x.AsInt64x8().InterleaveLoGrouped(y.AsInt64x8()).AsInt32x16()
}

func highAVX512(x, y archsimd.Int32x16) archsimd.Int32x16 {
	return x.AsInt64x8().InterleaveHiGrouped(y.AsInt64x8()).AsInt32x16()
}

var (
	evenFours = [16]uint32{0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27}
	oddFours  = [16]uint32{4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31}
)

// evenAVX512 takes from each eight lanes of x and y the first four, oddAVX512 the
// last.
func evenAVX512(x, y archsimd.Int32x16) archsimd.Int32x16 {
	return x.ConcatPermute(y, archsimd.LoadUint32x16(&evenFours))
}

func oddAVX512(x, y archsimd.Int32x16) archsimd.Int32x16 {
	return x.ConcatPermute(y, archsimd.LoadUint32x16(&oddFours))
}

// columnOrder is where the pixels of rows 0 to 3, and of 4 to 7, lie among the
// bytes that storeColumnsAVX512 makes of eight columns.
var columnOrder = func() (order [2][64]uint8) {
	for half := range order {
		for i := range order[half] {
			row, x := 4*half+i/16, i%16
			lane, column := x/8*8+row, x%8
			order[half][i] = uint8(column/2*32 + lane/4*8 + column%2*4 + lane%4)
		}
	}
	return order
}()

// storeColumnsAVX512 saturates the columns of two blocks side by side to bytes
// about 128, and stores their rows.
func storeColumnsAVX512(dst []uint8, stride int, v *[8]archsimd.Int32x16) {
	q0 := v[0].SaturateToInt16ConcatGrouped(v[1]).SaturateToInt8()
	q1 := v[2].SaturateToInt16ConcatGrouped(v[3]).SaturateToInt8()
	q2 := v[4].SaturateToInt16ConcatGrouped(v[5]).SaturateToInt8()
	q3 := v[6].SaturateToInt16ConcatGrouped(v[7]).SaturateToInt8()
	var x, y archsimd.Int8x64
	x, y = x.SetLo(q0).SetHi(q1), y.SetLo(q2).SetHi(q3)
	bias := archsimd.BroadcastUint8x64(128)
	_ = dst[7*stride+15]
	p := unsafe.Pointer(unsafe.SliceData(dst))
	for half := range 2 {
		rows := x.ConcatPermute(y, archsimd.LoadUint8x64(&columnOrder[half])).AsUint8x64().Add(bias)
		lo, hi := rows.GetLo(), rows.GetHi()
		at := 4 * half * stride
		lo.GetLo().Store((*[16]uint8)(unsafe.Add(p, at)))
		lo.GetHi().Store((*[16]uint8)(unsafe.Add(p, at+stride)))
		hi.GetLo().Store((*[16]uint8)(unsafe.Add(p, at+2*stride)))
		hi.GetHi().Store((*[16]uint8)(unsafe.Add(p, at+3*stride)))
	}
}
