package main

import "os"

// launcherSignals are none: there is no MPI for Windows here.
var launcherSignals []os.Signal
