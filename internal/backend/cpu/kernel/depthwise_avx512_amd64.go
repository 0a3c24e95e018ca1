//go:build goexperiment.simd

package kernel

import (
	"simd/archsimd"
	"unsafe"
)

// depthwiseAVX512 has loops of their own for rows of 3 and 5 taps at strides 1
// and 2. For others it keeps four pixels' sums in registers, so that each weight is
// loaded once for them.
func depthwiseAVX512(y []float32, ystep int, x []float32, x0, xstep int, w []float32, taps []Tap, row, n, cols, c int) {
	px, pw, py := unsafe.SliceData(x), unsafe.SliceData(w), unsafe.SliceData(y)
	if ystep == cols {
		switch first := (*float32)(unsafe.Add(unsafe.Pointer(px), x0*4)); [2]int{row, xstep / cols} {
		case [2]int{3, 1}:
			c = depthwise3s1AVX512(py, first, pw, taps, n, cols, c)
		case [2]int{3, 2}:
			c = depthwise3s2AVX512(py, first, pw, taps, n, cols, c)
		case [2]int{5, 1}:
			c = depthwise5s1AVX512(py, first, pw, taps, n, cols, c)
		case [2]int{5, 2}:
			c = depthwise5s2AVX512(py, first, pw, taps, n, cols, c)
		}
	}
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		p := 0
		for ; p+4 <= n; p += 4 {
			var s0, s1, s2, s3 archsimd.Float32x16
			base := x0 + p*xstep + c
			for _, t := range taps {
				v := loadAVX512(pw, t.W+c)
				i := base + t.X
				s0 = v.MulAdd(loadAVX512(px, i), s0)
				s1 = v.MulAdd(loadAVX512(px, i+xstep), s1)
				s2 = v.MulAdd(loadAVX512(px, i+2*xstep), s2)
				s3 = v.MulAdd(loadAVX512(px, i+3*xstep), s3)
			}
			i := p*ystep + c
			storeAVX512(py, i, s0)
			storeAVX512(py, i+ystep, s1)
			storeAVX512(py, i+2*ystep, s2)
			storeAVX512(py, i+3*ystep, s3)
		}
		for ; p < n; p++ {
			var s archsimd.Float32x16
			base := x0 + p*xstep + c
			for _, t := range taps {
				s = loadAVX512(pw, t.W+c).MulAdd(loadAVX512(px, base+t.X), s)
			}
			storeAVX512(py, p*ystep+c, s)
		}
	}
	if c < cols {
		depthwiseAVX2(y, ystep, x, x0, xstep, w, taps, row, n, cols, c)
	}
}

// depthwiseGradWeightAVX512 has loops of their own as depthwiseAVX512 does. For
// other taps it keeps the sums of up to five taps in registers, so
// that each pixel's gradient is loaded once for them.
func depthwiseGradWeightAVX512(dw []float32, x []float32, x0, xstep int, dy []float32, dystep int, taps []Tap, row, n, cols, c int) {
	px, pw, py := unsafe.SliceData(x), unsafe.SliceData(dw), unsafe.SliceData(dy)
	if dystep == cols {
		switch first := (*float32)(unsafe.Add(unsafe.Pointer(px), x0*4)); [2]int{row, xstep / cols} {
		case [2]int{3, 1}:
			c = depthwiseGradWeight3s1AVX512(pw, first, py, taps, n, cols, c)
		case [2]int{3, 2}:
			c = depthwiseGradWeight3s2AVX512(pw, first, py, taps, n, cols, c)
		case [2]int{5, 1}:
			c = depthwiseGradWeight5s1AVX512(pw, first, py, taps, n, cols, c)
		case [2]int{5, 2}:
			c = depthwiseGradWeight5s2AVX512(pw, first, py, taps, n, cols, c)
		}
	}
	for ; c+lanesAVX512 <= cols; c += lanesAVX512 {
		rest := taps
		for ; len(rest) >= 5; rest = rest[5:] {
			var s0, s1, s2, s3, s4 archsimd.Float32x16
			b := x0 + c
			i0, i1, i2, i3, i4 := b+rest[0].X, b+rest[1].X, b+rest[2].X, b+rest[3].X, b+rest[4].X
			for p, j, i := 0, c, 0; p < n; p, j, i = p+1, j+dystep, i+xstep {
				v := loadAVX512(py, j)
				s0 = v.MulAdd(loadAVX512(px, i0+i), s0)
				s1 = v.MulAdd(loadAVX512(px, i1+i), s1)
				s2 = v.MulAdd(loadAVX512(px, i2+i), s2)
				s3 = v.MulAdd(loadAVX512(px, i3+i), s3)
				s4 = v.MulAdd(loadAVX512(px, i4+i), s4)
			}
			storeAVX512(pw, rest[0].W+c, loadAVX512(pw, rest[0].W+c).Add(s0))
			storeAVX512(pw, rest[1].W+c, loadAVX512(pw, rest[1].W+c).Add(s1))
			storeAVX512(pw, rest[2].W+c, loadAVX512(pw, rest[2].W+c).Add(s2))
			storeAVX512(pw, rest[3].W+c, loadAVX512(pw, rest[3].W+c).Add(s3))
			storeAVX512(pw, rest[4].W+c, loadAVX512(pw, rest[4].W+c).Add(s4))
		}
		for ; len(rest) >= 3; rest = rest[3:] {
			var s0, s1, s2 archsimd.Float32x16
			b := x0 + c
			i0, i1, i2 := b+rest[0].X, b+rest[1].X, b+rest[2].X
			for p, j, i := 0, c, 0; p < n; p, j, i = p+1, j+dystep, i+xstep {
				v := loadAVX512(py, j)
				s0 = v.MulAdd(loadAVX512(px, i0+i), s0)
				s1 = v.MulAdd(loadAVX512(px, i1+i), s1)
				s2 = v.MulAdd(loadAVX512(px, i2+i), s2)
			}
			storeAVX512(pw, rest[0].W+c, loadAVX512(pw, rest[0].W+c).Add(s0))
			storeAVX512(pw, rest[1].W+c, loadAVX512(pw, rest[1].W+c).Add(s1))
			storeAVX512(pw, rest[2].W+c, loadAVX512(pw, rest[2].W+c).Add(s2))
		}
		for _, t := range rest {
			var s archsimd.Float32x16
			i0 := x0 + c + t.X
			for p, j, i := 0, c, 0; p < n; p, j, i = p+1, j+dystep, i+xstep {
				s = loadAVX512(py, j).MulAdd(loadAVX512(px, i0+i), s)
			}
			storeAVX512(pw, t.W+c, loadAVX512(pw, t.W+c).Add(s))
		}
	}
	if c < cols {
		depthwiseGradWeightAVX2(dw, x, x0, xstep, dy, dystep, taps, row, n, cols, c)
	}
}
