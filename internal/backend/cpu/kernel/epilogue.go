package kernel

// BiasAct is biasActGeneric.
func (s *Set) BiasAct(sum, y []float32, ldy int, x, bias []float32, act Act, cols int) {
	if s.c == nil {
		biasActGeneric(sum, y, ldy, x, bias, act, cols)
		return
	}
	rows := len(x) / cols
	if rows == 0 {
		return
	}
	_, _ = y[(rows-1)*ldy+cols-1], bias[cols-1]
	if sum != nil {
		_ = sum[cols-1]
	}
	step := CallRows(cols)
	for r := 0; r < rows; r += step {
		s.c.biasAct[act](p(sum), p(y[r*ldy:]), p(x[r*cols:]), p(bias), ldy, min(step, rows-r), cols)
	}
}

// biasActGeneric ends a folded convolution while its results x [rows,cols] are in
// a cache. Row r of y begins at r*ldy, so that y may be some of
// a map's channels:
//
//	y[r*ldy+c] = act(x[r,c] + bias[c])
//
// and, unless sum is nil, sum[c] += sum over r of y[r*ldy+c].
func biasActGeneric(sum, y []float32, ldy int, x, bias []float32, act Act, cols int) {
	for j := range cols {
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
