package kernel

import "unsafe"

// Tap is one weight of a depthwise filter as a run of pixels meets it: X is the
// offset of its input value from the run's first one, W that of its weight.
type Tap struct{ X, W int }

// Depthwise is depthwiseGeneric. A row that is not 0 says that the taps come in rows of
// that many, which meet neighbouring pixels and weights, cols values apart: there are
// faster kernels for some.
func (s *Set) Depthwise(y []float32, ystep int, x []float32, x0, xstep int, w []float32, taps []Tap, row, n, cols int) {
	if s.c == nil || n == 0 {
		depthwiseGeneric(y, ystep, x, x0, xstep, w, taps, n, cols)
		return
	}
	_ = y[(n-1)*ystep+cols-1]
	run, pt, count := s.c.inRows(row, xstep, cols), unsafe.Pointer(unsafe.SliceData(taps)), len(taps)
	most := callPixels(count, cols)
	for at := 0; at < n; at += most {
		py, px := p(y[at*ystep:]), unsafe.Add(p(x), 4*(x0+at*xstep)) // taps may begin before x0
		if pixels := min(most, n-at); run != nil {
			run(py, px, p(w), pt, count, ystep, pixels, cols)
		} else {
			s.c.depthwise(py, px, p(w), pt, count, xstep, ystep, pixels, cols)
		}
	}
}

// callPixels is how many pixels a call of assembly sums, for a number of taps.
func callPixels(taps, cols int) int {
	const block = 14 // what the kernels do at once
	return max(block, callProducts/(max(1, taps)*cols)/block*block)
}

// inRows is the kernel for rows of taps at a stride; nil if there is none.
func (k *kernels) inRows(row, xstep, cols int) func(y, x, w, taps unsafe.Pointer, tapCount, ystep, n, cols int) {
	switch {
	case row == 3 && xstep == cols:
		return k.depthwise3x1
	case row == 3 && xstep == 2*cols:
		return k.depthwise3x2
	case row == 5 && xstep == cols:
		return k.depthwise5x1
	case row == 5 && xstep == 2*cols:
		return k.depthwise5x2
	}
	return nil
}

// depthwiseGeneric computes n pixels of a depthwise convolution, or of its
// gradient with respect to the input:
//
//	y[p*ystep+c] = sum over taps of x[x0+p*xstep+tap.X+c] * w[tap.W+c]
//
// for p in 0..n and the channels c in 0..cols.
func depthwiseGeneric(y []float32, ystep int, x []float32, x0, xstep int, w []float32, taps []Tap, n, cols int) {
	for p := range n {
		for j := range cols {
			var sum float32
			for _, t := range taps {
				sum += x[x0+p*xstep+t.X+j] * w[t.W+j]
			}
			y[p*ystep+j] = sum
		}
	}
}

// DepthwiseGradWeight is depthwiseGradWeightGeneric; row is Depthwise's.
func (s *Set) DepthwiseGradWeight(dw []float32, x []float32, x0, xstep int, dy []float32, dystep int, taps []Tap, row, n, cols int) {
	if s.c == nil || n == 0 {
		depthwiseGradWeightGeneric(dw, x, x0, xstep, dy, dystep, taps, n, cols)
		return
	}
	_ = dy[(n-1)*dystep+cols-1]
	for _, t := range taps {
		_ = dw[t.W+cols-1]
	}
	pt, count := unsafe.Pointer(unsafe.SliceData(taps)), len(taps)
	run := s.c.gradInRows(row, xstep, cols)
	if dystep != cols {
		run = nil
	}
	most := callPixels(count, cols)
	for at := 0; at < n; at += most {
		px, py := unsafe.Add(p(x), 4*(x0+at*xstep)), p(dy[at*dystep:])
		if pixels := min(most, n-at); run != nil {
			run(p(dw), px, py, pt, count, pixels, cols)
		} else {
			s.c.depthwiseGradWeight(p(dw), px, py, pt, count, xstep, dystep, pixels, cols)
		}
	}
}

// gradInRows is inRows of the weights' gradient.
func (k *kernels) gradInRows(row, xstep, cols int) func(dw, x, dy, taps unsafe.Pointer, tapCount, n, cols int) {
	switch {
	case row == 3 && xstep == cols:
		return k.depthwiseGradWeight3x1
	case row == 3 && xstep == 2*cols:
		return k.depthwiseGradWeight3x2
	case row == 5 && xstep == cols:
		return k.depthwiseGradWeight5x1
	case row == 5 && xstep == 2*cols:
		return k.depthwiseGradWeight5x2
	}
	return nil
}

// depthwiseGradWeightGeneric adds what n pixels contribute to the gradient of a
// depthwise filter:
//
//	dw[tap.W+c] += sum over p in 0..n of x[x0+p*xstep+tap.X+c] * dy[p*dystep+c]
func depthwiseGradWeightGeneric(dw []float32, x []float32, x0, xstep int, dy []float32, dystep int, taps []Tap, n, cols int) {
	for _, t := range taps {
		for j := range cols {
			var sum float32
			for p := range n {
				sum += x[x0+p*xstep+t.X+j] * dy[p*dystep+j]
			}
			dw[t.W+j] += sum
		}
	}
}
