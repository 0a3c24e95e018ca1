//go:build darwin || linux

package cuda

import (
	"unsafe"

	"github.com/ebitengine/purego"

	"effnet/internal/backend/cuda/emulated"
)

// addKernels compiles a source's.
func addKernels(text string) error {
	path, names, err := emulated.Kernels(text)
	if err != nil {
		return err
	}
	library, err := purego.Dlopen(path, purego.RTLD_NOW)
	if err != nil {
		return err
	}
	var launch func(kernel int32, grid, block *uint32, args *unsafe.Pointer)
	purego.RegisterLibFunc(&launch, library, "launch")
	for i, name := range names {
		kernels = append(kernels, compiled{name, int32(i), launch})
	}
	return nil
}
