//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the lock of a file, which it creates, unless another process has it.
// The system lets go of it when the process ends, however that is.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, errors.New("another process is training in it")
	}
	// A file system without locks is used without.
	return func() { f.Close() }, nil
}
