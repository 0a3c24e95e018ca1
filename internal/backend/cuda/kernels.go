package cuda

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"effnet/internal/atomicfile"
	"effnet/internal/backend"
)

//go:embed kernels
var kernelFiles embed.FS

var (
	mapType    = "typedef float Map;"
	kernelName = regexp.MustCompile(`(extern "C" __global__ void \w+)\(`)
)

// source is all kernels as one: common.cuh, then the others in order, which may use
// those before. Maps are of type t, and names end so; files that end in _bf16 are for
// maps of that type alone.
func source(t backend.DType) (string, error) {
	var all strings.Builder
	names, err := fs.Glob(kernelFiles, "kernels/*.cu")
	if err != nil {
		return "", err
	}
	for _, name := range append([]string{"kernels/common.cuh"}, order(names)...) {
		if strings.HasSuffix(name, "_bf16.cu") && t != backend.BFloat16 {
			continue
		}
		text, err := kernelFiles.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&all, "#line 1 \"%s\"\n%s\n", strings.TrimPrefix(name, "kernels/"), text)
	}
	kind := kinds[t]
	text := strings.Replace(all.String(), mapType, "typedef "+kind.cpp+" Map;", 1)
	return kernelName.ReplaceAllString(text, "${1}"+kind.suffix+"("), nil
}

// Suffixes are how the names of kernels end in each of Sources: "" for float32 maps, and
// behind _ the name of any other type.
func Suffixes() []string {
	all := make([]string, len(kinds))
	for t, kind := range kinds {
		all[t] = kind.suffix
	}
	return all
}

// Sources are the kernels in CUDA C++, for maps of each type.
func Sources() ([]string, error) {
	all := make([]string, len(kinds))
	for t := range kinds {
		var err error
		if all[t], err = source(backend.DType(t)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// kernelParams are a kernel's parameters in its source.
var kernelParams = regexp.MustCompile(`extern "C" __global__ void (\w+)\(([^)]*)\)`)

// signatures say of each kernel which of its parameters it writes to: pointers to what is
// not constant.
var signatures = sync.OnceValue(func() map[string][]bool {
	text, err := source(backend.BFloat16) // the most
	if err != nil {
		panic(err) // files of the program itself
	}
	all := map[string][]bool{}
	for _, m := range kernelParams.FindAllStringSubmatch(text, -1) {
		for p := range strings.SplitSeq(m[2], ",") {
			all[m[1]] = append(all[m[1]], strings.Contains(p, "*") && !strings.Contains(p, "const "))
		}
	}
	return all
})

// signature is that of a kernel, for maps of any type.
func signature(name string) []bool {
	suffix := kinds[backend.BFloat16].suffix
	return signatures()[strings.TrimSuffix(name, suffix)+suffix]
}

// order puts what others use first.
func order(names []string) []string {
	first := []string{"kernels/reduce.cu", "kernels/depthwise.cu", "kernels/tiles.cu"}
	for _, name := range names {
		if !slices.Contains(first, name) {
			first = append(first, name)
		}
	}
	return first
}

// Options are NVRTC's for an architecture: sm_90, or compute_90 for PTX. Before CUDA 13.2 a lambda with an auto parameter is a device function
// only if everything is one by default.
func Options(architecture string) []string {
	return []string{"--gpu-architecture=" + architecture, "--std=c++17", "--fmad=true", "--device-as-default-execution-space"}
}

// image is the kernels compiled for an architecture, from the cache folder if they
// are there: a file named by the hash of all that decides its content, which begins
// with the hash of the rest. One that is cut short or was changed is made again; a
// folder that cannot be used is none.
func image(folder, architecture, compiler string, t backend.DType, compile func(source string, options []string) ([]byte, error)) ([]byte, error) {
	text, err := source(t)
	if err != nil {
		return nil, err
	}
	opts := Options(architecture)
	key := sha256.Sum256([]byte(strings.Join(append([]string{compiler, text}, opts...), "\x00")))
	path := filepath.Join(folder, hex.EncodeToString(key[:])+".cubin")
	if cached, err := os.ReadFile(path); folder != "" && err == nil && len(cached) > sha256.Size {
		content := cached[sha256.Size:]
		if sum := sha256.Sum256(content); string(sum[:]) == string(cached[:sha256.Size]) {
			return content, nil
		}
	}
	content, err := compile(text, opts)
	if err != nil {
		return nil, err
	}
	if folder != "" && os.MkdirAll(folder, 0o777) == nil {
		sum := sha256.Sum256(content)
		_ = atomicfile.Write(path, func(f *os.File) error { // compiling again is all that a lost cache costs
			_, err := f.Write(append(sum[:], content...))
			return err
		})
	}
	return content, nil
}

// cacheFolder is where images are kept; "" where the system has no such place.
func cacheFolder() string {
	folder, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "effnet")
}
