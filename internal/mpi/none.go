//go:build !linux || !(amd64 || arm64) || static

package mpi

import "effnet/internal/dynlib"

// open refuses: this build has no way to open a library.
func open(l Launch) (*Job, error) {
	return nil, refuse("%v, but %v", l, dynlib.Missing("MPI"))
}
