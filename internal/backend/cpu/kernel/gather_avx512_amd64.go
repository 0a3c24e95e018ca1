//go:build goexperiment.simd

package kernel

import "unsafe"

func gatherAVX512(y []float32, ldy int, x []float32, step, n, size int) {
	if n == 0 {
		return
	}
	_, _ = y[(n-1)*ldy+size-1], x[(n-1)*step+size-1]
	px, py := unsafe.SliceData(x), unsafe.SliceData(y)
	for c := 0; c < size; c += lanesAVX512 {
		mask := firstAVX512(size - c)
		for p, i, j := n, c, c; p > 0; p-- {
			loadAVX512(px, i).StoreMasked((*[16]float32)(unsafe.Add(unsafe.Pointer(py), j*4)), mask)
			i, j = i+step, j+ldy
		}
	}
}
