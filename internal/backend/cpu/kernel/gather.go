package kernel

// Gather is gatherGeneric.
func (s *Set) Gather(y []float32, ldy int, x []float32, step, n, size int) {
	if s.c == nil || n == 0 || size == 0 {
		gatherGeneric(y, ldy, x, step, n, size)
		return
	}
	_, _ = y[(n-1)*ldy+size-1], x[(n-1)*step+size-1]
	most := max(1, callValues/size)
	for r := 0; r < n; r += most {
		s.c.gather(p(y[r*ldy:]), p(x[r*step:]), ldy, step, min(most, n-r), size)
	}
}

// gatherGeneric copies n runs of size values, which begin step apart in x and ldy
// apart in y: one row of the input patches of neighbouring pixels.
//
//	y[p*ldy+i] = x[p*step+i] for p in 0..n, i in 0..size
func gatherGeneric(y []float32, ldy int, x []float32, step, n, size int) {
	for p := range n {
		copy(y[p*ldy:][:size], x[p*step:])
	}
}
