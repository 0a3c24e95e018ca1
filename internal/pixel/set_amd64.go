//go:build goexperiment.simd

package pixel

import "simd/archsimd"

var avx512 = Set{
	Name:       "avx512",
	IDCT:       idctAVX512,
	Blend:      blendAVX2,
	Widen:      widenAVX2,
	YCbCr:      yCbCrAVX512,
	LayRow:     layRowAVX512,
	AlongRow:   alongRowAVX512,
	AcrossRows: acrossRowsAVX512,
	Normalize:  normalizeAVX512,
}

var avx2 = Set{
	Name:       "avx2",
	IDCT:       idctAVX2,
	Blend:      blendAVX2,
	Widen:      widenAVX2,
	YCbCr:      yCbCrAVX2,
	LayRow:     layRowAVX2,
	AlongRow:   alongRowAVX2,
	AcrossRows: acrossRowsAVX2,
	Normalize:  normalizeAVX2,
}

func simdSets() []*Set {
	var sets []*Set
	if archsimd.X86.AVX512() && archsimd.X86.AVX512VBMI() {
		sets = append(sets, &avx512)
	}
	if archsimd.X86.AVX2() {
		sets = append(sets, &avx2)
	}
	return sets
}
