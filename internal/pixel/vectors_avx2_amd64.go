//go:build goexperiment.simd

package pixel

import (
	"simd/archsimd"
	"unsafe"
)

func load16(p *uint8, i int) archsimd.Uint8x16 {
	return archsimd.LoadUint8x16((*[16]uint8)(unsafe.Add(unsafe.Pointer(p), i)))
}

func store16(p *uint8, i int, v archsimd.Uint8x16) {
	v.Store((*[16]uint8)(unsafe.Add(unsafe.Pointer(p), i)))
}

// load8 loads 8 bytes as integers.
func load8(p *uint8, i int) archsimd.Int32x8 {
	var v archsimd.Int64x2
	v = v.SetElem(0, *(*int64)(unsafe.Add(unsafe.Pointer(p), i)))
	return v.AsUint8x16().ExtendLo8ToUint32().AsInt32x8()
}

func blendAVX2(dst []uint16, near, far []uint8) {
	near, far = near[:len(dst)], far[:len(dst)]
	pn, pf, pd := unsafe.SliceData(near), unsafe.SliceData(far), unsafe.SliceData(dst)
	three := archsimd.BroadcastUint16x16(3)
	i := 0
	for ; i+16 <= len(dst); i += 16 {
		s := load16(pn, i).ExtendToUint16().Mul(three).Add(load16(pf, i).ExtendToUint16())
		s.Store((*[16]uint16)(unsafe.Add(unsafe.Pointer(pd), 2*i)))
	}
	blendGeneric(dst[i:], near[i:], far[i:])
}

func widenAVX2(dst []uint8, sums []uint16, even, odd uint16) {
	sums = sums[:len(dst)/2+2]
	ps, pd := unsafe.SliceData(sums), unsafe.SliceData(dst)
	load := func(i int) archsimd.Uint16x16 {
		return archsimd.LoadUint16x16((*[16]uint16)(unsafe.Add(unsafe.Pointer(ps), 2*i)))
	}
	three := archsimd.BroadcastUint16x16(3)
	roundEven, roundOdd := archsimd.BroadcastUint16x16(even), archsimd.BroadcastUint16x16(odd)
	i := 0
	for ; i+16 <= len(dst)/2; i += 16 {
		near := load(i + 1).Mul(three)
		lo := near.Add(load(i)).Add(roundEven).ShiftAllRight(4)
		hi := near.Add(load(i + 2)).Add(roundOdd).ShiftAllRight(4)
		lo.Or(hi.ShiftAllLeft(8)).AsUint8x32().Store((*[32]uint8)(unsafe.Add(unsafe.Pointer(pd), 2*i)))
	}
	widenGeneric(dst[2*i:], sums[i:], even, odd)
}

// threeOfFour drops every fourth byte.
var threeOfFour = [16]int8{0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1}

func yCbCrAVX2(dst, y, cb, cr []uint8) {
	cb, cr, dst = cb[:len(y)], cr[:len(y)], dst[:3*len(y)]
	py, pb, pr, pd := unsafe.SliceData(y), unsafe.SliceData(cb), unsafe.SliceData(cr), unsafe.SliceData(dst)
	half, center := archsimd.BroadcastInt32x8(1<<15), archsimd.BroadcastInt32x8(128)
	red, blue := archsimd.BroadcastInt32x8(crToRed), archsimd.BroadcastInt32x8(cbToBlue)
	green1, green2 := archsimd.BroadcastInt32x8(cbToGreen), archsimd.BroadcastInt32x8(crToGreen)
	zero, most := archsimd.BroadcastInt32x8(0), archsimd.BroadcastInt32x8(255)
	pack := archsimd.LoadInt8x16(&threeOfFour)
	i := 0
	// A store writes four bytes more than it has, for the next one to overwrite.
	for ; i+10 <= len(y); i += 8 {
		luma := load8(py, i).ShiftAllLeft(16).Add(half)
		b, r := load8(pb, i).Sub(center), load8(pr, i).Sub(center)
		r8 := luma.Add(r.Mul(red)).ShiftAllRight(16).Max(zero).Min(most)
		g8 := luma.Add(b.Mul(green1)).Add(r.Mul(green2)).ShiftAllRight(16).Max(zero).Min(most)
		b8 := luma.Add(b.Mul(blue)).ShiftAllRight(16).Max(zero).Min(most)
		v := r8.Or(g8.ShiftAllLeft(8)).Or(b8.ShiftAllLeft(16)).AsUint8x32()
		store16(pd, 3*i, v.GetLo().PermuteOrZero(pack))
		store16(pd, 3*i+12, v.GetHi().PermuteOrZero(pack))
	}
	yCbCrGeneric(dst[3*i:], y[i:], cb[i:], cr[i:])
}

// evenBytes takes the low byte of every 16-bit lane.
var evenBytes = [32]int8{
	0, 2, 4, 6, 8, 10, 12, 14, -1, -1, -1, -1, -1, -1, -1, -1,
	0, 2, 4, 6, 8, 10, 12, 14, -1, -1, -1, -1, -1, -1, -1, -1,
}

