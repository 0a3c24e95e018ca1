//go:build goexperiment.simd

package pixel

import (
	"simd/archsimd"
	"unsafe"
)

// idctAVX512 takes two blocks at a time: the low half of each vector is a row of
// one, the high half the same row of the other; after the first pass, which goes
// down the columns, a column. A last block without a neighbour has zeros for one.
func idctAVX512(dst []uint8, stride int, blocks []int16) {
	k0_298, k0_390 := archsimd.BroadcastInt32x16(fix0_298), archsimd.BroadcastInt32x16(fix0_390)
	k0_541, k0_765 := archsimd.BroadcastInt32x16(fix0_541), archsimd.BroadcastInt32x16(fix0_765)
	k0_899, k1_175 := archsimd.BroadcastInt32x16(fix0_899), archsimd.BroadcastInt32x16(fix1_175)
	k1_501, k1_847 := archsimd.BroadcastInt32x16(fix1_501), archsimd.BroadcastInt32x16(fix1_847)
	k1_961, k2_053 := archsimd.BroadcastInt32x16(fix1_961), archsimd.BroadcastInt32x16(fix2_053)
	k2_562, k3_072 := archsimd.BroadcastInt32x16(fix2_562), archsimd.BroadcastInt32x16(fix3_072)
	for x := 0; len(blocks) > 0; x += blocksAVX512 * 8 {
		var v [8]archsimd.Int32x16
		b := unsafe.Pointer(unsafe.SliceData(blocks))
		next := b
		if n := 64 * blocksAVX512; len(blocks) >= n {
			next = unsafe.Add(b, 128*(blocksAVX512-1))
			blocks = blocks[n:]
		} else {
			blocks = nil
		}
		v0, v1, v2, v3 := rowsAVX512(b, next, 0), rowsAVX512(b, next, 1), rowsAVX512(b, next, 2), rowsAVX512(b, next, 3)
		v4, v5, v6, v7 := rowsAVX512(b, next, 4), rowsAVX512(b, next, 5), rowsAVX512(b, next, 6), rowsAVX512(b, next, 7)
		shift := uint64(columnShift)
		for pass := 0; ; pass++ {
			z := v2.Add(v6).Mul(k0_541)
			even2, even3 := z.Sub(v6.Mul(k1_847)), z.Add(v2.Mul(k0_765))
			round := archsimd.BroadcastInt32x16(1 << (shift - 1))
			even0 := v0.Add(v4).ShiftAllLeft(dctBits).Add(round)
			even1 := v0.Sub(v4).ShiftAllLeft(dctBits).Add(round)
			a0, a3 := even0.Add(even3), even0.Sub(even3)
			a1, a2 := even1.Add(even2), even1.Sub(even2)

			s73, s51 := v7.Add(v3), v5.Add(v1)
			z5 := s73.Add(s51).Mul(k1_175)
			z3, z4 := z5.Sub(s73.Mul(k1_961)), z5.Sub(s51.Mul(k0_390))
			z1, z2 := v7.Add(v1).Mul(k0_899), v5.Add(v3).Mul(k2_562)
			b0 := v7.Mul(k0_298).Sub(z1).Add(z3)
			b1 := v5.Mul(k2_053).Sub(z2).Add(z4)
			b2 := v3.Mul(k3_072).Sub(z2).Add(z3)
			b3 := v1.Mul(k1_501).Sub(z1).Add(z4)

			v0, v7 = a0.Add(b3).ShiftAllRight(shift), a0.Sub(b3).ShiftAllRight(shift)
			v1, v6 = a1.Add(b2).ShiftAllRight(shift), a1.Sub(b2).ShiftAllRight(shift)
			v2, v5 = a2.Add(b1).ShiftAllRight(shift), a2.Sub(b1).ShiftAllRight(shift)
			v3, v4 = a3.Add(b0).ShiftAllRight(shift), a3.Sub(b0).ShiftAllRight(shift)
			if pass == 1 {
				break
			}
			shift = rowShift
			// Rows become columns: pairs of lanes, fours, and eights.
			t0, t1 := v0.InterleaveLoGrouped(v1), v0.InterleaveHiGrouped(v1)
			t2, t3 := v2.InterleaveLoGrouped(v3), v2.InterleaveHiGrouped(v3)
			t4, t5 := v4.InterleaveLoGrouped(v5), v4.InterleaveHiGrouped(v5)
			t6, t7 := v6.InterleaveLoGrouped(v7), v6.InterleaveHiGrouped(v7)
			u0, u1 := lowAVX512(t0, t2), highAVX512(t0, t2)
			u2, u3 := lowAVX512(t1, t3), highAVX512(t1, t3)
			u4, u5 := lowAVX512(t4, t6), highAVX512(t4, t6)
			u6, u7 := lowAVX512(t5, t7), highAVX512(t5, t7)
			v0, v4 = evenAVX512(u0, u4), oddAVX512(u0, u4)
			v1, v5 = evenAVX512(u1, u5), oddAVX512(u1, u5)
			v2, v6 = evenAVX512(u2, u6), oddAVX512(u2, u6)
			v3, v7 = evenAVX512(u3, u7), oddAVX512(u3, u7)
		}
		v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7] = v0, v1, v2, v3, v4, v5, v6, v7
		storeColumnsAVX512(dst[x:], stride, &v)
	}
}
