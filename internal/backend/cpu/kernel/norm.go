package kernel

import (
	"math"
	"unsafe"
)

// Norm is a batch normalisation, one value a channel, ready to apply:
// z = x*Scale + Shift.
type Norm struct {
	Scale, Shift []float32
	Mean         []float32 // what the backward pass subtracts: xhat*std = x - Mean
}

// Act selects the activation inside a kernel.
type Act uint8

// The activations.
const (
	Identity Act = iota
	Swish
	ReLU
	ReLU6
	Sigmoid
	HardSwish
	HardSigmoid

	actCount = iota // how many there are
)

// The kernels below work on x [rows,cols].

// ColumnSum is columnSumGeneric.
func (s *Set) ColumnSum(sum, x []float32, cols int) {
	if s.c == nil {
		columnSumGeneric(sum, x, cols)
		return
	}
	_ = sum[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.columnSum(p(sum), p(x[at:]), rows, cols)
	}
}

// columnSumGeneric: sum[c] += sum over r of x[r,c].
func columnSumGeneric(sum, x []float32, cols int) {
	for ; len(x) > 0; x = x[cols:] {
		for j := range cols {
			sum[j] += x[j]
		}
	}
}

// ColumnMoments is columnMomentsGeneric.
func (s *Set) ColumnMoments(sum, squares, x, pivot []float32, cols int) {
	if s.c == nil {
		columnMomentsGeneric(sum, squares, x, pivot, cols)
		return
	}
	_, _, _ = sum[cols-1], squares[cols-1], pivot[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.columnMoments(p(sum), p(squares), p(x[at:]), p(pivot), rows, cols)
	}
}

// columnMomentsGeneric: with d = x[r,c]-pivot[c], sum[c] += sum over r of d,
// squares[c] += sum over r of d*d. With a pivot among the values nothing cancels.
func columnMomentsGeneric(sum, squares, x, pivot []float32, cols int) {
	for ; len(x) > 0; x = x[cols:] {
		for j := range cols {
			d := x[j] - pivot[j]
			sum[j] += d
			squares[j] += d * d
		}
	}
}

// ColumnDot is columnDotGeneric.
func (s *Set) ColumnDot(sum, x, y []float32, cols int) {
	if s.c == nil {
		columnDotGeneric(sum, x, y, cols)
		return
	}
	y = y[:len(x)]
	_ = sum[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.columnDot(p(sum), p(x[at:]), p(y[at:]), rows, cols)
	}
}

// columnDotGeneric: sum[c] += sum over r of x[r,c]*y[r,c].
func columnDotGeneric(sum, x, y []float32, cols int) {
	for ; len(x) > 0; x, y = x[cols:], y[cols:] {
		for j := range cols {
			sum[j] += x[j] * y[j]
		}
	}
}

// MulColumns is mulColumnsGeneric.
func (s *Set) MulColumns(y, x, scale []float32, cols int) {
	if s.c == nil {
		mulColumnsGeneric(y, x, scale, cols)
		return
	}
	y = y[:len(x)]
	_ = scale[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.mulColumns(p(y[at:]), p(x[at:]), p(scale), rows, cols)
	}
}

// mulColumnsGeneric: y[r,c] = x[r,c]*s[c].
func mulColumnsGeneric(y, x, s []float32, cols int) {
	for ; len(x) > 0; x, y = x[cols:], y[cols:] {
		for j := range cols {
			y[j] = x[j] * s[j]
		}
	}
}

// MulAddColumns is mulAddColumnsGeneric.
func (s *Set) MulAddColumns(y, x, scale, b []float32, cols int) {
	if s.c == nil {
		mulAddColumnsGeneric(y, x, scale, b, cols)
		return
	}
	y = y[:len(x)]
	_, _ = scale[cols-1], b[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.mulAddColumns(p(y[at:]), p(x[at:]), p(scale), p(b), rows, cols)
	}
}

// mulAddColumnsGeneric: y[r,c] = x[r,c]*s[c] + b[c].
func mulAddColumnsGeneric(y, x, s, b []float32, cols int) {
	for ; len(x) > 0; x, y = x[cols:], y[cols:] {
		for j := range cols {
			y[j] = x[j]*s[j] + b[j]
		}
	}
}

// NormAct is normActGeneric.
func (s *Set) NormAct(y, x []float32, n *Norm, act Act, cols int) {
	if s.c == nil {
		normActGeneric(y, x, n, act, cols)
		return
	}
	y = y[:len(x)]
	_, _ = n.Scale[cols-1], n.Shift[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.normAct[act](p(y[at:]), p(x[at:]), unsafe.Pointer(n), rows, cols)
	}
}

// normActGeneric: y[r,c] = act(x[r,c]*scale[c] + shift[c]).
func normActGeneric(y, x []float32, n *Norm, act Act, cols int) {
	for ; len(x) > 0; x, y = x[cols:], y[cols:] {
		for j := range cols {
			y[j] = activate(act, x[j]*n.Scale[j]+n.Shift[j])
		}
	}
}

