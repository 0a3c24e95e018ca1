package kernel

import "math"

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
	ReLU6
	Sigmoid
)

// The kernels below work on x [rows,cols] from column c on; every variant does
// the columns that fill its vectors and leaves the rest to the next narrower.

// columnSumGeneric: sum[c] += sum over r of x[r,c].
func columnSumGeneric(sum, x []float32, cols, c int) {
	for ; len(x) > 0; x = x[cols:] {
		for j := c; j < cols; j++ {
			sum[j] += x[j]
		}
	}
}

// columnSquaresGeneric: sum[c] += sum over r of (x[r,c]-mean[c])^2.
func columnSquaresGeneric(sum, x, mean []float32, cols, c int) {
	for ; len(x) > 0; x = x[cols:] {
		for j := c; j < cols; j++ {
			d := x[j] - mean[j]
			sum[j] += d * d
		}
	}
}

// columnDotGeneric: sum[c] += sum over r of x[r,c]*y[r,c].
func columnDotGeneric(sum, x, y []float32, cols, c int) {
	for ; len(x) > 0; x, y = x[cols:], y[cols:] {
		for j := c; j < cols; j++ {
			sum[j] += x[j] * y[j]
		}
	}
}

// mulColumnsGeneric: y[r,c] = x[r,c]*s[c].
func mulColumnsGeneric(y, x, s []float32, cols, c int) {
	for ; len(x) > 0; x, y = x[cols:], y[cols:] {
		for j := c; j < cols; j++ {
			y[j] = x[j] * s[j]
		}
	}
}

// normActGeneric: y[r,c] = act(x[r,c]*scale[c] + shift[c]).
func normActGeneric(y, x []float32, n *Norm, act Act, cols, c int) {
	for ; len(x) > 0; x, y = x[cols:], y[cols:] {
		for j := c; j < cols; j++ {
			y[j] = activate(act, x[j]*n.Scale[j]+n.Shift[j])
		}
	}
}

// normActGradSumsGeneric: with dz = dy*act'(x*scale+shift),
// db[c] += sum over r of dz, dg[c] += sum over r of dz*(x-mean).
func normActGradSumsGeneric(db, dg, x, dy []float32, n *Norm, act Act, cols, c int) {
	for ; len(x) > 0; x, dy = x[cols:], dy[cols:] {
		for j := c; j < cols; j++ {
			dz := dy[j] * derivative(act, x[j]*n.Scale[j]+n.Shift[j])
			db[j] += dz
			dg[j] += dz * (x[j] - n.Mean[j])
		}
	}
}

// normActGradInputGeneric: dx = scale*dz + k1[c]*(x-mean) + k0[c], with dz as
// in normActGradSumsGeneric.
func normActGradInputGeneric(dx, x, dy []float32, n *Norm, k1, k0 []float32, act Act, cols, c int) {
	for ; len(x) > 0; x, dy, dx = x[cols:], dy[cols:], dx[cols:] {
		for j := c; j < cols; j++ {
			dz := dy[j] * derivative(act, x[j]*n.Scale[j]+n.Shift[j])
			dx[j] = n.Scale[j]*dz + (k1[j]*(x[j]-n.Mean[j]) + k0[j])
		}
	}
}

// activate is act(z).
func activate(act Act, z float32) float32 {
	switch act {
	case Swish:
		return z * sigmoid(z)
	case ReLU6:
		return min(max(z, 0), 6)
	case Sigmoid:
		return sigmoid(z)
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
	case ReLU6:
		if z > 0 && z < 6 {
			return 1
		}
		return 0
	case Sigmoid:
		s := sigmoid(z)
		return s * (1 - s)
	default:
		return 1
	}
}

func sigmoid(z float32) float32 { return 1 / (1 + exp(-z)) }

// exp is e^x to 2 ulp: x = n*ln2 + r with n an integer and |r| <= ln2/2, then
// e^r by a polynomial (Cephes' expf) and 2^n into the exponent bits. Arguments
// are clamped to where the result is a normal number.
func exp(x float32) float32 {
	if x != x {
		return x
	}
	x = min(max(x, expMin), expMax)
	t := x*expLog2e + expMagic
	n := t - expMagic
	r := x - n*expLn2Hi - n*expLn2Lo
	p := float32(expP0)
	p = p*r + expP1
	p = p*r + expP2
	p = p*r + expP3
	p = p*r + expP4
	p = p*r + expP5
	p = p*(r*r) + r + 1
	return math.Float32frombits(math.Float32bits(p) + math.Float32bits(t)<<23)
}

// The constants of exp. Adding expMagic, 1.5*2^23, rounds to an integer that
// then stands in the low bits of the sum.
const (
	expMin   = -87.3
	expMax   = 88.3
	expLog2e = math.Log2E
	expMagic = 12582912
	expLn2Hi = 0.693359375
	expLn2Lo = -2.12194440e-4
	expP0    = 1.9875691500e-4
	expP1    = 1.3981999507e-3
	expP2    = 8.3334519073e-3
	expP3    = 4.1665795894e-2
	expP4    = 1.6666665459e-1
	expP5    = 5.0000001201e-1
)
