package classify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"effnet/internal/backend"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/predict"
)

// What a Classifier returns when it takes no image.
var (
	ErrClosed = errors.New("classify: the classifier is closed")
	ErrFull   = errors.New("classify: the queue is full")
)

// An ImageError is an image that cannot be used: no image, cut short, too large.
type ImageError struct {
	Name   string // the path, or what the program called the image
	Reason string
	Err    error // the cause
}

func (e *ImageError) Error() string { return "classify: " + e.Name + ": " + e.Reason }

// Unwrap returns the cause.
func (e *ImageError) Unwrap() error { return e.Err }

// A NetworkError is a network that cannot be opened: no such file, a damaged one, a name
// that cannot be downloaded.
type NetworkError struct {
	Network string // as it was given to Open
	Reason  string
	Hint    string // what to do about it; may be empty
	Err     error  // the cause
}

func (e *NetworkError) Error() string {
	s := "classify: " + e.Network + ": " + e.Reason
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap returns the cause.
func (e *NetworkError) Unwrap() error { return e.Err }

// An OptionError is an option, or a question, that makes no sense, or none for this
// network.
type OptionError struct{ Err error }

func (e *OptionError) Error() string {
	return "classify: " + strings.TrimPrefix(e.Err.Error(), "predict: ")
}

func optionError(format string, args ...any) error {
	return &OptionError{fmt.Errorf(format, args...)}
}

// Unwrap returns the cause.
func (e *OptionError) Unwrap() error { return e.Err }

// A DeviceError is a device that is not there, or that failed.
type DeviceError struct{ Err error }

func (e *DeviceError) Error() string { return "classify: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DeviceError) Unwrap() error { return e.Err }

// public makes an error of the module's other packages one of this package's.
func public(err error) error {
	if e, ok := errors.AsType[*data.Error](err); ok {
		return &ImageError{e.Path, e.Reason, err}
	}
	if e, ok := errors.AsType[*checkpoint.Error](err); ok {
		reason := e.Reason
		if e.Err != nil {
			reason += ": " + e.Err.Error()
		}
		return &NetworkError{e.Path, reason, e.Hint, err}
	}
	if e, ok := errors.AsType[*backend.Error](err); ok {
		return &DeviceError{e}
	}
	if e, ok := errors.AsType[*predict.RequestError](err); ok {
		return &OptionError{e}
	}
	switch {
	case errors.Is(err, predict.ErrClosed):
		return ErrClosed
	case errors.Is(err, predict.ErrFull):
		return ErrFull
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return err
}
