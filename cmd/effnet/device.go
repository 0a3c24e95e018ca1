package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
)

// openBackend is the only place that picks a backend. threads 0 is one a core.
func openBackend(device string, threads int) (backend.Backend, error) {
	if device != "cpu" {
		return nil, &backend.Error{Device: device, Op: "open", Err: errors.New("no such device in this build (use --device cpu)")}
	}
	if !kernel.Compiled {
		fmt.Fprintln(os.Stderr, "effnet: this build has no SIMD kernels and is many times slower (build with GOEXPERIMENT=simd, or make build, on amd64)")
	}
	b, err := cpu.New(threads)
	if err != nil {
		return nil, usageError{err}
	}
	return b, nil
}

// workers is the number of goroutines that read images; 0 is one a core.
func workers(n int) int {
	if n == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}
