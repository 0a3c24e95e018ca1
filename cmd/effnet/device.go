package main

import (
	"fmt"
	"os"

	"effnet/internal/device"
)

// openBackend opens a device, and reports on stderr what this build lacks to use it at
// full speed. kernels and threads apply to the CPU; 0 threads means one per core.
func openBackend(name, precision, kernels string, threads int) (device.Backend, error) {
	d, err := device.Lookup(name)
	if err != nil {
		return nil, err
	}
	if err := d.Check(precision); err != nil {
		return nil, err
	}
	if s := d.Slow(); s != nil {
		fmt.Fprintf(os.Stderr, "effnet: %s (%s)\n", s.What, s.Remedy)
	}
	b, err := d.Open(precision, kernels, threads)
	if err != nil {
		return nil, err
	}
	if warning := d.Warning(b); warning != nil {
		fmt.Fprintf(os.Stderr, "effnet: %v\n", warning)
	}
	return b, nil
}
