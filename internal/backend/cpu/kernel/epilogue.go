package kernel

// The epilogues end a folded convolution while its results are in a cache. They
// work on x [rows,cols] from column c on; row r of y begins at r*ldy, so that y
// may be some of a map's channels.

// biasActGeneric: y[r*ldy+c] = act(x[r,c] + bias[c]).
func biasActGeneric(y []float32, ldy int, x, bias []float32, act Act, cols, c int) {
	for r := range len(x) / cols {
		row, dst := x[r*cols:], y[r*ldy:]
		for j := c; j < cols; j++ {
			dst[j] = activate(act, row[j]+bias[j])
		}
	}
}

// biasActSumGeneric is biasActGeneric, and sum[c] += sum over r of y[r*ldy+c].
func biasActSumGeneric(sum, y []float32, ldy int, x, bias []float32, act Act, cols, c int) {
	for r := range len(x) / cols {
		row, dst := x[r*cols:], y[r*ldy:]
		for j := c; j < cols; j++ {
			v := activate(act, row[j]+bias[j])
			dst[j] = v
			sum[j] += v
		}
	}
}
