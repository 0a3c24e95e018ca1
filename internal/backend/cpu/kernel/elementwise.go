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

// RMSPropRule holds the constants of an RMSProp step.
type RMSPropRule struct {
	LR, Decay, Momentum, Eps, WeightDecay float32
}

// rmsPropGeneric is backend.RMSProp.
func rmsPropGeneric(w, g, ms, buf []float32, r *RMSPropRule, i int) {
	for ; i < len(w); i++ {
		d := g[i] + r.WeightDecay*w[i]
		ms[i] = r.Decay*ms[i] + (1-r.Decay)*(d*d)
		buf[i] = r.Momentum*buf[i] + r.LR*d/float32(math.Sqrt(float64(ms[i]+r.Eps)))
		w[i] -= buf[i]
	}
}

// SGDRule holds the constants of an SGD step.
type SGDRule struct {
	LR, Momentum, WeightDecay float32
}

// sgdGeneric is backend.SGD.
func sgdGeneric(w, g, buf []float32, r *SGDRule, i int) {
	for ; i < len(w); i++ {
		buf[i] = r.Momentum*buf[i] + (g[i] + r.WeightDecay*w[i])
		w[i] -= r.LR * buf[i]
	}
}
