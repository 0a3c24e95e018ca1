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

func columnSquaresAVX512(sum, x, mean []float32, cols, c int) {
	rows := len(x) / cols
	px, pm := unsafe.SliceData(x), unsafe.SliceData(mean)
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		var s archsimd.Float32x16
		m := loadAVX512(pm, c)
		for r, i := 0, c; r < rows; r, i = r+1, i+cols {
			d := loadAVX512(px, i).Sub(m)
			s = d.MulAdd(d, s)
		}
		ps := unsafe.SliceData(sum)
		storeAVX512(ps, c, loadAVX512(ps, c).Add(s))
	}
	if c < cols {
		columnSquaresAVX2(sum, x, mean, cols, c)
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
	rows := len(x) / cols
	px, py, ps := unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(s)
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		v := loadAVX512(ps, c)
		for r, i := 0, c; r < rows; r, i = r+1, i+cols {
			storeAVX512(py, i, loadAVX512(px, i).Mul(v))
		}
	}
	if c < cols {
		mulColumnsAVX2(y, x, s, cols, c)
	}
}

// sigmoidAVX512 is sigmoid.
func sigmoidAVX512(z archsimd.Float32x16) archsimd.Float32x16 {
	x := archsimd.BroadcastFloat32x16(0).Sub(z)
	x = archsimd.BroadcastFloat32x16(expMin).Max(x) // in this order a NaN stays one
	x = archsimd.BroadcastFloat32x16(expMax).Min(x)
	t := x.MulAdd(archsimd.BroadcastFloat32x16(expLog2e), archsimd.BroadcastFloat32x16(expMagic))
	n := t.Sub(archsimd.BroadcastFloat32x16(expMagic))
	r := n.MulAdd(archsimd.BroadcastFloat32x16(-expLn2Hi), x)
	r = n.MulAdd(archsimd.BroadcastFloat32x16(-expLn2Lo), r)
	p := r.MulAdd(archsimd.BroadcastFloat32x16(expP0), archsimd.BroadcastFloat32x16(expP1))
	p = p.MulAdd(r, archsimd.BroadcastFloat32x16(expP2))
	p = p.MulAdd(r, archsimd.BroadcastFloat32x16(expP3))
	p = p.MulAdd(r, archsimd.BroadcastFloat32x16(expP4))
	p = p.MulAdd(r, archsimd.BroadcastFloat32x16(expP5))
	one := archsimd.BroadcastFloat32x16(1)
	p = p.MulAdd(r.Mul(r), r).Add(one)
	e := p.AsInt32x16().Add(t.AsInt32x16().ShiftAllLeft(23)).AsFloat32x16()
	return one.Div(e.Add(one))
}

func normActAVX512(y, x []float32, n *Norm, act Act, cols, c int) {
	rows := len(x) / cols
	px, py := unsafe.SliceData(x), unsafe.SliceData(y)
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		scale := loadAVX512(unsafe.SliceData(n.Scale), c)
		shift := loadAVX512(unsafe.SliceData(n.Shift), c)
		switch act {
		case Swish:
			for r, i := 0, c; r < rows; r, i = r+1, i+cols {
				z := loadAVX512(px, i).MulAdd(scale, shift)
				storeAVX512(py, i, z.Mul(sigmoidAVX512(z)))
			}
		case ReLU6:
			zero, six := archsimd.BroadcastFloat32x16(0), archsimd.BroadcastFloat32x16(6)
			for r, i := 0, c; r < rows; r, i = r+1, i+cols {
				z := loadAVX512(px, i).MulAdd(scale, shift)
				storeAVX512(py, i, six.Min(zero.Max(z))) // in this order a NaN stays one
			}
		case Sigmoid:
			for r, i := 0, c; r < rows; r, i = r+1, i+cols {
				storeAVX512(py, i, sigmoidAVX512(loadAVX512(px, i).MulAdd(scale, shift)))
			}
		default:
			for r, i := 0, c; r < rows; r, i = r+1, i+cols {
				storeAVX512(py, i, loadAVX512(px, i).MulAdd(scale, shift))
			}
		}
	}
	if c < cols {
		normActAVX2(y, x, n, act, cols, c)
	}
}

// gradActAVX512 is dy*act'(z).
func gradActAVX512(act Act, z, dy archsimd.Float32x16) archsimd.Float32x16 {
	switch act {
	case Swish:
		one := archsimd.BroadcastFloat32x16(1)
		s := sigmoidAVX512(z)
		return dy.Mul(s.Mul(z.MulAdd(one.Sub(s), one)))
	case ReLU6:
		in := z.Greater(archsimd.BroadcastFloat32x16(0)).And(z.Less(archsimd.BroadcastFloat32x16(6)))
		return dy.Masked(in)
	case Sigmoid:
		s := sigmoidAVX512(z)
		return dy.Mul(s.Mul(archsimd.BroadcastFloat32x16(1).Sub(s)))
	default:
		return dy
	}
}

