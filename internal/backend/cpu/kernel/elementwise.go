package kernel

import "math"

// The kernels below work on flat arrays of one length from index i on.

// addGeneric: y = a + b.
func addGeneric(y, a, b []float32, i int) {
	for ; i < len(y); i++ {
		y[i] = a[i] + b[i]
	}
}

// scaleAddGeneric: y = s*a + b.
func scaleAddGeneric(y, a, b []float32, s float32, i int) {
	for ; i < len(y); i++ {
		y[i] = s*a[i] + b[i]
	}
}

// scaleGeneric: y = s*a.
func scaleGeneric(y, a []float32, s float32, i int) {
	for ; i < len(y); i++ {
		y[i] = s * a[i]
	}
}

// averageGeneric: y = x + s*(y-x).
func averageGeneric(y, x []float32, s float32, i int) {
	for ; i < len(y); i++ {
		y[i] = x[i] + s*(y[i]-x[i])
	}
}

// Rates are what an update rule's step has in common: the gradient it takes is
// d = Factor*g + L2*w, and the weight it changes Keep*w. Correct1 and Correct2
// are Adam's.
type Rates struct {
	LR, Factor, L2, Keep, Correct1, Correct2 float32
}

// RMSPropRule holds the constants of an RMSProp step.
type RMSPropRule struct {
	Rates
	Rho, Momentum, Eps float32
}

// rmsPropGeneric is backend.RMSProp.
func rmsPropGeneric(w, g, ms, buf []float32, r *RMSPropRule, i int) {
	for ; i < len(w); i++ {
		d := r.Factor*g[i] + r.L2*w[i]
		ms[i] = r.Rho*ms[i] + (1-r.Rho)*(d*d)
		buf[i] = r.Momentum*buf[i] + r.LR*d/float32(math.Sqrt(float64(ms[i]+r.Eps)))
		w[i] = r.Keep*w[i] - buf[i]
	}
}

// SGDRule holds the constants of an SGD step.
type SGDRule struct {
	Rates
	Momentum float32
}

// sgdGeneric is backend.SGD.
func sgdGeneric(w, g, buf []float32, r *SGDRule, i int) {
	for ; i < len(w); i++ {
		buf[i] = r.Momentum*buf[i] + (r.Factor*g[i] + r.L2*w[i])
		w[i] = r.Keep*w[i] - r.LR*buf[i]
	}
}

// AdamRule holds the constants of an Adam step.
type AdamRule struct {
	Rates
	Beta1, Fresh1 float32 // Fresh is 1-Beta
	Beta2, Fresh2 float32
	Eps           float32
}

// adamGeneric is backend.Adam.
func adamGeneric(w, g, m, v []float32, r *AdamRule, i int) {
	for ; i < len(w); i++ {
		d := r.Factor*g[i] + r.L2*w[i]
		m[i] = r.Beta1*m[i] + r.Fresh1*d
		v[i] = r.Beta2*v[i] + r.Fresh2*(d*d)
		w[i] = r.Keep*w[i] - r.LR*r.Correct1*m[i]/(float32(math.Sqrt(float64(v[i])))*r.Correct2+r.Eps)
	}
}
