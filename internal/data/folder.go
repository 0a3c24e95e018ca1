package data

import (
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A folder is the store of image files in class folders.
type folder struct {
	dir     string
	classes []string
	files   []file
}

type file struct {
	name  string // within the class folder
	class int32
}

func (f *folder) path(i int) string {
	return filepath.Join(f.dir, f.classes[f.files[i].class], f.files[i].name)
}

func (f *folder) read(buf *buffer, i int) (record, error) {
	data, err := readFile(buf, f.path(i))
	return record{data: data}, err
}

func (f *folder) stamp(h hash.Hash) error {
	for i, file := range f.files {
		info, err := os.Stat(f.path(i))
		if err != nil {
			return unreadable(f.path(i), err)
		}
		writeStamp(h, f.classes[file.class]+"/"+file.name, info)
	}
	return nil
}

// list reads a folder of class folders or of tar files. What Survey finds there that
// cannot be used is its error.
func list(dir string) (*Set, error) {
	s := surveyFolder(dir, "")
	for _, stray := range s.Strays {
		if stray.Kind.refused() {
			return nil, stray.err()
		}
	}
	if text := unused(dir, s.Strays); text != "" {
		s.Set.notes = append(s.Set.notes, text)
	}
	return s.Set, nil
}

// isFolder tells whether e, in dir, is a folder or a symbolic link to one. A link
// that leads nowhere may have been a class: it is an error, but not
// fs.ErrNotExist, which would say that the split does not exist.
func isFolder(dir string, e fs.DirEntry) (bool, error) {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir(), nil
	}
	path := filepath.Join(dir, e.Name())
	info, err := os.Stat(path)
	if err != nil {
		return false, &Error{Path: path, Reason: "a broken link: " + unreadable(path, err).Reason, Hint: "fix or remove it"}
	}
	return info.IsDir(), nil
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

func isTar(name string) bool { return strings.EqualFold(filepath.Ext(name), ".tar") }

// isCompressedTar tells whether a file is a tar that must be unpacked first, by its name.
func isCompressedTar(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"}, func(ext string) bool { return strings.HasSuffix(name, ext) })
}

// isImage tells whether a file in a class folder counts as an image, by its
// name. Where a link leads is found when it is read.
func isImage(e fs.DirEntry) bool {
	isFile := e.Type().IsRegular() || e.Type()&fs.ModeSymlink != 0
	return isFile && !hidden(e.Name()) && isImageExt(filepath.Ext(e.Name()))
}

// isImageExt tells whether a file whose name ends in ext counts as an image.
func isImageExt(ext string) bool { return formatOf(ext) != "" }

// formatOf returns the format, as package image calls it, that a file should
// have whose name ends in ext, or "".
func formatOf(ext string) string {
	switch ext := strings.ToLower(ext); ext {
	case ".jpg", ".jpeg", ".jpe", ".jfif":
		return "jpeg"
	case ".png", ".gif", ".webp", ".bmp":
		return ext[1:]
	case ".tif", ".tiff":
		return "tiff"
	}
	return ""
}
