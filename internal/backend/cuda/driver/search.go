package driver

import (
	"path/filepath"
	"slices"
)

// LibrariesEnv names folders, with colons between, in which NVIDIA's libraries
// are looked for before anywhere else.
const LibrariesEnv = "EFFNET_CUDA_LIBS"

// loaderPath stands in a list of folders for wherever the system's loader
// looks: LD_LIBRARY_PATH, /etc/ld.so.conf, its defaults.
const loaderPath = ""

// folders lists where libraries are looked for, in order, as patterns of
// filepath.Glob, or loaderPath. env is os.Getenv.
func folders(env func(string) string) []string {
	list := filepath.SplitList(env(LibrariesEnv))
	list = append(slices.DeleteFunc(list, func(s string) bool { return s == "" }), loaderPath)
	for _, name := range []string{"CUDA_HOME", "CUDA_PATH"} {
		if root := env(name); root != "" {
			list = append(list, filepath.Join(root, "lib64"), filepath.Join(root, "lib"), filepath.Join(root, "targets/*/lib"))
		}
	}
	list = append(list, "/usr/local/cuda*/lib64")
	return append(list, pipFolders(env)...)
}

// pipFolders lists where pip puts the nvidia-* packages: nvidia/cuda_nvrtc/lib
// and nvidia/cublas/lib for CUDA 12, nvidia/cu13/lib for 13.
func pipFolders(env func(string) string) (list []string) {
	var packages []string
	if root := env("VIRTUAL_ENV"); root != "" {
		packages = append(packages, filepath.Join(root, "lib/python3*/site-packages"))
	}
	if home := env("HOME"); home != "" {
		packages = append(packages, filepath.Join(home, ".local/lib/python3*/site-packages"))
	}
	for _, root := range []string{"/usr/lib", "/usr/local/lib"} {
		packages = append(packages, filepath.Join(root, "python3*/site-packages"), filepath.Join(root, "python3*/dist-packages"))
	}
	for _, p := range packages {
		list = append(list, filepath.Join(p, "nvidia/*/lib"))
	}
	return list
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
