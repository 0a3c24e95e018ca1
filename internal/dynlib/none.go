//go:build !linux || !(amd64 || arm64) || static

package dynlib

import "errors"

// Compiled is whether this build can open libraries.
const Compiled = false

// Open fails.
func Open(string) (uintptr, error) {
	return 0, errors.New("this program was built without what opens libraries")
}

// Close does nothing.
func Close(uintptr) {}

// Symbol is 0.
func Symbol(uintptr, string) uintptr { return 0 }

// Call panics: there is no function to call.
func Call(uintptr, ...uintptr) uintptr { panic("dynlib: no library is open") }
