package kernel

import "golang.org/x/sys/cpu"

var avx512 = Set{Name: "avx512", c: &avx512Kernels, lanes: 16, tiles: []tile{
	{6, 64, avx512Kernels.gemm6x4x0},
	{8, 48, avx512Kernels.gemm8x3x0},
	{8, 40, avx512Kernels.gemm8x2x1},
	{12, 32, avx512Kernels.gemm12x2x0},
	{12, 24, avx512Kernels.gemm12x1x1},
	{12, 16, avx512Kernels.gemm12x1x0},
	{12, 8, avx512Kernels.gemm12x0x1},
}, pairs: widenedTiles}

// widenedTiles are the tiles of pairs of a processor without VDPBF16PS.
var widenedTiles = []tile{
	{6, 64, avx512Kernels.pairs6x4x0},
	{8, 48, avx512Kernels.pairs8x3x0},
	{8, 32, avx512Kernels.pairs8x2x0},
	{8, 16, avx512Kernels.pairs8x1x0},
	{8, 8, avx512Kernels.pairs8x0x1},
}

// pairTiles are those of one that has it.
var pairTiles = []tile{
	{6, 64, avx512bf16Kernels.pairs6x4x0},
	{8, 48, avx512bf16Kernels.pairs8x3x0},
	{8, 40, avx512bf16Kernels.pairs8x2x1},
	{12, 32, avx512bf16Kernels.pairs12x2x0},
	{12, 24, avx512bf16Kernels.pairs12x1x1},
	{12, 16, avx512bf16Kernels.pairs12x1x0},
	{12, 8, avx512bf16Kernels.pairs12x0x1},
}

// With instructions for bfloat16 the kernels that write it are others. They give the same
// bits, but where a value is below the smallest normal float32, which the instructions
// take for zero, and but for a NaN's.
func init() {
	if hasAVX512() && cpu.X86.HasAVX512BF16 {
		k, b := avx512Kernels, &avx512bf16Kernels
		k.narrow, k.addHalf, k.scaleHalf, k.scaleAddHalf = b.narrow, b.addHalf, b.scaleHalf, b.scaleAddHalf
		k.normActHalf, k.normActGradInputHalf, k.gateGradHalf = b.normActHalf, b.normActGradInputHalf, b.gateGradHalf
		k.biasActHalf, k.peakPairs = b.biasActHalf, b.peakPairs
		k.lines3x1Half, k.lines3x2Half, k.lines5x1Half, k.lines5x2Half = b.lines3x1Half, b.lines3x2Half, b.lines5x1Half, b.lines5x2Half
		avx512.c, avx512.pairs, avx512.half = &k, pairTiles, true
	}
}

var avx2 = Set{Name: "avx2", c: &avx2Kernels, lanes: 8, tiles: []tile{
	{4, 24, avx2Kernels.gemm4x3x0},
	{6, 16, avx2Kernels.gemm6x2x0},
	{8, 8, avx2Kernels.gemm8x1x0},
}, pairs: []tile{
	{4, 16, avx2Kernels.pairs4x2x0},
	{8, 8, avx2Kernels.pairs8x1x0},
}}

// Features lists what of the CPU the kernels look at.
func Features() []string {
	var names []string
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"avx2", cpu.X86.HasAVX2},
		{"fma", cpu.X86.HasFMA},
		{"avx512", hasAVX512()},
		{"avx512bf16", hasAVX512() && cpu.X86.HasAVX512BF16},
	} {
		if f.has {
			names = append(names, f.name)
		}
	}
	return names
}

func hasAVX512() bool {
	x := &cpu.X86
	return x.HasAVX2 && x.HasFMA && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512CD && x.HasAVX512DQ && x.HasAVX512VL
}

func vectorSets() []*Set {
	var sets []*Set
	if hasAVX512() {
		sets = append(sets, &avx512)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		sets = append(sets, &avx2)
	}
	return sets
}
