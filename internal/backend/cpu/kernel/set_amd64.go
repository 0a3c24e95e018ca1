//go:build goexperiment.simd

package kernel

import "simd/archsimd"

// Compiled is whether this build holds SIMD kernels at all; without them the
// network runs many times slower.
const Compiled = true

var avx512 = Set{
	Name: "avx512",
	Peak: peakAVX512,
	tiles: []tile{
		{3, 48, tile3x3AVX512},
		{4, 32, tile4x2AVX512},
		{6, 16, tile6x1AVX512},
	},
	packRows:            packRowsAVX512,
	ColumnSum:           columnSumAVX512,
	ColumnMoments:       columnMomentsAVX512,
	ColumnDot:           columnDotAVX512,
	MulColumns:          mulColumnsAVX512,
	MulAddColumns:       mulAddColumnsAVX512,
	NormAct:             normActAVX512,
	NormActSum:          normActSumAVX512,
	NormActGradSums:     normActGradSumsAVX512,
	NormActGradInput:    normActGradInputAVX512,
	NormActSlope:        normActSlopeAVX512,
	SlopeSums:           slopeSumsAVX512,
	GateGrad:            gateGradAVX512,
	Exp:                 expAVX512,
	BiasAct:             biasActAVX512,
	Gather:              gatherAVX512,
	Depthwise:           depthwiseAVX512,
	DepthwiseGradWeight: depthwiseGradWeightAVX512,
	Add:                 addAVX512,
	ScaleAdd:            scaleAddAVX512,
	Scale:               scaleAVX512,
	RMSProp:             rmsPropAVX512,
	SGD:                 sgdAVX512,
	Adam:                adamAVX512,
	Average:             averageAVX512,
}

var avx2 = Set{
	Name: "avx2",
	Peak: peakAVX2,
	tiles: []tile{
		{3, 24, tile3x3AVX2},
		{4, 16, tile4x2AVX2},
		{6, 8, tile6x1AVX2},
	},
	packRows:            packRowsAVX2,
	ColumnSum:           columnSumAVX2,
	ColumnMoments:       columnMomentsAVX2,
	ColumnDot:           columnDotAVX2,
	MulColumns:          mulColumnsAVX2,
	MulAddColumns:       mulAddColumnsAVX2,
	NormAct:             normActAVX2,
	NormActSum:          normActSumAVX2,
	NormActGradSums:     normActGradSumsAVX2,
	NormActGradInput:    normActGradInputAVX2,
	NormActSlope:        normActSlopeAVX2,
	SlopeSums:           slopeSumsAVX2,
	GateGrad:            gateGradAVX2,
	Exp:                 expAVX2,
	BiasAct:             biasActAVX2,
	Gather:              gatherAVX2,
	Depthwise:           depthwiseAVX2,
	DepthwiseGradWeight: depthwiseGradWeightAVX2,
	Add:                 addAVX2,
	ScaleAdd:            scaleAddAVX2,
	Scale:               scaleAVX2,
	RMSProp:             rmsPropAVX2,
	SGD:                 sgdAVX2,
	Adam:                adamAVX2,
	Average:             averageAVX2,
}

// Features lists the CPU features the kernels look at.
func Features() []string {
	var names []string
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"avx2", archsimd.X86.AVX2()},
		{"fma", archsimd.X86.FMA()},
		{"avx512", archsimd.X86.AVX512()},
	} {
		if f.has {
			names = append(names, f.name)
		}
	}
	return names
}

func simdSets() []*Set {
	var sets []*Set
	if archsimd.X86.AVX512() {
		sets = append(sets, &avx512)
	}
	if archsimd.X86.AVX2() && archsimd.X86.FMA() {
		sets = append(sets, &avx2)
	}
	return sets
}
