//go:build linux && (amd64 || arm64) && !static

package driver

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/backend/cuda/sass"
)

// tree makes a folder of files, of which those under bin are programs, and of links,
// written "link -> target".
func tree(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range files {
		name, target, link := strings.Cut(f, " -> ")
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if link {
			if strings.HasPrefix(target, "/") {
				target = root + target
			}
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, nil, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const wheels = "lib/python3.12/site-packages/nvidia/"

// virtual is a virtual environment as venv makes it, with the wheels of CUDA 13, of a
// Python that has those of CUDA 12.
var virtual = []string{
	"venv/pyvenv.cfg", "venv/bin/python3 -> python", "venv/bin/python -> /base/bin/python3.12", "base/bin/python3.12",
	"venv/" + wheels + "cu13/lib/libnvrtc.so.13", "base/" + wheels + "cuda_nvrtc/lib/libnvrtc.so.12",
}

// Libraries are found among the packages of the Python in PATH, or of what the
// environment names, in the order that the package promises.
func TestSearch(t *testing.T) {
	const venv13, base12 = "venv/" + wheels + "cu13/lib/libnvrtc.so.13", "base/" + wheels + "cuda_nvrtc/lib/libnvrtc.so.12"
	for _, c := range []struct {
		name  string
		files []string
		env   map[string]string // with the tree's folder for /
		want  []string
	}{
		{"a virtual environment in PATH", virtual, map[string]string{"PATH": "/none:/venv/bin"}, []string{venv13, base12}},
		{"an active one", virtual, map[string]string{"VIRTUAL_ENV": "/venv"}, []string{venv13}},
		{"its Python", virtual, map[string]string{"PATH": "/links:/base/bin"}, nil},
		{"a link to a Python", append(slices.Clone(virtual), "links/bin/python3 -> ../../base/bin/python3.12"),
			map[string]string{"PATH": "/links/bin"}, []string{base12}},
		{"a folder that is a link", append(slices.Clone(virtual), "links/bin -> /base/bin", "base/bin/python3 -> python3.12"),
			map[string]string{"PATH": "/links/bin"}, []string{base12}},
		{"the first python3 of PATH", append(slices.Clone(virtual), "links/bin/python3 -> ../../base/bin/python3.12"),
			map[string]string{"PATH": "/links/bin:/venv/bin"}, []string{base12, venv13}}, // python is the environment's
		{"pyenv", []string{"pyenv/shims/python3", "pyenv/versions/3.12.1/" + wheels + "cu13/lib/libnvrtc.so.13"},
			map[string]string{"PATH": "/pyenv/shims"}, []string{"pyenv/versions/3.12.1/" + wheels + "cu13/lib/libnvrtc.so.13"}},
		{"conda", []string{"conda/lib/libnvrtc.so.12", "conda/" + wheels + "cu13/lib/libnvrtc.so.13"}, map[string]string{"CONDA_PREFIX": "/conda"},
			[]string{"conda/lib/libnvrtc.so.12", "conda/" + wheels + "cu13/lib/libnvrtc.so.13"}},
		{"both versions in one place", []string{"venv/" + wheels + "cuda_nvrtc/lib/libnvrtc.so.12", venv13}, map[string]string{"VIRTUAL_ENV": "/venv"},
			[]string{venv13, "venv/" + wheels + "cuda_nvrtc/lib/libnvrtc.so.12"}},
		{"the order", append(slices.Clone(virtual), "own/libnvrtc.so.12", "toolkit/lib64/libnvrtc.so.12", "active/"+wheels+"cu13/lib/libnvrtc.so.13",
			"conda/lib/libnvrtc.so.13", "home/.local/"+wheels+"cu13/lib/libnvrtc.so.13"),
			map[string]string{"HOME": "/home", "PATH": "/venv/bin", "CONDA_PREFIX": "/conda", "VIRTUAL_ENV": "/active", "CUDA_HOME": "/toolkit", LibrariesEnv: "/own"},
			[]string{"own/libnvrtc.so.12", "toolkit/lib64/libnvrtc.so.12", "active/" + wheels + "cu13/lib/libnvrtc.so.13", "conda/lib/libnvrtc.so.13",
				venv13, base12, "home/.local/" + wheels + "cu13/lib/libnvrtc.so.13"}},
	} {
		root := tree(t, c.files...)
		list := folders(func(name string) string {
			parts := filepath.SplitList(c.env[name])
			for i := range parts {
				parts[i] = root + parts[i]
			}
			return strings.Join(parts, ":")
		})
		var got []string
		for _, file := range candidates(list, []string{"libnvrtc.so.13", "libnvrtc.so.12"}) {
			if path, ok := strings.CutPrefix(file, root+"/"); ok { // the machine may have its own
				got = append(got, path)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if !slices.Contains(list, loaderPath) {
			t.Errorf("%s: the loader's path is not among %q", c.name, list)
		}
	}
}

// A toolkit's stub of libcuda is not mistaken for the driver, wherever it is, and does not
// stay in the driver's place.
func TestStub(t *testing.T) {
	f := newFake(t) // the driver
	stub := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-x", "c", "-o", filepath.Join(stub, "libcuda.so.1"), "-")
	cmd.Stdin = strings.NewReader("int cuDriverGetVersion(int *v) { return 34; }")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l := find([]string{stub, filepath.Dir(f.Driver.Path)})
	if err := l.Driver.Err(); err != nil || l.Driver.Path != f.Driver.Path || len(l.Driver.Refused) != 1 ||
		l.Driver.Refused[0] != filepath.Join(stub, "libcuda.so.1")+": a toolkit's stub, not the driver's" {
		t.Errorf("%s, refused %q, %v", l.Driver.Path, l.Driver.Refused, err)
	}
	if maps, err := os.ReadFile("/proc/self/maps"); err != nil || bytes.Contains(maps, []byte(stub)) {
		t.Errorf("the stub is still open, %v", err)
	}
}

// What is found says its version: CUDA's, and cuBLASLt its own.
func TestLibraryString(t *testing.T) {
	f := newFake(t)
	for _, c := range []struct {
		library *Library
		want    string
	}{
		{&f.Driver, "driver for CUDA 13.0, "}, {&f.NVRTC, "NVRTC for CUDA 13.1, "}, {&f.CublasLt, "cuBLASLt 13.1.0, "},
	} {
		if got := c.library.String(); got != c.want+c.library.Path {
			t.Errorf("%q, want %q", got, c.want+c.library.Path)
		}
	}
}

// NVIDIA's wheels, in a virtual environment whose python3 is in PATH and which is not
// active, are found and compile: libnvrtc opens its builtins by their name alone, and
// finds them with no LD_LIBRARY_PATH.
func TestWheels(t *testing.T) {
	folder := os.Getenv(sass.FolderEnv)
	if folder == "" {
		t.Skip("NVRTC is not looked for in wheels: set " + sass.FolderEnv + " to a folder that tools/cuda_wheels.py made")
	}
	versions, err := sass.Versions(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		t.Run(v.Name, func(t *testing.T) {
			root := tree(t, "venv/pyvenv.cfg", "venv/bin/python3 -> /base/bin/python3.12", "base/bin/python3.12")
			install(t, v, filepath.Join(root, "venv/lib/python3.12/site-packages"))
			list := folders(func(name string) string { return map[string]string{"PATH": filepath.Join(root, "venv/bin")}[name] })
			l := find(without(list, func(f string) bool { return f == loaderPath || strings.HasPrefix(f, "/usr/") }))
			if err := l.NVRTC.Err(); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(l.NVRTC.Path, root) || l.NVRTC.Version != v.Name {
				t.Errorf("found NVRTC %s, %s", l.NVRTC.Version, l.NVRTC.Path)
			}
			if strings.Contains(os.Getenv("LD_LIBRARY_PATH"), "nvidia") {
				t.Error("LD_LIBRARY_PATH shows the loader where NVIDIA's libraries are")
			}
			image, err := Compile(l, "k.cu", `extern "C" __global__ void f(float* x) { *x = __expf(*x); }`, "--gpu-architecture=sm_90")
			if err != nil || len(image) == 0 {
				t.Errorf("%d bytes, %v", len(image), err)
			}
			t.Log(l.NVRTC.String())
		})
	}
}

// install puts NVRTC's wheel of a version in a site-packages folder, with its libraries
// as files of their own.
func install(t *testing.T, v sass.Version, folder string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(v.Folders, "libnvrtc*.so.*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s has no NVRTC, %v", v.Folders, err)
	}
	from := filepath.Dir(filepath.Dir(v.Folders)) // site-packages/nvidia
	for _, file := range found {
		inside, err := filepath.Rel(filepath.Dir(from), file)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(folder, inside)
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(to, content, fs.FileMode(0o755))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
