package kernel

import "unsafe"

//go:generate go run effnet/tools/clangasm avx512 avx512bf16 avx2 neon

// kernels are the functions in c/*.c, which clangasm compiles for a set of
// instructions; a nil one is not defined for the set. The methods of Set check and
// cut what they are given, and say what is computed.
type kernels struct {
	gemm6x4x0, gemm8x3x0, gemm8x2x1, gemm12x2x0, gemm12x1x1, gemm12x1x0, gemm12x0x1 gemmFunc
	gemm6x2x0, gemm4x3x0, gemm8x1x0                                                 gemmFunc

	// Products of bfloat16.
	pairs6x4x0, pairs8x3x0, pairs8x2x1, pairs12x2x0, pairs12x1x1, pairs12x1x0, pairs12x0x1 gemmFunc
	pairs8x2x0, pairs4x2x0, pairs8x1x0, pairs8x0x1                                         gemmFunc
	peakPairs                                                                              func(c unsafe.Pointer, k int)
	zipRows                                                                                func(y, x unsafe.Pointer, ldy, stride, rows, cols int)

	packRows func(dst, src unsafe.Pointer, rows, stride, cols int)
	gather   func(y, x unsafe.Pointer, ldy, step, n, size int)
	peak     func(c unsafe.Pointer, k int)

	columnSum        func(sum, x unsafe.Pointer, rows, cols int)
	columnMoments    func(sum, squares, x, pivot unsafe.Pointer, rows, cols int)
	columnDot        func(sum, x, y unsafe.Pointer, rows, cols int)
	mulColumns       func(y, x, s unsafe.Pointer, rows, cols int)
	mulAddColumns    func(y, x, s, b unsafe.Pointer, rows, cols int)
	normAct          [actCount]func(y, x, n unsafe.Pointer, rows, cols int)
	normActSum       [actCount]func(sum, x, n unsafe.Pointer, rows, cols int)
	normActGradSums  [actCount]func(db, dg, x, dy, n unsafe.Pointer, rows, cols int)
	normActGradInput [actCount]func(dx, x, dy, n, k1, k0 unsafe.Pointer, rows, cols int)
	normActSlope     [actCount]func(y, slope, x, n unsafe.Pointer, rows, cols int)
	slopeSums        func(db, dg, x, dy, slope, mean unsafe.Pointer, rows, cols int)
	gateGrad         func(y, m, sums, x, da, slope, mean, gate unsafe.Pointer, rows, cols int)
	biasAct          [actCount]func(sum, y, x, bias unsafe.Pointer, ldy, rows, cols int)

	// Of maps of bfloat16, which are read or written so.
	narrow, widen                                          func(y, x unsafe.Pointer, n int)
	addHalf                                                func(y, x, z unsafe.Pointer, n int)
	scaleAddHalf                                           func(y, x, z unsafe.Pointer, n int, s float32)
	scaleHalf                                              func(y, x unsafe.Pointer, n int, s float32)
	mulAddColumnsHalf                                      func(y, x, s, b unsafe.Pointer, rows, cols int)
	normActHalf                                            [actCount]func(y, x, n, gate unsafe.Pointer, rows, cols int)
	normActSumHalf                                         [actCount]func(sum, x, n unsafe.Pointer, rows, cols int)
	normActGradSumsHalf                                    [actCount]func(db, dg, x, dy, n unsafe.Pointer, rows, cols int)
	normActGradInputHalf                                   [actCount]func(dx, x, dy, n, k1, k0 unsafe.Pointer, rows, cols int)
	normActGradInputFrom                                   [actCount]func(dx, x, dy, n, k1, k0 unsafe.Pointer, rows, cols int)
	normActSlopeHalf                                       [actCount]func(y, slope, x, n unsafe.Pointer, rows, cols int)
	slopeSumsHalf                                          func(db, dg, x, dy, slope, mean unsafe.Pointer, rows, cols int)
	gateGradHalf                                           func(y, m, sums, x, da, slope, mean, gate unsafe.Pointer, rows, cols int)
	biasActHalf                                            [actCount]func(sum, y, x, bias unsafe.Pointer, ldy, rows, cols int)
	copyLinesHalf                                          func(ring, to, x unsafe.Pointer, first, count, pixels, xstep, xrow, ahead int)
	normLinesHalf                                          [actCount]func(ring, to, x, scale, shift unsafe.Pointer, first, count, pixels, xstep, xrow, ahead int)
	lines3x1Half, lines3x2Half, lines5x1Half, lines5x2Half linesFunc

	depthwise                                                                                      func(y, x, w, taps unsafe.Pointer, tapCount, xstep, ystep, n, cols int)
	depthwise3x1, depthwise3x2, depthwise5x1, depthwise5x2                                         func(y, x, w, taps unsafe.Pointer, tapCount, ystep, n, cols int)
	depthwiseGradWeight                                                                            func(dw, x, dy, taps unsafe.Pointer, tapCount, xstep, dystep, n, cols int)
	depthwiseGradWeight3x1, depthwiseGradWeight3x2, depthwiseGradWeight5x1, depthwiseGradWeight5x2 func(dw, x, dy, taps unsafe.Pointer, tapCount, n, cols int)

	copyLines                              func(ring, to, x unsafe.Pointer, first, count, pixels, xstep, xrow, ahead int)
	normLines                              [actCount]func(ring, to, x, scale, shift unsafe.Pointer, first, count, pixels, xstep, xrow, ahead int)
	lines3x1, lines3x2, lines5x1, lines5x2 linesFunc

	add      func(y, x, z unsafe.Pointer, n int)
	scaleAdd func(y, x, z unsafe.Pointer, n int, s float32)
	scale    func(y, x unsafe.Pointer, n int, s float32)
	average  func(y, x unsafe.Pointer, n int, s float32)
	exp      func(y, x unsafe.Pointer, n int, top float32)
	rmsProp  func(w, g, ms, buf, rule unsafe.Pointer, n int)
	sgd      func(w, g, buf, rule unsafe.Pointer, n int)
	adam     func(w, g, m, v, rule unsafe.Pointer, n int)
}

// gemmFunc is a product with a panel: GEMM in c/gemm.c.
type gemmFunc func(c, a, b unsafe.Pointer, m, k, ars, acs, ldc, cols, how int, stats unsafe.Pointer, sumsAt int, ahead unsafe.Pointer, aheadStep int)

// linesFunc is a depthwise convolution of lines: LINES in c/lines.c. The last four
// arguments are the kernel's own.
type linesFunc func(y, ring, from, w unsafe.Pointer, first, count, top, height, pixels, ystep, yrow, left, stream int, stats unsafe.Pointer, sumsAt int, weights unsafe.Pointer, rows, meets, skip int)
