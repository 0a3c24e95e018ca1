//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// maxRSS is getrusage's, in bytes.
func maxRSS() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(u.Maxrss) // bytes; KiB elsewhere
	}
	return int64(u.Maxrss) << 10
}
