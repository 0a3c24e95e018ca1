// Package setup turns settings into what training takes: images, a network, an
// optimizer, how images are read and in which stages, and the memory for it all. Every
// command that trains, or asks what training would take, gets it here.
package setup

import "fmt"

// An Error is a setting that these images, these weights or this machine do not allow.
type Error struct{ err error }

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

func fault(format string, args ...any) error { return &Error{fmt.Errorf(format, args...)} }
