//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// Each kernel here is its Generic definition over 16 channels at a time; what
// is left of a row goes to the AVX2 variant.

const lanesAVX512 = 16

func loadAVX512(p *float32, i int) archsimd.Float32x16 {
	return archsimd.LoadFloat32x16((*[16]float32)(unsafe.Add(unsafe.Pointer(p), i*4)))
}

func storeAVX512(p *float32, i int, v archsimd.Float32x16) {
	v.Store((*[16]float32)(unsafe.Add(unsafe.Pointer(p), i*4)))
}

func columnSumAVX512(sum, x []float32, cols, c int) {
	rows := len(x) / cols
	px := unsafe.SliceData(x)
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		var s archsimd.Float32x16
		for r, i := 0, c; r < rows; r, i = r+1, i+cols {
			s = s.Add(loadAVX512(px, i))
		}
		ps := unsafe.SliceData(sum)
		storeAVX512(ps, c, loadAVX512(ps, c).Add(s))
	}
	if c < cols {
		columnSumAVX2(sum, x, cols, c)
	}
}

func columnMomentsAVX512(sum, squares, x, pivot []float32, cols, c int) {
	rows := len(x) / cols
	px, pp, ps, pq := unsafe.SliceData(x), unsafe.SliceData(pivot), unsafe.SliceData(sum), unsafe.SliceData(squares)
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		p := loadAVX512(pp, c)
		var s, q archsimd.Float32x16
		for r, i := 0, c; r < rows; r, i = r+1, i+cols {
			d := loadAVX512(px, i).Sub(p)
			s = s.Add(d)
			q = d.MulAdd(d, q)
		}
		storeAVX512(ps, c, loadAVX512(ps, c).Add(s))
		storeAVX512(pq, c, loadAVX512(pq, c).Add(q))
	}
	if c < cols {
		columnMomentsAVX2(sum, squares, x, pivot, cols, c)
	}
}

func columnDotAVX512(sum, x, y []float32, cols, c int) {
	rows := len(x) / cols
	px, py := unsafe.SliceData(x), unsafe.SliceData(y)
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		var s archsimd.Float32x16
		for r, i := 0, c; r < rows; r, i = r+1, i+cols {
			s = loadAVX512(px, i).MulAdd(loadAVX512(py, i), s)
		}
		ps := unsafe.SliceData(sum)
		storeAVX512(ps, c, loadAVX512(ps, c).Add(s))
	}
	if c < cols {
		columnDotAVX2(sum, x, y, cols, c)
	}
}

func mulColumnsAVX512(y, x, s []float32, cols, c int) {
	whole := c + (cols-c)/lanesAVX512*lanesAVX512
	px, py, ps := unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(s)
	for row := 0; row < len(x); row += cols {
		for i := c; i < whole; i += lanesAVX512 {
			storeAVX512(py, row+i, loadAVX512(px, row+i).Mul(loadAVX512(ps, i)))
		}
	}
	if whole < cols {
		mulColumnsAVX2(y, x, s, cols, whole)
	}
}

func mulAddColumnsAVX512(y, x, s, b []float32, cols, c int) {
	whole := c + (cols-c)/lanesAVX512*lanesAVX512
	px, py, ps, pb := unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(s), unsafe.SliceData(b)
	for row := 0; row < len(x); row += cols {
		for i := c; i < whole; i += lanesAVX512 {
			storeAVX512(py, row+i, loadAVX512(px, row+i).MulAdd(loadAVX512(ps, i), loadAVX512(pb, i)))
		}
	}
	if whole < cols {
		mulAddColumnsAVX2(y, x, s, b, cols, whole)
	}
}

func addAVX512(y, a, b []float32, i int) {
	py, pa, pb := unsafe.SliceData(y), unsafe.SliceData(a), unsafe.SliceData(b)
	for ; i+lanesAVX512 <= len(y); i += lanesAVX512 {
		storeAVX512(py, i, loadAVX512(pa, i).Add(loadAVX512(pb, i)))
	}
	addAVX2(y, a, b, i)
}

func scaleAddAVX512(y, a, b []float32, s float32, i int) {
	py, pa, pb := unsafe.SliceData(y), unsafe.SliceData(a), unsafe.SliceData(b)
	v := archsimd.BroadcastFloat32x16(s)
	for ; i+lanesAVX512 <= len(y); i += lanesAVX512 {
		storeAVX512(py, i, v.MulAdd(loadAVX512(pa, i), loadAVX512(pb, i)))
	}
	scaleAddAVX2(y, a, b, s, i)
}

func scaleAVX512(y, a []float32, s float32, i int) {
	py, pa := unsafe.SliceData(y), unsafe.SliceData(a)
	v := archsimd.BroadcastFloat32x16(s)
	for ; i+lanesAVX512 <= len(y); i += lanesAVX512 {
		storeAVX512(py, i, v.Mul(loadAVX512(pa, i)))
	}
	scaleAVX2(y, a, s, i)
}

