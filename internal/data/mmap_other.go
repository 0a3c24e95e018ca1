//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package data

import (
	"errors"
	"os"
)

// mapFile is not written for this system: packs are read from the file.
func mapFile(*os.File, int64) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapWith(*pack) {}
