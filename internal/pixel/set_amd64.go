package pixel

import "golang.org/x/sys/cpu"

func vectorSets() []*Set {
	var sets []*Set
	x := &cpu.X86
	if x.HasAVX2 && x.HasFMA && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512CD && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VBMI {
		sets = append(sets, &Set{Name: "avx512vbmi", c: &avx512vbmiKernels, wide: 16})
	}
	if x.HasAVX2 && x.HasFMA {
		sets = append(sets, &Set{Name: "avx2", c: &avx2Kernels, wide: 8})
	}
	return sets
}
