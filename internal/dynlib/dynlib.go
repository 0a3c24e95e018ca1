// Package dynlib opens C libraries at run time and calls their functions, without cgo.
// Libraries that are used stay open: those of NVIDIA and of MPI start threads.
package dynlib

import (
	"errors"
	"fmt"
	"runtime"
)

// Missing says why this build cannot use what is in a library, or nil: "CUDA".
func Missing(what string) error {
	switch {
	case Compiled:
		return nil
	case runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"):
		return fmt.Errorf(`this program was built with the tag "static", without %s: build it without the tag`, what)
	}
	return errors.New(what + " is for Linux on amd64 and arm64")
}
