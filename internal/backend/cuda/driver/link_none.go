//go:build !linux || !(amd64 || arm64) || static

package driver

import (
	"errors"
	"runtime"
)

// Compiled says why CUDA cannot be used in this build, or nil.
func Compiled() error {
	if runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64") {
		return errors.New(`this program was built with the tag "static", without CUDA: build it without the tag`)
	}
	return errors.New("CUDA is for Linux on amd64 and arm64")
}

func open(string) (uintptr, error)     { return 0, Compiled() }
func closeLibrary(uintptr)             {}
func symbol(uintptr, string) uintptr   { return 0 }
func call(uintptr, ...uintptr) uintptr { panic("driver: no library is open") }
