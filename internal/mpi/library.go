//go:build linux && (amd64 || arm64) && !static

package mpi

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"effnet/internal/dynlib"
)

// library is an open MPI library.
type library struct {
	handle  uintptr
	path    string // or the name that the loader found it by
	version string // what it says of itself: "Open MPI v4.1.4", "MPICH Version: 4.0.2"
	abi     string
	handles

	getVersion, getABI, errorString      uintptr
	initThread, setErrhandler, finalize  uintptr
	commRank, commSize, abort, barrier   uintptr
	bcast, allgather, allgatherv, toAllV uintptr
}

// handles are the values by which an ABI names things in calls.
type handles struct {
	world, float, octet, errorsReturn, inPlace, serialized uintptr
}

// abis are the binary interfaces that libraries have, in the order in which they are
// recognised: a library of the standard interface may need its maker's own.
var abis = []struct {
	name string
	fits func(*library) bool
	has  func(*library) handles
}{
	{ // mpi_abi.h of MPI 5.0
		name: "MPI 5's standard ABI", fits: (*library).standard,
		has: func(*library) handles {
			return handles{world: 0x101, float: 0x210, octet: 0x247, errorsReturn: 0x143, inPlace: 1, serialized: 2048}
		},
	},
	{ // mpi.h of Open MPI 4 and 5: handles are addresses
		name: "Open MPI's ABI", fits: func(l *library) bool { return dynlib.Symbol(l.handle, "ompi_mpi_comm_world") != 0 },
		has: func(l *library) handles {
			return handles{
				world: dynlib.Symbol(l.handle, "ompi_mpi_comm_world"), float: dynlib.Symbol(l.handle, "ompi_mpi_float"),
				octet: dynlib.Symbol(l.handle, "ompi_mpi_byte"), errorsReturn: dynlib.Symbol(l.handle, "ompi_mpi_errors_return"),
				inPlace: 1, serialized: 2,
			}
		},
	},
	{ // mpi.h of MPICH, Intel MPI, MVAPICH and Cray MPICH, which share it
		name: "MPICH's ABI", fits: (*library).likeMPICH,
		has: func(*library) handles {
			return handles{world: 0x44000000, float: 0x4c00040a, octet: 0x4c00010d, errorsReturn: 0x54000001, inPlace: ^uintptr(0), serialized: 2}
		},
	},
}

// longest texts, in bytes: the standard ABI's MPI_MAX_LIBRARY_VERSION_STRING and
// MPI_MAX_ERROR_STRING, which no other's exceed.
const (
	maxVersion = 8192
	maxError   = 512
)

// openLibrary opens the first of the libraries that go with a launcher.
func openLibrary(l Launch) (*library, error) {
	var tried []string
	for _, path := range candidates(l, os.Getenv(LibraryEnv), launcherFolder()) {
		handle, err := dynlib.Open(path)
		if err != nil {
			tried = append(tried, err.Error())
			continue
		}
		lib := &library{handle: handle, path: path}
		if err := lib.bind(); err != nil {
			return nil, refuse("%v, but %s %v: set %s to the MPI library of the launcher", l, path, err, LibraryEnv)
		}
		return lib, nil
	}
	return nil, refuse("%v, but its MPI library cannot be opened: install it, or set %s to its path (%s)", l, LibraryEnv, strings.Join(tried, "; "))
}

// candidates are the libraries to try. If the launcher lies in a folder bin, those in lib
// beside it come before those that the loader finds: several MPIs may be installed.
func candidates(l Launch, given, folder string) []string {
	if given != "" {
		return []string{given}
	}
	var files []string
	for _, lib := range []string{"lib", "lib64"} {
		for _, name := range l.launcher.libraries {
			file := filepath.Join(folder, "..", lib, name)
			if _, err := os.Stat(file); err == nil && folder != "" {
				files = append(files, file)
			}
		}
	}
	return append(files, l.launcher.libraries...)
}

// launcherFolder is where the program lies that started this process: mpirun, or what it
// starts on other machines; "" if it cannot be told.
func launcherFolder() string {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", os.Getppid()))
	if err != nil {
		return ""
	}
	return filepath.Dir(program)
}

// bind looks up the functions and recognises the ABI.
func (l *library) bind() error {
	for _, f := range []struct {
		address *uintptr
		name    string
	}{
		{&l.getVersion, "MPI_Get_library_version"},
		{&l.errorString, "MPI_Error_string"},
		{&l.initThread, "MPI_Init_thread"},
		{&l.setErrhandler, "MPI_Comm_set_errhandler"},
		{&l.commRank, "MPI_Comm_rank"},
		{&l.commSize, "MPI_Comm_size"},
		{&l.bcast, "MPI_Bcast"},
		{&l.allgather, "MPI_Allgather"},
		{&l.allgatherv, "MPI_Allgatherv"},
		{&l.toAllV, "MPI_Alltoallv"},
		{&l.barrier, "MPI_Barrier"},
		{&l.abort, "MPI_Abort"},
		{&l.finalize, "MPI_Finalize"},
	} {
		if *f.address = dynlib.Symbol(l.handle, f.name); *f.address == 0 {
			return fmt.Errorf("is no MPI library: it lacks %s", f.name)
		}
	}
	l.getABI = dynlib.Symbol(l.handle, "MPI_Abi_get_version") // of MPI 5
	text, n := make([]byte, maxVersion), int32(0)
	if err := l.call("MPI_Get_library_version", l.getVersion, uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(&n))); err != nil {
		return err
	}
	l.version, _, _ = strings.Cut(firstLine(string(text[:n])), ",") // Open MPI's has more behind a comma
	for _, abi := range abis {
		if abi.fits(l) {
			l.abi, l.handles = abi.name, abi.has(l)
			return nil
		}
	}
	return fmt.Errorf("(%s) has an ABI that effnet does not know: Open MPI 4 or 5, MPICH 3.1 or later, what is compatible with it (Intel MPI, MVAPICH, Cray MPICH), and MPI 5's standard ABI work", l.version)
}

// standard tells whether the library has the standard ABI's first version. MPICH's own
// ABI answers -1.
func (l *library) standard() bool {
	var major, minor int32
	return l.getABI != 0 && l.call("MPI_Abi_get_version", l.getABI, uintptr(unsafe.Pointer(&major)), uintptr(unsafe.Pointer(&minor))) == nil && major == 1
}

// likeMPICH tells whether the library is MPICH or one of those that agreed on its ABI.
func (l *library) likeMPICH() bool {
	for _, name := range []string{"MPICH", "Intel", "MVAPICH"} {
		if strings.HasPrefix(l.version, name) {
			return true
		}
	}
	return strings.Contains(l.version, "CRAY MPICH")
}

// String is the library's version and file.
func (l *library) String() string { return fmt.Sprintf("%s, %s", l.version, l.path) }

// firstLine is a text's first line, its words separated by one space.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.Join(strings.Fields(strings.TrimRight(line, "\x00")), " ")
}

// call calls an MPI function, whose result is an int: 0, or an error.
//
//go:uintptrescapes
func (l *library) call(name string, function uintptr, args ...uintptr) error {
	code := int32(dynlib.Call(function, args...))
	if code == 0 {
		return nil
	}
	text, n := make([]byte, maxError), int32(0)
	if dynlib.Call(l.errorString, uintptr(uint32(code)), uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(&n))); n < 1 || n > maxError {
		return fmt.Errorf("%s: MPI's error %d", name, code)
	}
	return fmt.Errorf("%s: %s", name, firstLine(string(text[:n])))
}
