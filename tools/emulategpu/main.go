// Command emulategpu makes libraries in the place of NVIDIA's, in which effnet's kernels
// run on the processor, and prints their folder:
//
//	export EFFNET_CUDA_LIBS=$(go run ./tools/emulategpu)
//	bin/effnet train DIR --device cuda
//
// It is for developing without a GPU, and far slower than the CPU's own
// kernels. It needs gcc and g++.
package main

import (
	"fmt"
	"os"

	"effnet/internal/backend/cuda"
	"effnet/internal/backend/cuda/emulated"
)

func main() {
	sources, err := cuda.Sources()
	var dir string
	if err == nil {
		dir, err = emulated.GPU(sources)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "emulategpu:", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
