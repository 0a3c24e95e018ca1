//go:build linux && (amd64 || arm64) && !static

package mpi

import (
	"syscall"
	"unsafe"
)

// sigaction is the kernel's struct, on amd64 and arm64.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// lastSignal is Linux' last signal.
const lastSignal = 64

// handlers are what the process does at each signal. MPI libraries, and UCX inside them,
// install handlers of their own for faults and some others, without the stack that Go's
// need: a nil pointer then kills the process with no trace, as a mapped file that became
// shorter does, and SIGTERM may not arrive. So Go's are put back.
type handlers [lastSignal + 1]sigaction

func currentHandlers() (h handlers) {
	for i := 1; i <= lastSignal; i++ {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(i), 0, uintptr(unsafe.Pointer(&h[i])), 8, 0, 0)
	}
	return h
}

// restore puts back those that are others now, and returns their signals.
func (h *handlers) restore() (changed []syscall.Signal) {
	now := currentHandlers()
	for i := 1; i <= lastSignal; i++ {
		if now[i] != h[i] {
			_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(i), uintptr(unsafe.Pointer(&h[i])), 0, 8, 0, 0)
			changed = append(changed, syscall.Signal(i))
		}
	}
	return changed
}