// NormActSum is normActSumGeneric.
func (s *Set) NormActSum(sum, x []float32, n *Norm, act Act, cols int) {
	if s.c == nil {
		normActSumGeneric(sum, x, n, act, cols)
		return
	}
	_, _, _ = sum[cols-1], n.Scale[cols-1], n.Shift[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.normActSum[act](p(sum), p(x[at:]), unsafe.Pointer(n), rows, cols)
	}
}

// normActSumGeneric: sum[c] += sum over r of act(x[r,c]*scale[c] + shift[c]).
func normActSumGeneric(sum, x []float32, n *Norm, act Act, cols int) {
	for ; len(x) > 0; x = x[cols:] {
		for j := range cols {
			sum[j] += activate(act, x[j]*n.Scale[j]+n.Shift[j])
		}
	}
}

// NormActGradSums is normActGradSumsGeneric.
func (s *Set) NormActGradSums(db, dg, x, dy []float32, n *Norm, act Act, cols int) {
	if s.c == nil {
		normActGradSumsGeneric(db, dg, x, dy, n, act, cols)
		return
	}
	dy = dy[:len(x)]
	_, _, _, _, _ = db[cols-1], dg[cols-1], n.Scale[cols-1], n.Shift[cols-1], n.Mean[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.normActGradSums[act](p(db), p(dg), p(x[at:]), p(dy[at:]), unsafe.Pointer(n), rows, cols)
	}
}

// normActGradSumsGeneric: with dz = dy*act'(x*scale+shift),
// db[c] += sum over r of dz, dg[c] += sum over r of dz*(x-mean).
func normActGradSumsGeneric(db, dg, x, dy []float32, n *Norm, act Act, cols int) {
	for ; len(x) > 0; x, dy = x[cols:], dy[cols:] {
		for j := range cols {
			dz := dy[j] * derivative(act, x[j]*n.Scale[j]+n.Shift[j])
			db[j] += dz
			dg[j] += dz * (x[j] - n.Mean[j])
		}
	}
}

// NormActGradInput is normActGradInputGeneric.
func (s *Set) NormActGradInput(dx, x, dy []float32, n *Norm, k1, k0 []float32, act Act, cols int) {
	if s.c == nil {
		normActGradInputGeneric(dx, x, dy, n, k1, k0, act, cols)
		return
	}
	dy = dy[:len(x)]
	dx = dx[:len(x)]
	_, _, _, _, _ = k1[cols-1], k0[cols-1], n.Scale[cols-1], n.Shift[cols-1], n.Mean[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.normActGradInput[act](p(dx[at:]), p(x[at:]), p(dy[at:]), unsafe.Pointer(n), p(k1), p(k0), rows, cols)
	}
}

// normActGradInputGeneric: dx = scale*dz + k1[c]*(x-mean) + k0[c], with dz as
// in normActGradSumsGeneric.
func normActGradInputGeneric(dx, x, dy []float32, n *Norm, k1, k0 []float32, act Act, cols int) {
	for ; len(x) > 0; x, dy, dx = x[cols:], dy[cols:], dx[cols:] {
		for j := range cols {
			dz := dy[j] * derivative(act, x[j]*n.Scale[j]+n.Shift[j])
			dx[j] = n.Scale[j]*dz + (k1[j]*(x[j]-n.Mean[j]) + k0[j])
		}
	}
}

// NormActSlope is normActSlopeGeneric.
func (s *Set) NormActSlope(y, slope, x []float32, n *Norm, act Act, cols int) {
	if s.c == nil {
		normActSlopeGeneric(y, slope, x, n, act, cols)
		return
	}
	y = y[:len(x)]
	slope = slope[:len(x)]
	_, _ = n.Scale[cols-1], n.Shift[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.normActSlope[act](p(y[at:]), p(slope[at:]), p(x[at:]), unsafe.Pointer(n), rows, cols)
	}
}

// normActSlopeGeneric: with z = x[r,c]*scale[c] + shift[c], y[r,c] = act(z) and
// slope[r,c] = act'(z).
func normActSlopeGeneric(y, slope, x []float32, n *Norm, act Act, cols int) {
	for ; len(x) > 0; x, y, slope = x[cols:], y[cols:], slope[cols:] {
		for j := range cols {
			z := x[j]*n.Scale[j] + n.Shift[j]
			y[j], slope[j] = activate(act, z), derivative(act, z)
		}
	}
}

// SlopeSums is slopeSumsGeneric.
func (s *Set) SlopeSums(db, dg, x, dy, slope, mean []float32, cols int) {
	if s.c == nil {
		slopeSumsGeneric(db, dg, x, dy, slope, mean, cols)
		return
	}
	dy = dy[:len(x)]
	slope = slope[:len(x)]
	_, _, _ = db[cols-1], dg[cols-1], mean[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.slopeSums(p(db), p(dg), p(x[at:]), p(dy[at:]), p(slope[at:]), p(mean), rows, cols)
	}
}

// slopeSumsGeneric is normActGradSumsGeneric from the slopes.
func slopeSumsGeneric(db, dg, x, dy, slope, mean []float32, cols int) {
	for ; len(x) > 0; x, dy, slope = x[cols:], dy[cols:], slope[cols:] {
		for j := range cols {
			dz := dy[j] * slope[j]
			db[j] += dz
			dg[j] += dz * (x[j] - mean[j])
		}
	}
}

