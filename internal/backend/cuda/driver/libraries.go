package driver

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"effnet/internal/dynlib"
)

// oldestCUDA is the oldest major version of CUDA that effnet runs with.
const oldestCUDA = 12

// Compiled says why CUDA cannot be used in this build, or nil.
func Compiled() error { return dynlib.Missing("CUDA") }

// Library is one of NVIDIA's libraries: where it was found, or why not.
type Library struct {
	Name    string // for people
	Path    string // of the file; "" if it was not found
	Version string // the CUDA it is for, "13.0"; cuBLASLt's own, "13.1.0", which counts by itself

	Files    []string // the names that were looked for
	Searched []string // where: folders, patterns of folders, "the loader's path"
	Refused  []string // what was found and could not be opened, and why
	Install  string   // what to install

	ownVersion bool // Version is not CUDA's
	major      int
	handle     uintptr
}

// Libraries are all that a device needs.
type Libraries struct {
	Driver, NVRTC, CublasLt Library
}

// Find opens NVIDIA's libraries where they are: in the folders of LibrariesEnv,
// in the loader's own path, in CUDA_HOME and CUDA_PATH, in VIRTUAL_ENV and
// CONDA_PREFIX, among the packages of the Python in PATH, in /usr/local/cuda*, and
// among the user's and the system's packages. Of libnvrtc and libcublasLt it takes no
// newer major version than the driver's.
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
			Name: "cuBLASLt", ownVersion: true,
			Install: "CUDA's toolkit, or pip install nvidia-cublas (CUDA 12: nvidia-cublas-cu12)",
		},
	}
	l.Driver.find(without(folders, func(f string) bool { return strings.HasSuffix(f, wheelFolders) }), driverVersion)
	for _, major := range []string{"13", "12"} {
		if major == "12" || l.Driver.major == 0 || l.Driver.major >= 13 {
			l.NVRTC.Files = append(l.NVRTC.Files, "libnvrtc.so."+major)
			l.CublasLt.Files = append(l.CublasLt.Files, "libcublasLt.so."+major)
		}
	}
	folders = without(folders, func(f string) bool { return slices.Contains(driverFolders, f) })
	l.NVRTC.find(folders, nvrtcVersion)
	l.CublasLt.find(folders, cublasLtVersion)
	return l
}

// find opens the first of the candidates that can be opened and says its
// version, and writes down the others.
func (l *Library) find(folders []string, version versionOf) {
	if Compiled() != nil {
		return
	}
	for _, folder := range folders {
		if folder == loaderPath {
			folder = "the loader's path"
		}
		l.Searched = append(l.Searched, folder)
	}
	for _, file := range candidates(folders, l.Files) {
		there, err := l.open(file, version)
		if err == nil {
			return
		}
		if there || filepath.Dir(file) != "." { // that the loader finds none is no surprise
			l.Refused = append(l.Refused, fmt.Sprintf("%s: %v", file, err))
		}
	}
}

// open opens a file. there is whether it is a library at all. One that is refused is
// closed: cuBLASLt opens libcuda.so.1 by its name, and is to get the driver's.
func (l *Library) open(file string, version versionOf) (there bool, err error) {
	openBuiltins(file)
	if l.handle, err = dynlib.Open(file); err != nil {
		return false, err
	}
	if l.major, l.Version, err = version(l); err != nil {
		dynlib.Close(l.handle)
		l.handle = 0
		return true, err
	}
	l.Path = file
	if filepath.Dir(file) == "." {
		l.Path = loadedFile(file)
	}
	return true, nil
}

// String is what was found, for people.
func (l *Library) String() string {
	version := "for CUDA " + l.Version
	if l.ownVersion {
		version = l.Version
	}
	return fmt.Sprintf("%s %s, %s", l.Name, version, l.Path)
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
		_, _ = dynlib.Open(b) // if it is needed and cannot be opened, compiling says so
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

// Err is nil if the library was found; else it says what to install.
func (l *Library) Err() error {
	if err := Compiled(); err != nil {
		return err
	}
	if l.Path != "" {
		return nil
	}
	s := strings.Join(l.Files, " or ") + " not found"
	if len(l.Refused) > 0 {
		s += " (could not open " + strings.Join(l.Refused, ", ") + ")"
	}
	return errors.New(s + ": install " + l.Install + ", or set " + LibrariesEnv + " to its folder")
}

// Where says where the library was looked for.
func (l *Library) Where() string { return "looked in " + strings.Join(l.Searched, ", ") }

// binding is a C function's name, and where its address goes.
type binding struct {
	name  string
	entry *entry
}

// bind looks up functions. It fails on the first that the library lacks. status
// names the library's errors.
func (l *Library) bind(status func(int32) string, bindings []binding) error {
	for _, b := range bindings {
		address := dynlib.Symbol(l.handle, b.name)
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

// versionOf says the version of an open library.
type versionOf func(*Library) (major int, version string, err error)

// driverVersion is the newest CUDA that the driver is for. Of a toolkit's stub, which
// programs are linked with, every function fails.
func driverVersion(l *Library) (major int, version string, err error) {
	var get entry
	if err := l.bind(number, []binding{{"cuDriverGetVersion", &get}}); err != nil {
		return 0, "", err
	}
	var v int32 // 1000·major + 10·minor
	err = get.call(uintptr(unsafe.Pointer(&v)))
	var refused *Error
	if errors.As(err, &refused) && refused.Code == stubLibrary {
		err = errors.New("a toolkit's stub, not the driver's")
	}
	return int(v) / 1000, fmt.Sprintf("%d.%d", v/1000, v%1000/10), err
}

func nvrtcVersion(l *Library) (major int, version string, err error) {
	var get entry
	if err := l.bind(number, []binding{{"nvrtcVersion", &get}}); err != nil {
		return 0, "", err
	}
	var a, b int32
	err = get.call(uintptr(unsafe.Pointer(&a)), uintptr(unsafe.Pointer(&b)))
	return int(a), fmt.Sprintf("%d.%d", a, b), err
}

func cublasLtVersion(l *Library) (major int, version string, err error) {
	var get entry
	if err := l.bind(number, []binding{{"cublasLtGetVersion", &get}}); err != nil {
		return 0, "", err
	}
	v := int(dynlib.Call(get.address)) // 10000·major + 100·minor + patch: cublas_api.h, CUBLAS_VERSION
	return v / 10000, fmt.Sprintf("%d.%d.%d", v/10000, v%10000/100, v%100), nil
}
