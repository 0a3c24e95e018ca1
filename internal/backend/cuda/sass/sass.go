// Package sass says what NVIDIA's compilers make of kernels: registers, spills, shared
// memory, occupancy, and the instructions that move memory. It needs no GPU. It runs
// ptxas, cuobjdump and nvdisasm, which tools/cuda_wheels.py fetches.
package sass

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// FolderEnv names a folder of tools/cuda_wheels.py: a site-packages folder for each
// version of CUDA, called by its number.
const FolderEnv = "EFFNET_CUDA_TOOLS"

// Kernel is what one became for an architecture.
type Kernel struct {
	Name                    string
	Registers               int // of a thread
	Stack                   int // bytes of a thread's stack frame
	SpillStores, SpillLoads int // bytes of a thread
	Shared                  int // bytes of a block's static shared memory
	Local                   int // instructions that move local memory
	Loads, Stores           int // instructions that load and store 16 bytes of global memory
}

// Tools are NVIDIA's programs.
type Tools struct {
	ptxas, cuobjdump, nvdisasm string // paths
}

// Version is a version of CUDA in a folder of tools/cuda_wheels.py.
type Version struct {
	Name    string // "13.5"
	Folders string // of its libraries: a pattern of filepath.Glob
}

// Versions lists what a folder has, oldest first.
func Versions(folder string) (all []Version, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, err := strconv.ParseFloat(e.Name(), 64); err == nil {
			all = append(all, Version{e.Name(), filepath.Join(folder, e.Name(), "nvidia/*/lib")})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no folder called by a version of CUDA: make one with tools/cuda_wheels.py", folder)
	}
	slices.SortFunc(all, func(a, b Version) int {
		x, _ := strconv.ParseFloat(a.Name, 64) // as above
		y, _ := strconv.ParseFloat(b.Name, 64)
		return int(10 * (x - y))
	})
	return all, nil
}

// Find finds the newest tools of a folder of tools/cuda_wheels.py.
func Find(folder string) (*Tools, error) {
	versions, err := Versions(folder)
	if err != nil {
		return nil, err
	}
	t := &Tools{}
	for name, at := range map[string]*string{"ptxas": &t.ptxas, "cuobjdump": &t.cuobjdump, "nvdisasm": &t.nvdisasm} {
		for _, v := range versions {
			if found, _ := filepath.Glob(filepath.Join(filepath.Dir(v.Folders), "bin", name)); len(found) > 0 {
				*at = found[0]
			}
		}
		if *at == "" {
			return nil, fmt.Errorf("%s has no %s: fetch it with tools/cuda_wheels.py", folder, name)
		}
	}
	return t, nil
}

// Version is that of ptxas: "V13.5.37".
func (t *Tools) Version(ctx context.Context) (string, error) {
	out, err := run(ctx, t.ptxas, "--version")
	return regexp.MustCompile(`V\d+\.\d+\.\d+`).FindString(out), err
}

