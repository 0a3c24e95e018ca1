package data

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Images returns the Set, of one class without a name, of image files. A path is a
// file; a folder, for all images in it and below; a pattern as filepath.Match has
// them; or "-", for one image that is read from stdin. Images are not opened.
func Images(paths []string, stdin io.Reader) (*Set, error) {
	f := &loose{}
	for _, path := range paths {
		if path == "-" {
			image, err := ReadImage("stdin", stdin)
			if err != nil {
				return nil, err
			}
			f.paths, f.stdin = append(f.paths, "-"), image
			continue
		}
		found, err := expand(path)
		if err != nil {
			return nil, err
		}
		f.paths = append(f.paths, found...)
	}
	return &Set{Dir: strings.Join(paths, " "), Classes: []string{""}, store: f, images: numberedEntries(len(f.paths))}, nil
}

// single returns the Set of one image file.
func single(path string) *Set {
	return &Set{Dir: filepath.Dir(path), store: &loose{paths: []string{path}}, images: make([]entry, 1)}
}

func numberedEntries(n int) []entry {
	all := make([]entry, n)
	for i := range all {
		all[i].at = int32(i)
	}
	return all
}

// expand lists the image files that a path stands for.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		found, _ := filepath.Glob(path) // a bad pattern is a file that is not there
		found = slices.DeleteFunc(found, func(p string) bool { return !isImageExt(filepath.Ext(p)) })
		if len(found) == 0 {
			return nil, unreadable(path, err)
		}
		return found, nil
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var found []string
	err = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return unreadable(p, err)
		case e.IsDir() && hidden(e.Name()) && p != path:
			return filepath.SkipDir
		case isImage(e):
			found = append(found, p)
		}
		return nil
	})
	if err == nil && found == nil {
		err = &Error{Path: path, Reason: "no images in this folder"}
	}
	return found, err
}

// ReadImage reads the file of one image, which errors, each an *Error, call name.
func ReadImage(name string, r io.Reader) ([]byte, error) {
	image, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return nil, unreadable(name, err)
	}
	return image, checkSize(name, int64(len(image)))
}

// A loose is the store of image files of any folder, and of one in memory.
type loose struct {
	paths []string
	stdin []byte // of the path "-"
}

func (f *loose) path(i int) string { return f.paths[i] }

func (f *loose) read(buf *buffer, i int) (record, error) {
	if f.paths[i] == "-" {
		return record{data: f.stdin}, nil
	}
	data, err := readFile(buf, f.paths[i])
	return record{data: data}, err
}
