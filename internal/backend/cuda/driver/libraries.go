package driver

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"
)

// oldestCUDA is the oldest major version of CUDA that effnet runs with.
const oldestCUDA = 12

// Library is one of NVIDIA's libraries: where it was found, or why not.
type Library struct {
	Name    string // for people
	Path    string // of the file; "" if it was not found
	Version string // of CUDA: "13.0"

	Files    []string // the names that were looked for
	Searched []string // where: folders, patterns of folders, "the loader's path"
	Refused  []string // what was found and could not be opened, and why
	Install  string   // what to install

	major  int
	handle uintptr
}

// Libraries are all that a device needs.
type Libraries struct {
	Driver, NVRTC, CublasLt Library
}

// Find opens NVIDIA's libraries where they are: in the folders of LibrariesEnv,
// in the loader's own path, in CUDA_HOME and CUDA_PATH, in /usr/local/cuda*, and
// among pip's packages. Of libnvrtc and libcublasLt it takes no newer major
// version than the driver's.
func Find() *Libraries { return find(folders(os.Getenv)) }

func find(folders []string) *Libraries {
	l := &Libraries{
		Driver: Library{
			Name: "driver", Files: []string{"libcuda.so.1"},
			Install: "NVIDIA's driver, version 525 or later (nvidia.com/drivers)",
		},
		NVRTC: Library{
			Name:    "NVRTC",
			Install: "CUDA's toolkit, or pip install nvidia-cuda-nvrtc (CUDA 12: nvidia-cuda-nvrtc-cu12)",
		},
		CublasLt: Library{
			Name:    "cuBLASLt",
			Install: "CUDA's toolkit, or pip install nvidia-cublas (CUDA 12: nvidia-cublas-cu12)",
		},
	}
	l.Driver.find(folders, driverVersion)
	for _, major := range []string{"13", "12"} {
		if major == "12" || l.Driver.major == 0 || l.Driver.major >= 13 {
			l.NVRTC.Files = append(l.NVRTC.Files, "libnvrtc.so."+major)
			l.CublasLt.Files = append(l.CublasLt.Files, "libcublasLt.so."+major)
		}
	}
	l.NVRTC.find(folders, nvrtcVersion)
	l.CublasLt.find(folders, cublasLtVersion)
	return l
}

// find opens the first of the candidates that can be opened and says its
// version, and writes down the others.
func (l *Library) find(folders []string, version func(*Library) (major, minor int, err error)) {
	if available() != nil {
		return
	}
	for _, folder := range folders {
		if folder == loaderPath {
			folder = "the loader's path"
		}
		l.Searched = append(l.Searched, folder)
	}
	for _, file := range candidates(folders, l.Files) {
		if err := l.open(file, version); err == nil {
			return
		} else if filepath.Dir(file) != "." { // that the loader finds none is no surprise
			l.Refused = append(l.Refused, fmt.Sprintf("%s: %v", file, err))
		}
	}
}

func (l *Library) open(file string, version func(*Library) (major, minor int, err error)) (err error) {
	openBuiltins(file)
	if l.handle, err = open(file); err != nil {
		return err
	}
	major, minor, err := version(l)
	if err != nil {
		return err
	}
	l.Path, l.Version, l.major = file, fmt.Sprintf("%d.%d", major, minor), major
	if filepath.Dir(file) == "." {
		l.Path = loadedFile(file)
	}
	return nil
}

// openBuiltins opens the libraries that libnvrtc opens itself, by their names
// alone, when it compiles: once they are open, the loader needs not find them.
// They lie in the same folder.
func openBuiltins(file string) {
	if !strings.HasPrefix(filepath.Base(file), "libnvrtc.so.") || filepath.Dir(file) == "." {
		return
	}
	beside, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "libnvrtc-builtins.so.*"))
	for _, b := range beside {
		_, _ = open(b) // if it is needed and cannot be opened, compiling says so
	}
}

// loadedFile is the path of a library that the loader found by its name. The
// kernel's list has the file itself (libcuda.so.580.65), whatever links led
// there. The name is what is left where the list cannot be read.
func loadedFile(name string) string {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return name
	}
	defer maps.Close()
	family, _, _ := strings.Cut(name, ".so.")
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if _, path, ok := strings.Cut(lines.Text(), "/"); ok && strings.HasPrefix(filepath.Base(path), family+".so") {
			return "/" + path
		}
	}
	return name
}

// Err is nil if the library was found; else it says where it was looked for and
// what to install.
func (l *Library) Err() error {
	if err := available(); err != nil {
		return err
	}
	if l.Path != "" {
		return nil
	}
	s := fmt.Sprintf("%s not found (looked in %s", strings.Join(l.Files, " or "), strings.Join(l.Searched, ", "))
	if len(l.Refused) > 0 {
		s += "; could not open " + strings.Join(l.Refused, ", ")
	}
	return errors.New(s + "): install " + l.Install + ", or name its folder in " + LibrariesEnv)
}

// binding is a C function's name, and where its address goes.
type binding struct {
	name  string
	entry *entry
}

// bind looks up functions. It fails on the first that the library lacks. status
// names the library's errors.
func (l *Library) bind(status func(int32) string, bindings []binding) error {
	for _, b := range bindings {
		address := symbol(l.handle, b.name)
		if address == 0 {
			return fmt.Errorf("%s has no %s: CUDA %d.0 or later is needed", l.label(), b.name, oldestCUDA)
		}
		*b.entry = entry{name: b.name, address: address, status: status}
	}
	return nil
}

// label is the file's path, or what was looked for.
func (l *Library) label() string {
	if l.Path == "" {
		return strings.Join(l.Files, " or ")
	}
	return l.Path
}

func number(code int32) string { return fmt.Sprintf("error %d", code) }

// driverVersion is the newest CUDA that the driver is for.
func driverVersion(l *Library) (major, minor int, err error) {
	var get entry
	if err := l.bind(number, []binding{{"cuDriverGetVersion", &get}}); err != nil {
		return 0, 0, err
	}
	var version int32 // 1000·major + 10·minor
	err = get.call(uintptr(unsafe.Pointer(&version)))
	return int(version) / 1000, int(version) % 1000 / 10, err
}

func nvrtcVersion(l *Library) (major, minor int, err error) {
	var get entry
	if err := l.bind(number, []binding{{"nvrtcVersion", &get}}); err != nil {
		return 0, 0, err
	}
	var a, b int32
	err = get.call(uintptr(unsafe.Pointer(&a)), uintptr(unsafe.Pointer(&b)))
	return int(a), int(b), err
}

func cublasLtVersion(l *Library) (major, minor int, err error) {
	var get entry
	if err := l.bind(number, []binding{{"cublasLtGetVersion", &get}}); err != nil {
		return 0, 0, err
	}
	version := int(call(get.address)) // 10000·major + 100·minor + patch: cublas_api.h, CUBLAS_VERSION
	return version / 10000, version % 10000 / 100, nil
}
