//go:build !(amd64 && goexperiment.simd)

package pixel

func simdSets() []*Set { return nil }
