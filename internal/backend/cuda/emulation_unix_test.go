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
	kernels, _, err = opened(kernels, path, names)
	return err
}

// opened adds the kernels of a shared object.
func opened(all []compiled, path string, names []string) ([]compiled, uintptr, error) {
	library, err := purego.Dlopen(path, purego.RTLD_NOW)
	if err != nil {
		return nil, 0, err
	}
	var launch func(kernel int32, grid, block *uint32, args *unsafe.Pointer)
	purego.RegisterLibFunc(&launch, library, "launch")
	for i, name := range names {
		all = append(all, compiled{name, int32(i), launch})
	}
	return all, library, nil
}
