//go:build goexperiment.simd

package pixel

import (
	"simd/archsimd"
	"unsafe"
)

// Each loop here is its definition over as many pixels as fill a vector; what is
// left of a row goes to the definition.

// rgbOrder interleaves 16 red, 16 green and 16 blue bytes, which lie in this
// order in a vector.
var rgbOrder = func() (order [64]uint8) {
	for i := range 48 {
		order[i] = uint8(i%3*16 + i/3)
	}
	return order
}()

func yCbCrAVX512(dst, y, cb, cr []uint8) {
	cb, cr, dst = cb[:len(y)], cr[:len(y)], dst[:3*len(y)]
	py, pb, pr, pd := unsafe.SliceData(y), unsafe.SliceData(cb), unsafe.SliceData(cr), unsafe.SliceData(dst)
	half, center := archsimd.BroadcastInt32x16(1<<15), archsimd.BroadcastInt32x16(128)
	red, blue := archsimd.BroadcastInt32x16(crToRed), archsimd.BroadcastInt32x16(cbToBlue)
	green1, green2 := archsimd.BroadcastInt32x16(cbToGreen), archsimd.BroadcastInt32x16(crToGreen)
	zero := archsimd.BroadcastInt32x16(0)
	order := archsimd.LoadUint8x64(&rgbOrder)
	all := archsimd.Mask8x64FromBits(1<<48 - 1)
	i := 0
	for ; i+16 <= len(y); i += 16 {
		luma := load16(py, i).ExtendToUint32().AsInt32x16().ShiftAllLeft(16).Add(half)
		b := load16(pb, i).ExtendToUint32().AsInt32x16().Sub(center)
		r := load16(pr, i).ExtendToUint32().AsInt32x16().Sub(center)
		r8 := luma.Add(r.Mul(red)).ShiftAllRight(16).Max(zero).AsUint32x16().SaturateToUint8()
		g8 := luma.Add(b.Mul(green1)).Add(r.Mul(green2)).ShiftAllRight(16).Max(zero).AsUint32x16().SaturateToUint8()
		b8 := luma.Add(b.Mul(blue)).ShiftAllRight(16).Max(zero).AsUint32x16().SaturateToUint8()
		var rg, bx archsimd.Uint8x32
		var rgb archsimd.Uint8x64
		rgb = rgb.SetLo(rg.SetLo(r8).SetHi(g8)).SetHi(bx.SetLo(b8))
		rgb.Permute(order).StoreMasked((*[64]uint8)(unsafe.Add(unsafe.Pointer(pd), 3*i)), all)
	}
	yCbCrGeneric(dst[3*i:], y[i:], cb[i:], cr[i:])
}

func acrossRowsAVX512(dst, src []uint8, stride int, weights []int32) {
	if len(weights) == 0 || (len(weights)-1)*stride+len(dst) > len(src) {
		acrossRowsGeneric(dst, src, stride, weights)
		return
	}
	ps, pd := unsafe.SliceData(src), unsafe.SliceData(dst)
	zero, round := archsimd.BroadcastInt32x16(0), archsimd.BroadcastInt32x16(roundPrecision)
	i := 0
	for ; i+64 <= len(dst); i += 64 {
		a0, a1, a2, a3 := round, round, round, round
		at := i
		for _, w := range weights {
			k := archsimd.BroadcastInt32x16(w)
			a0 = a0.Add(load16(ps, at).ExtendToUint32().AsInt32x16().Mul(k))
			a1 = a1.Add(load16(ps, at+16).ExtendToUint32().AsInt32x16().Mul(k))
			a2 = a2.Add(load16(ps, at+32).ExtendToUint32().AsInt32x16().Mul(k))
			a3 = a3.Add(load16(ps, at+48).ExtendToUint32().AsInt32x16().Mul(k))
			at += stride
		}
		store16(pd, i, a0.ShiftAllRight(Precision).Max(zero).AsUint32x16().SaturateToUint8())
		store16(pd, i+16, a1.ShiftAllRight(Precision).Max(zero).AsUint32x16().SaturateToUint8())
		store16(pd, i+32, a2.ShiftAllRight(Precision).Max(zero).AsUint32x16().SaturateToUint8())
		store16(pd, i+48, a3.ShiftAllRight(Precision).Max(zero).AsUint32x16().SaturateToUint8())
	}
	for ; i+16 <= len(dst); i += 16 {
		a, at := round, i
		for _, w := range weights {
			a = a.Add(load16(ps, at).ExtendToUint32().AsInt32x16().Mul(archsimd.BroadcastInt32x16(w)))
			at += stride
		}
		store16(pd, i, a.ShiftAllRight(Precision).Max(zero).AsUint32x16().SaturateToUint8())
	}
	acrossRowsGeneric(dst[i:], src[i:], stride, weights)
}

func normalizeAVX512(dst []float32, src []uint8, n *Norm) {
	dst = dst[:len(src)]
	ps, pd := unsafe.SliceData(src), unsafe.SliceData(dst)
	var mean, scale [3][16]float32
	for i := range 48 {
		mean[i/16][i%16], scale[i/16][i%16] = n.Mean[i%3], n.Scale[i%3]
	}
	m0, m1, m2 := archsimd.LoadFloat32x16(&mean[0]), archsimd.LoadFloat32x16(&mean[1]), archsimd.LoadFloat32x16(&mean[2])
	s0, s1, s2 := archsimd.LoadFloat32x16(&scale[0]), archsimd.LoadFloat32x16(&scale[1]), archsimd.LoadFloat32x16(&scale[2])
	i := 0
	for ; i+48 <= len(src); i += 48 {
		q := unsafe.Add(unsafe.Pointer(pd), 4*i)
		load16(ps, i).ExtendToUint32().AsInt32x16().ConvertToFloat32().Sub(m0).Mul(s0).Store((*[16]float32)(q))
		load16(ps, i+16).ExtendToUint32().AsInt32x16().ConvertToFloat32().Sub(m1).Mul(s1).Store((*[16]float32)(unsafe.Add(q, 64)))
		load16(ps, i+32).ExtendToUint32().AsInt32x16().ConvertToFloat32().Sub(m2).Mul(s2).Store((*[16]float32)(unsafe.Add(q, 128)))
	}
	normalizeGeneric(dst[i:], src[i:], n)
}

func alongRowAVX512(dst, src []uint8, t *Taps) {
	if len(t.groups) == 0 || t.reach > cap(src) {
		alongRowAVX2(dst, src, t)
		return
	}
	ps, pw := unsafe.Pointer(unsafe.SliceData(src)), unsafe.Pointer(unsafe.SliceData(t.weight))
	low := archsimd.BroadcastInt32x16(0xff)
	zero, round := archsimd.BroadcastInt32x16(0), archsimd.BroadcastInt32x16(roundPrecision)
	for i := range t.groups {
		g := &t.groups[i]
		order := archsimd.LoadUint8x64(&g.order)
		a := round
		at, w := g.base, 64*i*t.taps
		for range t.taps {
			v := archsimd.LoadUint8x64((*[64]uint8)(unsafe.Add(ps, at))).Permute(order).AsInt32x16().And(low)
			a = a.Add(v.Mul(archsimd.LoadInt32x16((*[16]int32)(unsafe.Add(pw, w)))))
			at, w = at+3, w+64
		}
		out := a.ShiftAllRight(Precision).Max(zero).AsUint32x16().SaturateToUint8()
		if q := dst[16*i:]; len(q) >= laneCount {
			out.Store((*[16]uint8)(q))
		} else {
			out.StoreSlicePart(q)
		}
	}
}
