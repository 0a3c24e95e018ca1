package kernel

// gatherGeneric copies n runs of size values, which begin step apart in x and ldy
// apart in y: one row of the input patches of neighbouring pixels.
//
//	y[p*ldy+i] = x[p*step+i] for p in 0..n, i in 0..size
func gatherGeneric(y []float32, ldy int, x []float32, step, n, size int) {
	for p := range n {
		copy(y[p*ldy:][:size], x[p*step:])
	}
}
