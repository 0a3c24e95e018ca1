//go:build !amd64 && !arm64

package pixel

func vectorSets() []*Set { return nil }
