//go:build !linux

package cpu

// adviseHuge does nothing: see the Linux one.
func adviseHuge([]float32) {}
