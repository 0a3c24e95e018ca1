package jpeg

import (
	"errors"
	"fmt"
)

// ErrTruncated is a file that ends before its end marker.
var ErrTruncated = errors.New("jpeg: truncated")

// An UnsupportedError names what a file, damaged or not, has that is not supported.
type UnsupportedError string

func (e UnsupportedError) Error() string { return "jpeg: " + string(e) + " is not supported" }

func unsupported(format string, args ...any) error {
	return UnsupportedError(fmt.Sprintf(format, args...))
}

// What can be wrong with other files.
var (
	errNotJPEG = errors.New("jpeg: not a JPEG file")
	errDamaged = errors.New("jpeg: damaged image data")
	errHeader  = errors.New("jpeg: damaged header")
	errScans   = fmt.Errorf("jpeg: more than %d scans", maxScans)
)

// Files that libjpeg refuses too.
const (
	errFraction UnsupportedError = "JPEG with a ratio of sampling factors that is not whole"
	errBlocks   UnsupportedError = "JPEG with more than 10 blocks in an MCU"
)

// headerError is an errHeader that says more.
func headerError(format string, args ...any) error { return &headerFault{fmt.Sprintf(format, args...)} }

type headerFault struct{ text string }

func (e *headerFault) Error() string { return "jpeg: " + e.text }
func (e *headerFault) Unwrap() error { return errHeader }
