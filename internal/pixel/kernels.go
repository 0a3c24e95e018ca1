package pixel

import "unsafe"

//go:generate go run effnet/tools/clangasm avx512vbmi avx2 neon

// kernels are the functions in c/*.c, which clangasm compiles for a set of
// instructions; a nil one is not defined for the set. They do the whole vectors of a
// row; the methods of Set check what they are given and do the rest.
type kernels struct {
	idct        func(dst, blocks unsafe.Pointer, stride, n int)
	blend       func(dst, near, far unsafe.Pointer, n int)
	widen       func(dst, sums unsafe.Pointer, n, even, odd int)
	yCbCr       func(dst, y, cb, cr unsafe.Pointer, n int)
	alongPixels func(dst, src, start, weight unsafe.Pointer, taps, n int)
	alongLanes  func(dst, src, groups, weight unsafe.Pointer, taps, n int)
	acrossRows  func(dst, src, weights unsafe.Pointer, stride, rows, n int)
	normalize   func(dst, src, n unsafe.Pointer, count int)
}
