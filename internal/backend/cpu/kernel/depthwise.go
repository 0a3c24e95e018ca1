package kernel

// Tap is one weight of a depthwise filter as a run of pixels meets it: X is the
// offset of its input value from the run's first one, W that of its weight.
type Tap struct{ X, W int }

// depthwiseGeneric computes n pixels of a depthwise convolution, or of its
// gradient with respect to the input:
//
//	y[p*ystep+c] = sum over taps of x[x0+p*xstep+tap.X+c] * w[tap.W+c]
//
// for p in 0..n and the channels c..cols. A row that is not 0 says that the taps
// come in rows of that many, which meet neighbouring pixels and weights (cols
// values apart): the vector kernels are faster then.
func depthwiseGeneric(y []float32, ystep int, x []float32, x0, xstep int, w []float32, taps []Tap, _, n, cols, c int) {
	for p := range n {
		for j := c; j < cols; j++ {
			var sum float32
			for _, t := range taps {
				sum += x[x0+p*xstep+t.X+j] * w[t.W+j]
			}
			y[p*ystep+j] = sum
		}
	}
}

// depthwiseGradWeightGeneric adds what n pixels contribute to the gradient of a
// depthwise filter:
//
//	dw[tap.W+c] += sum over p in 0..n of x[x0+p*xstep+tap.X+c] * dy[p*dystep+c]
//
// row is depthwiseGeneric's.
func depthwiseGradWeightGeneric(dw []float32, x []float32, x0, xstep int, dy []float32, dystep int, taps []Tap, _, n, cols, c int) {
	for _, t := range taps {
		for j := c; j < cols; j++ {
			var sum float32
			for p := range n {
				sum += x[x0+p*xstep+t.X+j] * dy[p*dystep+j]
			}
			dw[t.W+j] += sum
		}
	}
}
