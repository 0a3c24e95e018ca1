package kernel

import "unsafe"

// The kernels below are those of the same name without Half, on maps of bfloat16: what is
// read is widened, what is written narrowed, and the rest is float32.

// AddHalf is addGeneric.
func (s *Set) AddHalf(y, a, b []BF16) {
	if s.c == nil {
		throughFloats(y, func(f []float32) { addGeneric(f, widened(a), widened(b)) })
		return
	}
	a, b = a[:len(y)], b[:len(y)]
	for at := 0; at < len(y); at += callValues {
		s.c.addHalf(hp(y[at:]), hp(a[at:]), hp(b[at:]), min(callValues, len(y)-at))
	}
}

// ScaleAddHalf is scaleAddGeneric.
func (s *Set) ScaleAddHalf(y, a, b []BF16, by float32) {
	if s.c == nil {
		throughFloats(y, func(f []float32) { scaleAddGeneric(f, widened(a), widened(b), by) })
		return
	}
	a, b = a[:len(y)], b[:len(y)]
	for at := 0; at < len(y); at += callValues {
		s.c.scaleAddHalf(hp(y[at:]), hp(a[at:]), hp(b[at:]), min(callValues, len(y)-at), by)
	}
}

// ScaleHalf is scaleGeneric.
func (s *Set) ScaleHalf(y, a []BF16, by float32) {
	if s.c == nil {
		throughFloats(y, func(f []float32) { scaleGeneric(f, widened(a), by) })
		return
	}
	a = a[:len(y)]
	for at := 0; at < len(y); at += callValues {
		s.c.scaleHalf(hp(y[at:]), hp(a[at:]), min(callValues, len(y)-at), by)
	}
}

// MulAddColumnsHalf is mulAddColumnsGeneric; y is float32.
func (s *Set) MulAddColumnsHalf(y []float32, x []BF16, scale, b []float32, cols int) {
	if s.c == nil {
		mulAddColumnsGeneric(y, widened(x), scale, b, cols)
		return
	}
	y = y[:len(x)]
	_, _ = scale[cols-1], b[cols-1]
	eachRows(len(x), cols, func(at, rows int) { s.c.mulAddColumnsHalf(p(y[at:]), hp(x[at:]), p(scale), p(b), rows, cols) })
}

// NormActHalf is normActGeneric times a gate: y[r,c] = act(x[r,c]*scale[c] + shift[c]) * gate[c].
func (s *Set) NormActHalf(y, x []BF16, n *Norm, act Act, gate []float32, cols int) {
	if s.c == nil {
		throughFloats(y[:len(x)], func(f []float32) {
			normActGeneric(f, widened(x), n, act, cols)
			mulColumnsGeneric(f, f, gate, cols)
		})
		return
	}
	y = y[:len(x)]
	_, _, _ = n.Scale[cols-1], n.Shift[cols-1], gate[cols-1]
	eachRows(len(x), cols, func(at, rows int) {
		s.c.normActHalf[act](hp(y[at:]), hp(x[at:]), unsafe.Pointer(n), p(gate), rows, cols)
	})
}

// NormActSumHalf is normActSumGeneric.
func (s *Set) NormActSumHalf(sum []float32, x []BF16, n *Norm, act Act, cols int) {
	if s.c == nil {
		normActSumGeneric(sum, widened(x), n, act, cols)
		return
	}
	_, _, _ = sum[cols-1], n.Scale[cols-1], n.Shift[cols-1]
	eachRows(len(x), cols, func(at, rows int) {
		s.c.normActSumHalf[act](p(sum), hp(x[at:]), unsafe.Pointer(n), rows, cols)
	})
}

// NormActGradSumsHalf is normActGradSumsGeneric.
func (s *Set) NormActGradSumsHalf(db, dg []float32, x, dy []BF16, n *Norm, act Act, cols int) {
	if s.c == nil {
		normActGradSumsGeneric(db, dg, widened(x), widened(dy), n, act, cols)
		return
	}
	dy = dy[:len(x)]
	_, _, _, _, _ = db[cols-1], dg[cols-1], n.Scale[cols-1], n.Shift[cols-1], n.Mean[cols-1]
	eachRows(len(x), cols, func(at, rows int) {
		s.c.normActGradSumsHalf[act](p(db), p(dg), hp(x[at:]), hp(dy[at:]), unsafe.Pointer(n), rows, cols)
	})
}

// NormActGradInputHalf is normActGradInputGeneric.
func (s *Set) NormActGradInputHalf(dx, x, dy []BF16, n *Norm, k1, k0 []float32, act Act, cols int) {
	if s.c == nil {
		throughFloats(dx[:len(x)], func(f []float32) { normActGradInputGeneric(f, widened(x), widened(dy), n, k1, k0, act, cols) })
		return
	}
	dx, dy = dx[:len(x)], dy[:len(x)]
	_, _, _, _, _ = k1[cols-1], k0[cols-1], n.Scale[cols-1], n.Shift[cols-1], n.Mean[cols-1]
	eachRows(len(x), cols, func(at, rows int) {
		s.c.normActGradInputHalf[act](hp(dx[at:]), hp(x[at:]), hp(dy[at:]), unsafe.Pointer(n), p(k1), p(k0), rows, cols)
	})
}

