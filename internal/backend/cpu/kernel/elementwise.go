package kernel

import (
	"math"
	"unsafe"
)

// The kernels below work on flat arrays of one length.

// Add is addGeneric.
func (s *Set) Add(y, a, b []float32) {
	if s.c == nil {
		addGeneric(y, a, b)
		return
	}
	a = a[:len(y)]
	b = b[:len(y)]
	for at := 0; at < len(y); at += callValues {
		n := min(callValues, len(y)-at)
		s.c.add(p(y[at:]), p(a[at:]), p(b[at:]), n)
	}
}

// addGeneric: y = a + b.
func addGeneric(y, a, b []float32) {
	for i := range y {
		y[i] = a[i] + b[i]
	}
}

// ScaleAdd is scaleAddGeneric.
func (s *Set) ScaleAdd(y, a, b []float32, by float32) {
	if s.c == nil {
		scaleAddGeneric(y, a, b, by)
		return
	}
	a = a[:len(y)]
	b = b[:len(y)]
	for at := 0; at < len(y); at += callValues {
		n := min(callValues, len(y)-at)
		s.c.scaleAdd(p(y[at:]), p(a[at:]), p(b[at:]), n, by)
	}
}

// scaleAddGeneric: y = s*a + b.
func scaleAddGeneric(y, a, b []float32, s float32) {
	for i := range y {
		y[i] = s*a[i] + b[i]
	}
}

// Scale is scaleGeneric.
func (s *Set) Scale(y, a []float32, by float32) {
	if s.c == nil {
		scaleGeneric(y, a, by)
		return
	}
	a = a[:len(y)]
	for at := 0; at < len(y); at += callValues {
		n := min(callValues, len(y)-at)
		s.c.scale(p(y[at:]), p(a[at:]), n, by)
	}
}

// scaleGeneric: y = s*a.
func scaleGeneric(y, a []float32, s float32) {
	for i := range y {
		y[i] = s * a[i]
	}
}

// Average is averageGeneric.
func (s *Set) Average(y, x []float32, by float32) {
	if s.c == nil {
		averageGeneric(y, x, by)
		return
	}
	x = x[:len(y)]
	for at := 0; at < len(y); at += callValues {
		n := min(callValues, len(y)-at)
		s.c.average(p(y[at:]), p(x[at:]), n, by)
	}
}

// averageGeneric: y = x + s*(y-x).
func averageGeneric(y, x []float32, s float32) {
	for i := range y {
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

// RMSProp is rmsPropGeneric.
func (s *Set) RMSProp(w, g, ms, buf []float32, r *RMSPropRule) {
	if s.c == nil {
		rmsPropGeneric(w, g, ms, buf, r)
		return
	}
	g = g[:len(w)]
	ms = ms[:len(w)]
	buf = buf[:len(w)]
	for at := 0; at < len(w); at += callValues {
		n := min(callValues, len(w)-at)
		s.c.rmsProp(p(w[at:]), p(g[at:]), p(ms[at:]), p(buf[at:]), unsafe.Pointer(r), n)
	}
}

// rmsPropGeneric is backend.RMSProp.
func rmsPropGeneric(w, g, ms, buf []float32, r *RMSPropRule) {
	for i := range w {
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

// SGD is sgdGeneric.
func (s *Set) SGD(w, g, buf []float32, r *SGDRule) {
	if s.c == nil {
		sgdGeneric(w, g, buf, r)
		return
	}
	g = g[:len(w)]
	buf = buf[:len(w)]
	for at := 0; at < len(w); at += callValues {
		n := min(callValues, len(w)-at)
		s.c.sgd(p(w[at:]), p(g[at:]), p(buf[at:]), unsafe.Pointer(r), n)
	}
}

// sgdGeneric is backend.SGD.
func sgdGeneric(w, g, buf []float32, r *SGDRule) {
	for i := range w {
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

// Adam is adamGeneric.
func (s *Set) Adam(w, g, m, v []float32, r *AdamRule) {
	if s.c == nil {
		adamGeneric(w, g, m, v, r)
		return
	}
	g = g[:len(w)]
	m = m[:len(w)]
	v = v[:len(w)]
	for at := 0; at < len(w); at += callValues {
		n := min(callValues, len(w)-at)
		s.c.adam(p(w[at:]), p(g[at:]), p(m[at:]), p(v[at:]), unsafe.Pointer(r), n)
	}
}

// adamGeneric is backend.Adam.
func adamGeneric(w, g, m, v []float32, r *AdamRule) {
	for i := range w {
		d := r.Factor*g[i] + r.L2*w[i]
		m[i] = r.Beta1*m[i] + r.Fresh1*d
		v[i] = r.Beta2*v[i] + r.Fresh2*(d*d)
		w[i] = r.Keep*w[i] - r.LR*r.Correct1*m[i]/(float32(math.Sqrt(float64(v[i])))*r.Correct2+r.Eps)
	}
}
