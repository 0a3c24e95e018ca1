package device

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
)

// cpuDevice is this machine's processor.
var cpuDevice = &Device{
	Name:       "cpu",
	Precisions: []string{"fp32", "bf16"},
	Host:       true,

	compiled: func() error { return nil },
	slow:     withoutKernels(),
	open: func(precision string, threads int) (backend.Backend, error) {
		b, err := cpu.New(threads)
		if err != nil {
			return nil, &SettingError{err}
		}
		b.Keep(mapsOfCPU[precision])
		return b, nil
	},
	counter: func(precision string, threads int) Counter {
		return cpu.NewCounter(threads, mapsOfCPU[precision])
	},
	memory:   func() (int64, error) { return HostMemory(), nil },
	found:    foundCPU,
	describe: func(backend.Backend) (string, error) { return "", nil },
	peaks: func(_ context.Context, b backend.Backend) (Peaks, error) {
		host := b.(*cpu.Backend)
		bandwidth, err := host.CopyBandwidth()
		return Peaks{FLOPS: host.PeakFLOPS(), Copy: bandwidth}, err
	},
	usage: func(backend.Backend) (Usage, error) { return Usage{}, nil },
}

// mapsOfCPU is the type in which each precision keeps maps, where it is not float32.
var mapsOfCPU = map[string]backend.DType{"bf16": backend.BFloat16}

func withoutKernels() *Shortcoming {
	if len(kernel.Available()) > 1 {
		return nil
	}
	return &Shortcoming{"there are no vector kernels for this processor, and it is many times slower", "use an amd64 processor with AVX2, or an arm64 one"}
}

// Processor is what a CPU has to compute with.
type Processor struct {
	Cores    int      // that the program may use
	Features []string // that kernels look at
	Kernels  string   // the set in use
	Sets     []string // that this CPU and this build have, the widest first
}

// FindProcessor looks. A set of kernels that was asked for and is not there is a
// *SettingError.
func FindProcessor() (p Processor, err error) {
	set, err := kernel.Find(cmp.Or(os.Getenv(cpu.KernelsEnv), kernel.Auto))
	if err != nil {
		return p, settingError("%s: %w", cpu.KernelsEnv, err)
	}
	p = Processor{Cores: runtime.GOMAXPROCS(0), Features: kernel.Features(), Kernels: set.Name}
	for _, s := range kernel.Available() {
		p.Sets = append(p.Sets, s.Name)
	}
	return p, nil
}

func foundCPU() (found, missing []string) {
	if s := withoutKernels(); s != nil {
		missing = []string{s.What + ": " + s.Remedy}
	}
	p, err := FindProcessor()
	if err != nil {
		return nil, append(missing, err.Error())
	}
	return []string{fmt.Sprintf("%d cores, %s; kernels %s", p.Cores, strings.Join(p.Features, " "), p.Kernels)}, missing
}
