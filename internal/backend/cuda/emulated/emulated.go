// Package emulated makes what stands in for a GPU in tests, with g++ and gcc: kernels
// compiled for the processor, and libraries in the place of NVIDIA's that run them. No
// program needs it.
package emulated

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

//go:embed source/emulate.h
var header string

//go:embed source/fakecuda.c
var libraries string

var (
	signature = regexp.MustCompile(`extern "C" void kernel_(\w+)\(([^)]*)\)`)
	parameter = regexp.MustCompile(`^(.*?)(\w+)$`)
	waiting   = regexp.MustCompile(`reduce<|columnTotals|joinColumns|storeMoments|blockTotal|rowSums|__syncthreads|depthwiseTaps|normDepthwise|depthwiseGrad<|mapMatMul|foldedDepthwise<|expandDepthwise<|projectGrad<|expandGrad<`)
)

// Available says whether there are compilers, and tests can open what they make.
func Available() bool {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		return false
	}
	for _, program := range []string{"gcc", "g++"} {
		if _, err := exec.LookPath(program); err != nil {
			return false
		}
	}
	return true
}

// Kernels compiles CUDA C++ to a shared object for the processor, and returns its path
// and the kernels' names by their numbers. It has three functions: find(NAME) is a
// kernel's number or -1, parameters(NUMBER, &SIZES) how many parameters it has, and
// launch(NUMBER, GRID, BLOCK, ARGUMENTS) runs it.
func Kernels(source string) (path string, names []string, err error) {
	return kernels(source)
}

// Counted is Kernels that count what they read and write. The shared object has one more
// function: after watch(BASE, BYTES, SEEN), what kernels touch of that memory is marked in
// SEEN, byte by byte: 1 for read, 2 for written, 3 for both. Null for all forgets all. It
// needs gcc itself: clang has other flags for this.
func Counted(source string) (path string, names []string, err error) {
	return kernels(source, "-DCOUNTED", "-fsanitize=kernel-address", "--param=asan-instrumentation-with-call-threshold=0",
		"--param=asan-stack=0", "--param=asan-globals=0")
}

func kernels(source string, flags ...string) (path string, names []string, err error) {
	text := strings.ReplaceAll(source, "extern \"C\" __global__ void ", "extern \"C\" void kernel_") // names that C has too
	var glue, table strings.Builder
	for _, m := range signature.FindAllStringSubmatchIndex(text, -1) {
		name := text[m[2]:m[3]]
		params := strings.Split(text[m[4]:m[5]], ",")
		args, sizes := make([]string, 0, len(params)), make([]string, 0, len(params))
		for i, p := range params {
			kind := strings.TrimSpace(parameter.FindStringSubmatch(strings.TrimSpace(p))[1])
			args = append(args, fmt.Sprintf("*(%s*)a[%d]", kind, i))
			sizes = append(sizes, fmt.Sprintf("sizeof(%s)", kind))
		}
		end := strings.Index(text[m[1]:], "\n}\n")
		fmt.Fprintf(&glue, "static void call_%s(void** a) { kernel_%s(%s); }\n", name, name, strings.Join(args, ", "))
		fmt.Fprintf(&glue, "static const int sizes_%s[] = {%s};\n", name, strings.Join(sizes, ", "))
		fmt.Fprintf(&table, "{%q, call_%s, %v, %d, sizes_%s},", name, name, waiting.MatchString(text[m[1]:][:end]), len(args), name)
		names = append(names, name)
	}
	all := header + text + glue.String() + `
static struct { const char* name; void (*call)(void**); bool waits; int count; const int* sizes; } table[] = {` + table.String() + `};
extern "C" int find(const char* name) {
    for (int k = 0; k < (int)(sizeof table / sizeof *table); k++) if (!strcmp(table[k].name, name)) return k;
    return -1;
}
extern "C" int parameters(int k, const int** sizes) { *sizes = table[k].sizes; return table[k].count; }
extern "C" void launch(int k, const unsigned* grid, const unsigned* block, void** args) { run(table[k].call, table[k].waits, grid, block, args); }
`
	path, err = compiled("g++", all, append(flags, "-x", "c++", "-std=c++17", "-O2", "-U_FORTIFY_SOURCE", "-ffp-contract=off")...)
	return path, names, err
}

// GPU is a folder of libraries that run the kernels of CUDA C++ sources. What was made
// before is in the temporary folder.
func GPU(sources []string) (dir string, err error) {
	objects := make([]string, len(sources))
	for i, source := range sources {
		if objects[i], _, err = Kernels(source); err != nil {
			return "", err
		}
	}
	sum := sha256.Sum256([]byte(libraries + strings.Join(objects, ":")))
	dir = filepath.Join(os.TempDir(), "effnet-emulation-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	made, err := os.MkdirTemp("", "effnet-emulation-")
	if err == nil {
		err = Libraries(made, objects)
	}
	if err == nil && os.Rename(made, dir) != nil { // somebody else has just made it
		err = os.RemoveAll(made)
	}
	return dir, err
}

// Libraries makes libcuda, libcublasLt and libnvrtc in a folder. Whatever that
// compiles, kernels are those of the shared objects, or without any the one of
// fakecuda.c. flags are for gcc.
func Libraries(dir string, objects []string, flags ...string) error {
	major := "13"
	if strings.Contains(strings.Join(flags, " "), "-DVERSION") {
		major = "12"
	} else {
		flags = append(flags, "-DVERSION=13000")
	}
	if len(objects) > 0 {
		flags = append(flags, fmt.Sprintf("-DKERNELS=%q", strings.Join(objects, ":")))
	}
	for name, define := range map[string]string{"libcuda.so.1": "DRIVER", "libcublasLt.so." + major: "CUBLASLT", "libnvrtc.so." + major: "NVRTC"} {
		object, err := compiled("gcc", libraries, append(flags, "-x", "c", "-O3", "-D"+define)...)
		if err != nil {
			return err
		}
		library, err := os.ReadFile(object)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), library, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compiled is a shared object of a source. What was compiled before is in the temporary
// folder.
func compiled(program, source string, flags ...string) (path string, err error) {
	sum := sha256.Sum256([]byte(program + strings.Join(flags, " ") + source))
	path = filepath.Join(os.TempDir(), "effnet-emulation-"+hex.EncodeToString(sum[:8])+".so")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	own, err := os.MkdirTemp("", "effnet-emulation-") // others may be at it too
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(own)
	made := filepath.Join(own, "made.so")
	cmd := exec.CommandContext(context.Background(), program, append(flags, "-fPIC", "-shared", "-w", "-o", made, "-")...)
	cmd.Stdin = strings.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return path, os.Rename(made, path)
}
