// Command gpustatic prints what NVIDIA's compilers make of effnet's kernels, as a table
// in Markdown, without a GPU:
//
//	python3 tools/cuda_wheels.py cuda
//	go run ./tools/gpustatic cuda > docs/notes/gpu-static.md
//
// Its argument is a folder of tools/cuda_wheels.py, of which it takes the newest
// version. It fails if a kernel spills or uses local memory, or moves fewer bytes at a
// time than its source means.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"effnet/internal/backend/cuda"
	"effnet/internal/backend/cuda/driver"
	"effnet/internal/backend/cuda/sass"
)

// architectures are the GPUs that tables are made for: A100, H100, B200.
var architectures = []string{"sm_80", "sm_90", "sm_100"}

func main() {
	err := errors.New("usage: gpustatic FOLDER")
	if len(os.Args) == 2 {
		err = table(context.Background(), os.Stdout, os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gpustatic:", err)
		os.Exit(1)
	}
}

// row is a kernel, by architectures.
type row map[string]sass.Kernel

func table(ctx context.Context, w io.Writer, folder string) error {
	tools, err := sass.Find(folder)
	if err != nil {
		return err
	}
	versions, err := sass.Versions(folder)
	if err != nil {
		return err
	}
	os.Setenv(driver.LibrariesEnv, versions[len(versions)-1].Folders)
	libraries := driver.Find()
	if err := libraries.NVRTC.Err(); err != nil {
		return err
	}
	version, err := tools.Version(ctx)
	if err != nil {
		return err
	}
	sources, err := cuda.Sources()
	if err != nil {
		return err
	}
	rows, names := map[string]row{}, []string{}
	var problems []error
	suffixes := cuda.Suffixes()
	for t, source := range sources {
		for _, architecture := range architectures {
			kernels, err := inspect(ctx, tools, libraries, source, architecture)
			if err != nil {
				return err
			}
			for _, p := range sass.Problems(source, kernels) {
				problems = append(problems, fmt.Errorf("%s: %s", architecture, p))
			}
			for _, k := range kernels {
				if rows[k.Name] == nil {
					rows[k.Name] = row{}
				}
				rows[k.Name][architecture] = k
			}
		}
		names = append(names, launched(source, suffixes[t])...)
	}
	fmt.Fprintf(w, preface, libraries.NVRTC.Version, version)
	for _, suffix := range suffixes[1:] {
		fmt.Fprintf(w, "A kernel called NAME%s has maps in %s.\n\n", suffix, suffix[1:])
	}
	fmt.Fprint(w, "| kernel | threads |")
	for _, a := range architectures {
		fmt.Fprintf(w, " %s: registers | spills | shared | blocks | occupancy | 16-byte loads, stores |", a)
	}
	fmt.Fprint(w, "\n|---|--:|"+strings.Repeat("--:|--:|--:|--:|--:|--:|", len(architectures))+"\n")
	for _, name := range names {
		if err := rows[name].print(w, name); err != nil {
			return err
		}
	}
	return errors.Join(problems...)
}

const preface = `# The compiled kernels

Made without a GPU by ` + "`make gpu-static`" + `, with NVRTC %s and ptxas %s; nothing here was timed. For each kernel and architecture: registers per thread; bytes that a thread spills; static shared memory per block, in bytes; how many blocks of the largest launch a multiprocessor holds at once, and the share of its 64 warps that these are; and the number of instructions that load and store 16 bytes of global memory. No kernel has a stack or uses local memory, and every kernel that works on several channels at a time has 16-byte accesses: the command fails otherwise, and so does ` + "`make test-full`" + `.

`

// inspect compiles a source for an architecture and looks at it.
func inspect(ctx context.Context, tools *sass.Tools, libraries *driver.Libraries, source, architecture string) ([]sass.Kernel, error) {
	cubin, err := driver.Compile(libraries, "effnet.cu", source, cuda.Options(architecture)...)
	if err != nil {
		return nil, err
	}
	ptx, err := driver.Compile(libraries, "effnet.cu", source, cuda.Options(strings.Replace(architecture, "sm", "compute", 1))...)
	if err != nil {
		return nil, err
	}
	return tools.Inspect(ctx, architecture, ptx, cubin)
}

var signature = regexp.MustCompile(`extern "C" __global__ void (\w+)\(([^)]*)\)`)

// launched lists a source's kernels. Those with a suffix that have no map are never
// launched, and not in the list.
func launched(source, suffix string) (names []string) {
	for _, m := range signature.FindAllStringSubmatch(source, -1) {
		if suffix == "" || strings.Contains(m[2], "Map*") {
			names = append(names, m[1])
		}
	}
	return names
}

// print writes the row of a kernel.
func (r row) print(w io.Writer, name string) error {
	threads := cuda.Threads(name)
	fmt.Fprintf(w, "| %s | %d |", name, threads)
	for _, architecture := range architectures {
		k := r[architecture]
		blocks, share, err := sass.Occupancy(architecture, k, threads)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, " %d | %d | %d | %d | %.0f%% | %d, %d |", k.Registers, k.SpillStores+k.SpillLoads, k.Shared, blocks, 100*share, k.Loads, k.Stores)
	}
	_, err := fmt.Fprintln(w)
	return err
}
