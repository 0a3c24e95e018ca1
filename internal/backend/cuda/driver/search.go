package driver

import (
	"os"
	"path/filepath"
	"slices"
)

// LibrariesEnv names folders, with colons between, in which NVIDIA's libraries
// are looked for before anywhere else.
const LibrariesEnv = "EFFNET_CUDA_LIBS"

// loaderPath stands in a list of folders for wherever the system's loader
// looks: LD_LIBRARY_PATH, /etc/ld.so.conf, its defaults.
const loaderPath = ""

// driverFolders are where drivers put libcuda: those of Debian, of Fedora, of WSL, of
// NixOS, and of Google's machines for containers. The loader knows them too, but a stub of
// libcuda in its path hides the driver's.
var driverFolders = []string{
	"/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib", "/run/opengl-driver/lib", "/usr/local/nvidia/lib64",
}

// folders lists where libraries are looked for, in order, as patterns of
// filepath.Glob, or loaderPath. env is os.Getenv.
func folders(env func(string) string) (list []string) {
	add := func(folders ...string) {
		for _, f := range folders {
			if !slices.Contains(list, f) {
				list = append(list, f)
			}
		}
	}
	for _, f := range filepath.SplitList(env(LibrariesEnv)) {
		if f != "" {
			add(f)
		}
	}
	add(loaderPath)
	for _, name := range []string{"CUDA_HOME", "CUDA_PATH"} {
		if root := env(name); root != "" {
			add(filepath.Join(root, "lib64"))
			add(toolkit(root)...)
		}
	}
	if root := env("VIRTUAL_ENV"); root != "" {
		add(packages(root, "site-packages"))
	}
	if root := env("CONDA_PREFIX"); root != "" {
		add(toolkit(root)...)
		add(packages(root, "site-packages"))
	}
	for _, root := range pythons(env("PATH")) {
		add(packages(root, "site-packages"))
	}
	add("/usr/local/cuda*/lib64")
	if home := env("HOME"); home != "" {
		add(packages(filepath.Join(home, ".local"), "site-packages"))
	}
	for _, root := range []string{"/usr", "/usr/local"} {
		add(packages(root, "site-packages"), packages(root, "dist-packages"))
	}
	add(driverFolders...)
	return list
}

// toolkit lists where CUDA's toolkit has its libraries, which conda installs too.
func toolkit(root string) []string {
	return []string{filepath.Join(root, "lib"), filepath.Join(root, "targets/*/lib")}
}

// wheelFolders is where NVIDIA's wheels have libraries: nvidia/cuda_nvrtc/lib and
// nvidia/cublas/lib for CUDA 12, nvidia/cu13/lib for 13. No wheel has the driver's.
const wheelFolders = "nvidia/*/lib"

// packages is where pip puts the wheels for the Python of a folder.
func packages(root, name string) string {
	return filepath.Join(root, "lib/python3*", name, wheelFolders)
}

// pythons lists the folders that the python3 and the python of PATH work with: lib is
// next to the bin that the program lies in. A virtual environment's is a link to the
// Python it was made of, so each link on the way to the program counts, the first most.
// pyenv's is a script that picks one of its versions.
func pythons(path string) (roots []string) {
	for _, name := range []string{"python3", "python"} {
		file := lookPath(path, name)
		if filepath.Base(filepath.Dir(file)) == "shims" {
			roots = append(roots, filepath.Join(filepath.Dir(filepath.Dir(file)), "versions/*"))
		}
		whole, err := filepath.EvalSymlinks(file)
		if err != nil {
			continue
		}
		for next := file; err == nil; next, err = os.Readlink(file) {
			if !filepath.IsAbs(next) {
				next = filepath.Join(filepath.Dir(file), next)
			}
			file = next
			roots = append(roots, filepath.Dir(filepath.Dir(file)))
		}
		roots = append(roots, filepath.Dir(filepath.Dir(whole))) // of links to folders
	}
	return roots
}

// lookPath is the first program of a name in PATH, "" if there is none.
func lookPath(path, name string) string {
	for _, folder := range filepath.SplitList(path) {
		file := filepath.Join(folder, name)
		if s, err := os.Stat(file); filepath.IsAbs(file) && err == nil && s.Mode().IsRegular() && s.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// without is a list without those that a function is true of.
func without(list []string, of func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(list), of)
}

// candidates lists the files to try for a library, in order, among them names
// without a folder, which are the loader's to find. names are in order of
// preference; a folder's place counts more.
func candidates(folders, names []string) (files []string) {
	for _, folder := range folders {
		if folder == loaderPath {
			files = append(files, names...)
			continue
		}
		for _, name := range names {
			found, _ := filepath.Glob(filepath.Join(folder, name)) // a bad pattern matches nothing
			files = append(files, found...)
		}
	}
	return files
}
