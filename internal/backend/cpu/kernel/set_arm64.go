package kernel

var neon = Set{Name: "neon", c: &neonKernels, lanes: 4, tiles: []tile{
	{6, 16, neonKernels.gemm6x4x0},
	{8, 12, neonKernels.gemm8x3x0},
	{12, 8, neonKernels.gemm12x2x0},
	{12, 4, neonKernels.gemm12x1x0},
}, pairs: []tile{
	{6, 16, neonKernels.pairs6x4x0},
	{8, 12, neonKernels.pairs8x3x0},
	{12, 8, neonKernels.pairs12x2x0},
	{12, 4, neonKernels.pairs12x1x0},
}}

// Features lists what of the CPU the kernels look at: every arm64 has vectors of
// 128 bits.
func Features() []string { return []string{"neon"} }

func vectorSets() []*Set { return []*Set{&neon} }