func averageAVX512(y, x []float32, s float32, i int) {
	py, px := unsafe.SliceData(y), unsafe.SliceData(x)
	v := archsimd.BroadcastFloat32x16(s)
	for ; i+lanesAVX512 <= len(y); i += lanesAVX512 {
		a := loadAVX512(px, i)
		storeAVX512(py, i, v.MulAdd(loadAVX512(py, i).Sub(a), a))
	}
	averageAVX2(y, x, s, i)
}

func rmsPropAVX512(w, g, ms, buf []float32, r *RMSPropRule, i int) {
	pw, pg, pm, pb := unsafe.SliceData(w), unsafe.SliceData(g), unsafe.SliceData(ms), unsafe.SliceData(buf)
	lr, rho, fresh := archsimd.BroadcastFloat32x16(r.LR), archsimd.BroadcastFloat32x16(r.Rho), archsimd.BroadcastFloat32x16(1-r.Rho)
	momentum, eps := archsimd.BroadcastFloat32x16(r.Momentum), archsimd.BroadcastFloat32x16(r.Eps)
	factor, l2, keep := archsimd.BroadcastFloat32x16(r.Factor), archsimd.BroadcastFloat32x16(r.L2), archsimd.BroadcastFloat32x16(r.Keep)
	for ; i+lanesAVX512 <= len(w); i += lanesAVX512 {
		v := loadAVX512(pw, i)
		d := l2.MulAdd(v, factor.Mul(loadAVX512(pg, i)))
		s := rho.MulAdd(loadAVX512(pm, i), fresh.Mul(d.Mul(d)))
		b := momentum.MulAdd(loadAVX512(pb, i), lr.Mul(d).Div(s.Add(eps).Sqrt()))
		storeAVX512(pm, i, s)
		storeAVX512(pb, i, b)
		storeAVX512(pw, i, keep.Mul(v).Sub(b))
	}
	rmsPropAVX2(w, g, ms, buf, r, i)
}

func sgdAVX512(w, g, buf []float32, r *SGDRule, i int) {
	pw, pg, pb := unsafe.SliceData(w), unsafe.SliceData(g), unsafe.SliceData(buf)
	lr, momentum := archsimd.BroadcastFloat32x16(-r.LR), archsimd.BroadcastFloat32x16(r.Momentum)
	factor, l2, keep := archsimd.BroadcastFloat32x16(r.Factor), archsimd.BroadcastFloat32x16(r.L2), archsimd.BroadcastFloat32x16(r.Keep)
	for ; i+lanesAVX512 <= len(w); i += lanesAVX512 {
		v := loadAVX512(pw, i)
		b := momentum.MulAdd(loadAVX512(pb, i), l2.MulAdd(v, factor.Mul(loadAVX512(pg, i))))
		storeAVX512(pb, i, b)
		storeAVX512(pw, i, lr.MulAdd(b, keep.Mul(v)))
	}
	sgdAVX2(w, g, buf, r, i)
}

func adamAVX512(w, g, m, v []float32, r *AdamRule, i int) {
	pw, pg, pm, pv := unsafe.SliceData(w), unsafe.SliceData(g), unsafe.SliceData(m), unsafe.SliceData(v)
	beta1, fresh1 := archsimd.BroadcastFloat32x16(r.Beta1), archsimd.BroadcastFloat32x16(r.Fresh1)
	beta2, fresh2 := archsimd.BroadcastFloat32x16(r.Beta2), archsimd.BroadcastFloat32x16(r.Fresh2)
	rate, correct, eps := archsimd.BroadcastFloat32x16(r.LR*r.Correct1), archsimd.BroadcastFloat32x16(r.Correct2), archsimd.BroadcastFloat32x16(r.Eps)
	factor, l2, keep := archsimd.BroadcastFloat32x16(r.Factor), archsimd.BroadcastFloat32x16(r.L2), archsimd.BroadcastFloat32x16(r.Keep)
	for ; i+lanesAVX512 <= len(w); i += lanesAVX512 {
		x := loadAVX512(pw, i)
		d := l2.MulAdd(x, factor.Mul(loadAVX512(pg, i)))
		a := beta1.MulAdd(loadAVX512(pm, i), fresh1.Mul(d))
		b := beta2.MulAdd(loadAVX512(pv, i), fresh2.Mul(d.Mul(d)))
		storeAVX512(pm, i, a)
		storeAVX512(pv, i, b)
		storeAVX512(pw, i, keep.Mul(x).Sub(rate.Mul(a).Div(b.Sqrt().MulAdd(correct, eps))))
	}
	adamAVX2(w, g, m, v, r, i)
}