func normActGradSumsAVX512(db, dg, x, dy []float32, n *Norm, act Act, cols, c int) {
	rows := len(x) / cols
	px, py := unsafe.SliceData(x), unsafe.SliceData(dy)
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		scale := loadAVX512(unsafe.SliceData(n.Scale), c)
		shift := loadAVX512(unsafe.SliceData(n.Shift), c)
		mean := loadAVX512(unsafe.SliceData(n.Mean), c)
		var sb, sg archsimd.Float32x16
		for r, i := 0, c; r < rows; r, i = r+1, i+cols {
			v := loadAVX512(px, i)
			dz := gradActAVX512(act, v.MulAdd(scale, shift), loadAVX512(py, i))
			sb = sb.Add(dz)
			sg = dz.MulAdd(v.Sub(mean), sg)
		}
		pb, pg := unsafe.SliceData(db), unsafe.SliceData(dg)
		storeAVX512(pb, c, loadAVX512(pb, c).Add(sb))
		storeAVX512(pg, c, loadAVX512(pg, c).Add(sg))
	}
	if c < cols {
		normActGradSumsAVX2(db, dg, x, dy, n, act, cols, c)
	}
}

func normActGradInputAVX512(dx, x, dy []float32, n *Norm, k1, k0 []float32, act Act, cols, c int) {
	rows := len(x) / cols
	px, py, pd := unsafe.SliceData(x), unsafe.SliceData(dy), unsafe.SliceData(dx)
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		scale := loadAVX512(unsafe.SliceData(n.Scale), c)
		shift := loadAVX512(unsafe.SliceData(n.Shift), c)
		mean := loadAVX512(unsafe.SliceData(n.Mean), c)
		a := loadAVX512(unsafe.SliceData(k1), c)
		b := loadAVX512(unsafe.SliceData(k0), c)
		for r, i := 0, c; r < rows; r, i = r+1, i+cols {
			v := loadAVX512(px, i)
			dz := gradActAVX512(act, v.MulAdd(scale, shift), loadAVX512(py, i))
			storeAVX512(pd, i, scale.MulAdd(dz, a.MulAdd(v.Sub(mean), b)))
		}
	}
	if c < cols {
		normActGradInputAVX2(dx, x, dy, n, k1, k0, act, cols, c)
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

func rmsPropAVX512(w, g, ms, buf []float32, r *RMSPropRule, i int) {
	pw, pg, pm, pb := unsafe.SliceData(w), unsafe.SliceData(g), unsafe.SliceData(ms), unsafe.SliceData(buf)
	lr, decay, fresh := archsimd.BroadcastFloat32x16(r.LR), archsimd.BroadcastFloat32x16(r.Decay), archsimd.BroadcastFloat32x16(1-r.Decay)
	momentum, eps, wd := archsimd.BroadcastFloat32x16(r.Momentum), archsimd.BroadcastFloat32x16(r.Eps), archsimd.BroadcastFloat32x16(r.WeightDecay)
	for ; i+lanesAVX512 <= len(w); i += lanesAVX512 {
		v := loadAVX512(pw, i)
		d := wd.MulAdd(v, loadAVX512(pg, i))
		s := decay.MulAdd(loadAVX512(pm, i), fresh.Mul(d.Mul(d)))
		b := momentum.MulAdd(loadAVX512(pb, i), lr.Mul(d).Div(s.Add(eps).Sqrt()))
		storeAVX512(pm, i, s)
		storeAVX512(pb, i, b)
		storeAVX512(pw, i, v.Sub(b))
	}
	rmsPropAVX2(w, g, ms, buf, r, i)
}

func sgdAVX512(w, g, buf []float32, r *SGDRule, i int) {
	pw, pg, pb := unsafe.SliceData(w), unsafe.SliceData(g), unsafe.SliceData(buf)
	lr, momentum, wd := archsimd.BroadcastFloat32x16(-r.LR), archsimd.BroadcastFloat32x16(r.Momentum), archsimd.BroadcastFloat32x16(r.WeightDecay)
	for ; i+lanesAVX512 <= len(w); i += lanesAVX512 {
		v := loadAVX512(pw, i)
		b := momentum.MulAdd(loadAVX512(pb, i), wd.MulAdd(v, loadAVX512(pg, i)))
		storeAVX512(pb, i, b)
		storeAVX512(pw, i, lr.MulAdd(b, v))
	}
	sgdAVX2(w, g, buf, r, i)
}
