package kernel

// biasActGeneric ends a folded convolution while its results x [rows,cols] are in
// a cache, from column c on. Row r of y begins at r*ldy, so that y may be some of
// a map's channels:
//
//	y[r*ldy+c] = act(x[r,c] + bias[c])
//
// and, unless sum is nil, sum[c] += sum over r of y[r*ldy+c].
func biasActGeneric(sum, y []float32, ldy int, x, bias []float32, act Act, cols, c int) {
	for j := c; j < cols; j++ {
		var s float32
		if sum != nil {
			s = sum[j]
		}
		for r := range len(x) / cols {
			v := activate(act, x[r*cols+j]+bias[j])
			y[r*ldy+j] = v
			s += v
		}
		if sum != nil {
			sum[j] = s
		}
	}
}