func acrossRowsAVX2(dst, src []uint8, stride int, weights []int32) {
	if len(weights) == 0 || (len(weights)-1)*stride+len(dst) > len(src) {
		acrossRowsGeneric(dst, src, stride, weights)
		return
	}
	ps, pd := unsafe.SliceData(src), unsafe.SliceData(dst)
	zero, round := archsimd.BroadcastInt32x8(0), archsimd.BroadcastInt32x8(roundPrecision)
	most, even := archsimd.BroadcastInt32x8(255), archsimd.LoadInt8x32(&evenBytes)
	i := 0
	for ; i+16 <= len(dst); i += 16 {
		a, b, at := round, round, i
		for _, w := range weights {
			k := archsimd.BroadcastInt32x8(w)
			a = a.Add(load8(ps, at).Mul(k))
			b = b.Add(load8(ps, at+8).Mul(k))
			at += stride
		}
		a = a.ShiftAllRight(Precision).Max(zero).Min(most)
		b = b.ShiftAllRight(Precision).Max(zero).Min(most)
		bytes := a.SaturateToInt16ConcatGrouped(b).AsUint8x32().PermuteOrZeroGrouped(even)
		store16(pd, i, bytes.GetLo().AsUint32x4().InterleaveLo(bytes.GetHi().AsUint32x4()).AsUint8x16())
	}
	acrossRowsGeneric(dst[i:], src[i:], stride, weights)
}

// layRowAVX2 lays t out for pairs of taps: the weights of each pixel are
// [taps/2, 8], for red, green, blue and nothing of one and of the other.
func layRowAVX2(t *Taps) {
	t.taps, t.reach = 0, 0
	for i, n := range t.Count {
		t.taps = max(t.taps, (n+1)/2*2)
		t.reach = max(t.reach, t.Start[i])
	}
	t.reach = 3*(t.reach+t.taps-2) + 16
	t.weight = grow(t.weight, len(t.Start)*t.taps*4)
	clear(t.weight)
	for i, n := range t.Count {
		for j, k := range t.Weight[i*t.Stride:][:n] {
			w := t.weight[(i*t.taps+j)*4:][:3]
			w[0], w[1], w[2] = k, k, k
		}
	}
}

// twoPixels puts each of two pixels into four bytes.
var twoPixels = [16]int8{0, 1, 2, -1, 3, 4, 5, -1, -1, -1, -1, -1, -1, -1, -1, -1}

func alongRowAVX2(dst, src []uint8, t *Taps) {
	if t.taps == 0 || t.reach > cap(src) {
		alongRowGeneric(dst, src, t)
		return
	}
	ps, pw := unsafe.SliceData(src), unsafe.Pointer(unsafe.SliceData(t.weight))
	two := archsimd.LoadInt8x16(&twoPixels)
	var zero archsimd.Int32x4
	round, most := archsimd.BroadcastInt32x4(roundPrecision), archsimd.BroadcastInt32x4(255)
	w := 0
	for i, start := range t.Start {
		var sum archsimd.Int32x8
		for at := 3 * start; at < 3*(start+t.taps); at += 6 {
			v := load16(ps, at).PermuteOrZero(two).ExtendLo8ToUint32().AsInt32x8()
			sum = sum.Add(v.Mul(archsimd.LoadInt32x8((*[8]int32)(unsafe.Add(pw, w)))))
			w += 32
		}
		v := sum.GetLo().Add(sum.GetHi()).Add(round).ShiftAllRight(Precision).Max(zero).Min(most)
		q := dst[3*i:][:3]
		q[0], q[1], q[2] = uint8(v.GetElem(0)), uint8(v.GetElem(1)), uint8(v.GetElem(2))
	}
}

func normalizeAVX2(dst []float32, src []uint8, n *Norm) {
	dst = dst[:len(src)]
	ps, pd := unsafe.SliceData(src), unsafe.SliceData(dst)
	var mean, scale [3][8]float32
	for i := range 24 {
		mean[i/8][i%8], scale[i/8][i%8] = n.Mean[i%3], n.Scale[i%3]
	}
	m0, m1, m2 := archsimd.LoadFloat32x8(&mean[0]), archsimd.LoadFloat32x8(&mean[1]), archsimd.LoadFloat32x8(&mean[2])
	s0, s1, s2 := archsimd.LoadFloat32x8(&scale[0]), archsimd.LoadFloat32x8(&scale[1]), archsimd.LoadFloat32x8(&scale[2])
	i := 0
	for ; i+24 <= len(src); i += 24 {
		q := unsafe.Add(unsafe.Pointer(pd), 4*i)
		load8(ps, i).ConvertToFloat32().Sub(m0).Mul(s0).Store((*[8]float32)(q))
		load8(ps, i+8).ConvertToFloat32().Sub(m1).Mul(s1).Store((*[8]float32)(unsafe.Add(q, 32)))
		load8(ps, i+16).ConvertToFloat32().Sub(m2).Mul(s2).Store((*[8]float32)(unsafe.Add(q, 64)))
	}
	normalizeGeneric(dst[i:], src[i:], n)
}
