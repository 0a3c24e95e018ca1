//go:build !(amd64 && goexperiment.simd)

package kernel

// Compiled is whether this build holds SIMD kernels at all; without them the
// network runs many times slower.
const Compiled = false

// Features lists the CPU features the kernels look at.
func Features() []string { return nil }

func simdSets() []*Set { return nil }
