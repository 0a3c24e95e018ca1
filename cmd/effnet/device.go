package main

import (
	"fmt"
	"os"
	"runtime"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/backend/cuda"
)

// openBackend is the only place that picks a backend. threads, of the CPU, 0 is one
// a core.
func openBackend(device, precision string, threads int) (backend.Backend, error) {
	switch {
	case device == "cuda":
		return cuda.Open(precision)
	case device != "cpu":
		return nil, usageError{fmt.Errorf("--device %s: want cpu or cuda", device)}
	case precision != "fp32":
		return nil, usageError{fmt.Errorf("--precision %s: the CPU computes in fp32 (or use --device cuda)", precision)}
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

// deviceMemory is the bytes that a training may fill; 0 where the system does not
// say.
func deviceMemory(device string) (int64, error) {
	if device == "cuda" {
		return cuda.Memory()
	}
	return totalMemory(), nil
}

// workers is the number of goroutines that read images; 0 is one a core.
func workers(n int) int {
	if n == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}
