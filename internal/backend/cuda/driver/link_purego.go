//go:build linux && (amd64 || arm64) && !static

package driver

import "github.com/ebitengine/purego"

// A binary that holds this file has a program interpreter (ELF's PT_INTERP) and
// needs a libc, though it was linked without a C compiler: only the loader that
// started a process can open libraries in it, and NVIDIA's need libc's threads.
// With the tag "static" there is link_none.go in its place, and a binary that
// needs nothing.

// Compiled says why CUDA cannot be used in this build, or nil.
// Compiled says why CUDA cannot be used in this build, or nil.
func Compiled() error { return nil }

// open loads a library. One that is used stays loaded: the driver's has threads of its
// own.
func open(path string) (handle uintptr, err error) {
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

// closeLibrary closes one that is of no use.
func closeLibrary(handle uintptr) { _ = purego.Dlclose(handle) }

// symbol is the address of a function of an open library, 0 if it has none of
// that name.
func symbol(handle uintptr, name string) uintptr {
	address, err := purego.Dlsym(handle, name)
	if err != nil {
		return 0
	}
	return address
}

// call calls a C function that takes and returns integers and pointers.
//
//go:uintptrescapes
func call(address uintptr, args ...uintptr) uintptr {
	result, _, _ := purego.SyscallN(address, args...)
	return result
}
