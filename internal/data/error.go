package data

import (
	"errors"
	"io/fs"
)

// An Error is a file or folder that cannot be used as data.
type Error struct {
	Path   string // the file or folder
	Reason string // what is wrong with it
	Hint   string // what to do about it; may be empty
	Err    error  // the cause; may be nil
}

func (e *Error) Error() string {
	s := "data: " + e.Path + ": " + e.Reason
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// unreadable returns the Error for a path the system would not open or list.
func unreadable(path string, err error) *Error {
	e := &Error{Path: path, Reason: err.Error(), Err: err}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		e.Reason = pe.Err.Error()
	}
	return e
}
