// Package kernel holds the inner loops of the CPU backend: slices in, slices
// out, one thread. Every kernel has a plain Go definition, the function whose
// name ends in Generic, and faster variants that give the same values up to
// rounding. A Set is one complete choice of variants.
package kernel

//go:generate go run generate.go

import (
	"fmt"
	"strings"
)

// Set is the kernels of one instruction set. Every function is documented at
// its Generic definition.
type Set struct {
	Name string // "avx512", "avx2", "generic"

	Peak func(c []float32, k int) (flops int) // c holds PeakValues

	tiles    []tile // widest first
	packRows func(dst, src []float32, rows, stride, cols, n int)

	ColumnSum           func(sum, x []float32, cols, c int)
	ColumnMoments       func(sum, squares, x, pivot []float32, cols, c int)
	ColumnDot           func(sum, x, y []float32, cols, c int)
	MulColumns          func(y, x, s []float32, cols, c int)
	MulAddColumns       func(y, x, s, b []float32, cols, c int)
	NormAct             func(y, x []float32, n *Norm, act Act, cols, c int)
	NormActSum          func(sum, x []float32, n *Norm, act Act, cols, c int)
	NormActGradSums     func(db, dg, x, dy []float32, n *Norm, act Act, cols, c int)
	NormActGradInput    func(dx, x, dy []float32, n *Norm, k1, k0 []float32, act Act, cols, c int)
	NormActSlope        func(y, slope, x []float32, n *Norm, act Act, cols, c int)
	SlopeSums           func(db, dg, x, dy, slope, mean []float32, cols, c int)
	GateGrad            func(a, sums, x, da, slope, mean, gate []float32, cols, c int)
	Exp                 func(y, x []float32, top float32, i int)
	BiasAct             func(sum, y []float32, ldy int, x, bias []float32, act Act, cols, c int)
	Gather              func(y []float32, ldy int, x []float32, step, n, size int)
	Depthwise           func(y []float32, ystep int, x []float32, x0, xstep int, w []float32, taps []Tap, row, n, cols, c int)
	DepthwiseGradWeight func(dw []float32, x []float32, x0, xstep int, dy []float32, dystep int, taps []Tap, row, n, cols, c int)
	Add                 func(y, a, b []float32, i int)
	ScaleAdd            func(y, a, b []float32, s float32, i int)
	Scale               func(y, a []float32, s float32, i int)
	RMSProp             func(w, g, ms, buf []float32, r *RMSPropRule, i int)
	SGD                 func(w, g, buf []float32, r *SGDRule, i int)
	Adam                func(w, g, m, v []float32, r *AdamRule, i int)
	Average             func(y, x []float32, s float32, i int)
}

var generic = Set{
	Name:                "generic",
	Peak:                peakGeneric,
	tiles:               []tile{{4, 8, tileGeneric}},
	packRows:            packRowsGeneric,
	ColumnSum:           columnSumGeneric,
	ColumnMoments:       columnMomentsGeneric,
	ColumnDot:           columnDotGeneric,
	MulColumns:          mulColumnsGeneric,
	MulAddColumns:       mulAddColumnsGeneric,
	NormAct:             normActGeneric,
	NormActSum:          normActSumGeneric,
	NormActGradSums:     normActGradSumsGeneric,
	NormActGradInput:    normActGradInputGeneric,
	NormActSlope:        normActSlopeGeneric,
	SlopeSums:           slopeSumsGeneric,
	GateGrad:            gateGradGeneric,
	Exp:                 expGeneric,
	BiasAct:             biasActGeneric,
	Gather:              gatherGeneric,
	Depthwise:           depthwiseGeneric,
	DepthwiseGradWeight: depthwiseGradWeightGeneric,
	Add:                 addGeneric,
	ScaleAdd:            scaleAddGeneric,
	Scale:               scaleGeneric,
	RMSProp:             rmsPropGeneric,
	SGD:                 sgdGeneric,
	Adam:                adamGeneric,
	Average:             averageGeneric,
}

// Available returns the sets this build has and this CPU can run, the fastest
// first; the last is always "generic".
func Available() []*Set { return append(simdSets(), &generic) }

// Find returns the set of a name, or the fastest one for "".
func Find(name string) (*Set, error) {
	sets := Available()
	if name == "" {
		return sets[0], nil
	}
	names := make([]string, len(sets))
	for i, s := range sets {
		if s.Name == name {
			return s, nil
		}
		names[i] = s.Name
	}
	return nil, fmt.Errorf("kernel: no kernel set %q on this CPU and build (there are: %s)", name, strings.Join(names, ", "))
}
