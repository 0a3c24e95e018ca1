package kernel

func init() {
	if hasAVX512() && avx512.half {
		s := avx512
		s.Name, s.c, s.half, s.pairs = "avx512 without bf16", &avx512Kernels, false, widenedTiles
		withoutBF16 = &s
	}
}
