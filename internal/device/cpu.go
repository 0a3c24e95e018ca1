package device

import (
	"context"
	"fmt"
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
	open: func(precision, kernels string, threads int) (backend.Backend, error) {
		set, err := findKernels(kernels)
		if err != nil {
			return nil, err
		}
		b := cpu.NewWith(set, threads)
		b.Keep(mapsOfCPU[precision])
		return b, nil
	},
	counter: func(precision string, threads int) Counter {
		return cpu.NewCounter(threads, mapsOfCPU[precision])
	},
	memory: func() (int64, error) { return HostMemory(), nil },
	found:  foundCPU,
	describe: func(b backend.Backend) (string, error) {
		p, err := FindProcessor(strings.TrimPrefix(b.Name(), "cpu/"))
		return "kernels " + p.Chosen(), err
	},
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
	Name     string   // for people; may be empty
	Cores    int      // that the program may use
	Features []string // that kernels look at
	Kernels  string   // the set in use
	Why      string   // it is in use
	Sets     []string // that this CPU and this build have, the widest first
}

// Chosen is the set in use, the others and why, for people.
func (p Processor) Chosen() string {
	return fmt.Sprintf("%s (of %s), %s", p.Kernels, strings.Join(p.Sets, ", "), p.Why)
}

// FindProcessor looks. kernels is what the setting says; a set that is not there is a
// *SettingError.
func FindProcessor(kernels string) (Processor, error) {
	p := Processor{Name: kernel.ThisProcessor().Name, Cores: runtime.GOMAXPROCS(0), Features: kernel.Features(), Sets: kernelSets()}
	set, err := findKernels(kernels)
	if err != nil {
		return p, err
	}
	p.Kernels, p.Why = set.Name, kernel.Why(set)
	return p, nil
}

// AutoKernels is the setting that stands for the fastest set, as measured on CPUs of this
// kind.
const AutoKernels = kernel.Auto

func findKernels(name string) (*kernel.Set, error) {
	set, err := kernel.Find(name)
	if err != nil {
		return nil, settingError("--kernels %s: this processor has %s (or use auto)", name, listed(kernelSets()))
	}
	return set, nil
}

// kernelSets are the names of the sets that there are, the widest first.
func kernelSets() (names []string) {
	for _, s := range kernel.Available() {
		names = append(names, s.Name)
	}
	return names
}

func foundCPU() (found, missing []string) {
	if s := withoutKernels(); s != nil {
		missing = []string{s.What + ": " + s.Remedy}
	}
	return []string{fmt.Sprintf("%d cores, %s", runtime.GOMAXPROCS(0), strings.Join(kernel.Features(), " "))}, missing
}
