//go:build !amd64 && !arm64

package kernel

// Features lists what of the CPU the kernels look at.
func Features() []string { return nil }

func vectorSets() []*Set { return nil }
