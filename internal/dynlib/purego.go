//go:build linux && (amd64 || arm64) && !static

package dynlib

import "github.com/ebitengine/purego"

// A binary that holds this file has a program interpreter (ELF's PT_INTERP) and
// needs a libc, though it was linked without a C compiler: only the loader that
// started a process can open libraries in it, and those that effnet opens need
// libc's threads. With the tag "static" there is none.go in its place, and a binary
// that needs nothing.

// Compiled is whether this build can open libraries.
const Compiled = true

// Open loads a library, by its path or by a name that the loader looks for.
func Open(path string) (handle uintptr, err error) {
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

// Close closes a library of which nothing was called.
func Close(handle uintptr) { _ = purego.Dlclose(handle) }

// Symbol is the address of a function or a variable of an open library, 0 if it has
// none of that name.
func Symbol(handle uintptr, name string) uintptr {
	address, err := purego.Dlsym(handle, name)
	if err != nil {
		return 0
	}
	return address
}

// Call calls a C function that takes and returns integers and pointers. What an
// argument points to stays alive, and where it is, until the function returns, if its
// conversion to uintptr is written in the call.
//
//go:uintptrescapes
func Call(address uintptr, args ...uintptr) uintptr {
	result, _, _ := purego.SyscallN(address, args...)
	return result
}
