//go:build unix

package main

import (
	"os"
	"syscall"
)

// launcherSignals are those that launchers and schedulers pass on to ranks, and that ask
// a rank to stop as SIGTERM does: Open MPI's mpirun kills two seconds after SIGTERM, but
// leaves any time after SIGUSR1.
var launcherSignals = []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2}
