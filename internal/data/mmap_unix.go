//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package data

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// mapFile returns the content of a file of size bytes without reading it. It
// must not be written to; see guard for what reading it may do.
func mapFile(f *os.File, size int64) ([]byte, error) {
	if int64(int(size)) != size {
		return nil, errors.ErrUnsupported
	}
	return syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
}

// unmapWith gives the mapping back when nothing refers to p any more.
func unmapWith(p *pack) {
	runtime.AddCleanup(p, func(b []byte) { _ = syscall.Munmap(b) }, p.mapped)
}