// NormActGradInputFrom is normActGradInputGeneric with x of bfloat16 alone.
func (s *Set) NormActGradInputFrom(dx []float32, x []BF16, dy []float32, n *Norm, k1, k0 []float32, act Act, cols int) {
	if s.c == nil {
		normActGradInputGeneric(dx, widened(x), dy, n, k1, k0, act, cols)
		return
	}
	dx, dy = dx[:len(x)], dy[:len(x)]
	_, _, _, _, _ = k1[cols-1], k0[cols-1], n.Scale[cols-1], n.Shift[cols-1], n.Mean[cols-1]
	eachRows(len(x), cols, func(at, rows int) {
		s.c.normActGradInputFrom[act](p(dx[at:]), hp(x[at:]), p(dy[at:]), unsafe.Pointer(n), p(k1), p(k0), rows, cols)
	})
}

// NormActSlopeHalf is normActSlopeGeneric; y and slope are float32.
func (s *Set) NormActSlopeHalf(y, slope []float32, x []BF16, n *Norm, act Act, cols int) {
	if s.c == nil {
		normActSlopeGeneric(y, slope, widened(x), n, act, cols)
		return
	}
	y, slope = y[:len(x)], slope[:len(x)]
	_, _ = n.Scale[cols-1], n.Shift[cols-1]
	eachRows(len(x), cols, func(at, rows int) {
		s.c.normActSlopeHalf[act](p(y[at:]), p(slope[at:]), hp(x[at:]), unsafe.Pointer(n), rows, cols)
	})
}

// SlopeSumsHalf is slopeSumsGeneric with x of bfloat16 alone.
func (s *Set) SlopeSumsHalf(db, dg []float32, x []BF16, dy, slope, mean []float32, cols int) {
	if s.c == nil {
		slopeSumsGeneric(db, dg, widened(x), dy, slope, mean, cols)
		return
	}
	dy, slope = dy[:len(x)], slope[:len(x)]
	_, _, _ = db[cols-1], dg[cols-1], mean[cols-1]
	eachRows(len(x), cols, func(at, rows int) {
		s.c.slopeSumsHalf(p(db), p(dg), hp(x[at:]), p(dy[at:]), p(slope[at:]), p(mean), rows, cols)
	})
}

// GateGradHalf is gateGradGeneric with what it makes of a written to y.
func (s *Set) GateGradHalf(y []BF16, a, sums []float32, x, da []BF16, slope, mean, gate []float32, cols int) {
	if s.c == nil {
		throughFloats(y[:len(x)], func(f []float32) {
			copy(f, a)
			gateGradGeneric(f, sums, widened(x), widened(da), slope, mean, gate, cols)
		})
		return
	}
	y, a, da, slope = y[:len(x)], a[:len(x)], da[:len(x)], slope[:len(x)]
	_, _, _ = sums[5*cols-1], mean[cols-1], gate[cols-1]
	eachRows(len(x), cols, func(at, rows int) {
		s.c.gateGradHalf(hp(y[at:]), p(a[at:]), p(sums), hp(x[at:]), hp(da[at:]), p(slope[at:]), p(mean), p(gate), rows, cols)
	})
}

// BiasActHalf is biasActGeneric; x is float32.
func (s *Set) BiasActHalf(sum []float32, y []BF16, ldy int, x, bias []float32, act Act, cols int) {
	rows := len(x) / cols
	if rows == 0 {
		return
	}
	_, _ = y[(rows-1)*ldy+cols-1], bias[cols-1]
	if sum != nil {
		_ = sum[cols-1]
	}
	if s.c == nil {
		f := make([]float32, len(x))
		biasActGeneric(sum, f, cols, x, bias, act, cols)
		for r := range rows {
			s.Narrow(y[r*ldy:], f[r*cols:][:cols])
		}
		return
	}
	step := CallRows(cols)
	for r := 0; r < rows; r += step {
		s.c.biasActHalf[act](p(sum), hp(y[r*ldy:]), p(x[r*cols:]), p(bias), ldy, min(step, rows-r), cols)
	}
}

// eachRows cuts n values, rows of cols, into what a call gets.
func eachRows(n, cols int, call func(at, rows int)) {
	step := callRows(cols)
	for at := 0; at < n; at += step {
		call(at, min(step, n-at)/cols)
	}
}

// widened is the values of x, where a definition wants float32.
func widened(x []BF16) []float32 {
	f := make([]float32, len(x))
	for i, h := range x {
		f[i] = h.Widened()
	}
	return f
}

// throughFloats narrows what is written.
func throughFloats(y []BF16, write func([]float32)) {
	f := widened(y)
	write(f)
	for i, v := range f {
		y[i] = Narrowed(v)
	}
}