// GateGrad is gateGradGeneric.
func (s *Set) GateGrad(a, sums, x, da, slope, mean, gate []float32, cols int) {
	if s.c == nil {
		gateGradGeneric(a, sums, x, da, slope, mean, gate, cols)
		return
	}
	a = a[:len(x)]
	da = da[:len(x)]
	slope = slope[:len(x)]
	_, _, _ = sums[5*cols-1], mean[cols-1], gate[cols-1]
	step := callRows(cols)
	for at := 0; at < len(x); at += step {
		rows := min(step, len(x)-at) / cols
		s.c.gateGrad(p(a[at:]), p(a[at:]), p(sums), p(x[at:]), p(da[at:]), p(slope[at:]), p(mean), p(gate), rows, cols)
	}
}

// gateGradGeneric multiplies a by gate[c] and sums what the gradients of the gate
// and of the normalisation are made of, given a and its slope from
// normActSlopeGeneric and the gradient da of the product: sums [5,cols] gains,
// over the rows,
//
//	a*da, da*slope, slope, da*slope*(x-mean), slope*(x-mean)
func gateGradGeneric(a, sums, x, da, slope, mean, gate []float32, cols int) {
	for ; len(x) > 0; x, da, a, slope = x[cols:], da[cols:], a[cols:], slope[cols:] {
		for j := range cols {
			d := x[j] - mean[j]
			sums[j] += a[j] * da[j]
			sums[cols+j] += da[j] * slope[j]
			sums[2*cols+j] += slope[j]
			sums[3*cols+j] += da[j] * slope[j] * d
			sums[4*cols+j] += slope[j] * d
			a[j] *= gate[j]
		}
	}
}

// Exp is expGeneric.
func (s *Set) Exp(y, x []float32, top float32) {
	if s.c == nil {
		expGeneric(y, x, top)
		return
	}
	y = y[:len(x)]
	for at := 0; at < len(x); at += callValues {
		s.c.exp(p(y[at:]), p(x[at:]), min(callValues, len(x)-at), top)
	}
}

// expGeneric: y = e^(x-top), where no x is above top.
func expGeneric(y, x []float32, top float32) {
	for i := range x {
		y[i] = expMinus(top - x[i])
	}
}

// activate is act(z).
func activate(act Act, z float32) float32 {
	switch act {
	case Swish:
		return z * sigmoid(z)
	case ReLU:
		return max(z, 0)
	case ReLU6:
		return min(max(z, 0), 6)
	case Sigmoid:
		return sigmoid(z)
	case HardSwish:
		return z * hardSigmoid(z)
	case HardSigmoid:
		return hardSigmoid(z)
	default:
		return z
	}
}

// derivative is act'(z).
func derivative(act Act, z float32) float32 {
	switch act {
	case Swish:
		s := sigmoid(z)
		return s * (1 + z*(1-s))
	case ReLU:
		if z > 0 {
			return 1
		}
		return 0
	case ReLU6:
		if z > 0 && z < 6 {
			return 1
		}
		return 0
	case Sigmoid:
		s := sigmoid(z)
		return s * (1 - s)
	case HardSwish:
		switch {
		case z <= -3:
			return 0
		case z >= 3:
			return 1
		}
		return z*(1./3) + .5
	case HardSigmoid:
		if z > -3 && z < 3 {
			return 1. / 6
		}
		return 0
	default:
		return 1
	}
}

// hardSigmoid is 1 from 3 on, as 6 times the nearest number to 1/6 is rounded to 1.
func hardSigmoid(z float32) float32 { return min(max(z+3, 0), 6) * (1. / 6) }

func sigmoid(z float32) float32 { return 1 / (1 + expMinus(z)) }

// expMinus is e^-z, to 6e-7 of it for |z| < 8 and 4e-6 for |z| < 50: with
// t = -z*log2(e) it is 2^floor(t) * 2^r, where 0 <= r < 1 and 2^r is a polynomial.
// t is clamped to what normal numbers hold.
func expMinus(z float32) float32 {
	// Clamped before it is cut in two, so that an infinite z gives a number and NaN passes;
	// and so that arm64 does not fuse the product with t - n.
	t := min(max(float32(z*-math.Log2E), -126), 127.999)
	n := float32(math.Floor(float64(t)))
	r := t - n
	p := float32(exp2C5)*r + exp2C4
	p = p*r + exp2C3
	p = p*r + exp2C2
	p = p*r + exp2C1
	p = p*r + 1
	exponent := uint32(int32(n) + 127)
	return p * math.Float32frombits(exponent<<23)
}

// 2^r = 1 + exp2C1*r + ... + exp2C5*r^5 for 0 <= r < 1, to 2.3e-7, by
// interpolation of (2^r-1)/r at Chebyshev's points.
const (
	exp2C1 = 0.69314754
	exp2C2 = 0.2402072
	exp2C3 = 0.055657055
	exp2C4 = 0.0091993874
	exp2C5 = 0.0017883688
)