// Inspect says what kernels became for an architecture (sm_90), of which it has PTX and
// a cubin, in the cubin's order. Both are of one version of the compiler: ptxas says what
// is spilled, and that it says the same of registers as the cubin shows that both are one
// code.
func (t *Tools) Inspect(ctx context.Context, architecture string, ptx, cubin []byte) ([]Kernel, error) {
	folder, err := os.MkdirTemp("", "effnet-sass-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	text, binary := filepath.Join(folder, "kernels.ptx"), filepath.Join(folder, "kernels.cubin")
	if err := os.WriteFile(text, bytes.TrimRight(ptx, "\x00"), 0o666); err != nil {
		return nil, err
	}
	if err := os.WriteFile(binary, cubin, 0o666); err != nil {
		return nil, err
	}
	said, err := run(ctx, t.ptxas, "--verbose", "--gpu-name="+architecture, "--output-file="+filepath.Join(folder, "other.cubin"), text)
	if err != nil {
		return nil, err
	}
	usage, err := run(ctx, t.cuobjdump, "--dump-resource-usage", binary)
	if err != nil {
		return nil, err
	}
	code, err := run(ctx, t.nvdisasm, "--print-code", binary)
	if err != nil {
		return nil, err
	}
	kernels, err := parse(said)
	if err != nil {
		return nil, err
	}
	return kernels, compare(kernels, usage, code)
}

func run(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return string(out), nil
}

var (
	aboutKernel = regexp.MustCompile(`Function properties for (\w+)\n\s*(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n.*Used (\d+) registers(.*)`)
	aboutShared = regexp.MustCompile(`(\d+) bytes smem`)
	aboutUsage  = regexp.MustCompile(`Function (\w+):\n\s*REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)`)
	instruction = regexp.MustCompile(`/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?([A-Z0-9]+)((?:\.\w+)*)`)
)

// parse reads what ptxas --verbose says.
func parse(said string) (kernels []Kernel, err error) {
	for _, m := range aboutKernel.FindAllStringSubmatch(said, -1) {
		k := Kernel{Name: m[1]}
		for i, at := range []*int{&k.Stack, &k.SpillStores, &k.SpillLoads, &k.Registers} {
			*at, _ = strconv.Atoi(m[2+i]) // digits
		}
		if s := aboutShared.FindStringSubmatch(m[6]); s != nil {
			k.Shared, _ = strconv.Atoi(s[1])
		}
		kernels = append(kernels, k)
	}
	if len(kernels) == 0 {
		return nil, fmt.Errorf("ptxas names no kernels:\n%s", said)
	}
	return kernels, nil
}

// compare counts the instructions of a cubin's kernels, and fails where it is not what
// ptxas spoke of.
func compare(kernels []Kernel, usage, code string) error {
	uses := map[string][]string{}
	for _, m := range aboutUsage.FindAllStringSubmatch(usage, -1) {
		uses[m[1]] = m[2:]
	}
	parts := map[string]string{}
	for _, part := range strings.Split(code, "\t.section\t.text.")[1:] {
		name, text, _ := strings.Cut(part, ",")
		parts[name] = text
	}
	for i := range kernels {
		k := &kernels[i]
		if u, want := uses[k.Name], []string{strconv.Itoa(k.Registers), strconv.Itoa(k.Stack), "0"}; !slices.Equal(u, want) {
			return fmt.Errorf("%s: registers, stack and local memory are %v in the cubin and %v by ptxas: the two compilers differ", k.Name, u, want)
		}
		found := instruction.FindAllStringSubmatch(parts[k.Name], -1)
		if len(found) == 0 {
			return fmt.Errorf("nvdisasm shows no code of %s", k.Name)
		}
		for _, m := range found {
			wide := slices.Contains(strings.Split(m[2], "."), "128")
			switch {
			case m[1] == "LDL" || m[1] == "STL":
				k.Local++
			case m[1] == "LDG" && wide:
				k.Loads++
			case m[1] == "STG" && wide:
				k.Stores++
			}
		}
	}
	return nil
}

var signature = regexp.MustCompile(`extern "C" __global__ void (\w+)\(([^)]*)\)`)

// Problems lists what kernels should not do: spill, use local memory, or load or store
// fewer bytes at a time than their source means. A kernel with a parameter vec means 16.
func Problems(source string, kernels []Kernel) (problems []string) {
	parameters := map[string]string{}
	for _, m := range signature.FindAllStringSubmatch(source, -1) {
		parameters[m[1]] = m[2]
	}
	if len(parameters) != len(kernels) {
		problems = append(problems, fmt.Sprintf("%d kernels were compiled of %d", len(kernels), len(parameters)))
	}
	for _, k := range kernels {
		if k.SpillStores+k.SpillLoads+k.Stack+k.Local > 0 {
			problems = append(problems, fmt.Sprintf("%s spills %d and loads back %d bytes, and has a stack of %d and %d instructions for local memory",
				k.Name, k.SpillStores, k.SpillLoads, k.Stack, k.Local))
		}
		if !strings.Contains(parameters[k.Name], "int vec") {
			continue
		}
		if k.Loads == 0 && !strings.HasPrefix(k.Name, "pixels") { // which reads bytes
			problems = append(problems, k.Name+" never loads 16 bytes at once")
		}
		if k.Stores == 0 {
			problems = append(problems, k.Name+" never stores 16 bytes at once")
		}
	}
	return problems
}
