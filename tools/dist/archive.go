package dist

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"compress/gzip"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"
)

// File is a file of an archive; in a tar file also a folder or a symbolic link.
type File struct {
	Name string      // its path, with slashes
	Mode fs.FileMode // permissions, and what it is
	Data []byte      // of a link, what it points to
}

// sorted is files in the order of their names, in which archives have them.
func sorted(files []File) []File {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return files
}

// WriteTar writes files, and the folders that they are in, as root's and with one time.
func WriteTar(w io.Writer, files []File, at time.Time) error {
	tw := tar.NewWriter(w)
	made := map[string]bool{}
	for _, f := range sorted(files) {
		for _, dir := range parents(f.Name) {
			if made[dir] {
				continue
			}
			made[dir] = true
			if err := writeEntry(tw, File{dir, fs.ModeDir | 0o755, nil}, at); err != nil {
				return err
			}
		}
		made[f.Name] = true
		if err := writeEntry(tw, f, at); err != nil {
			return err
		}
	}
	return tw.Close()
}

func writeEntry(tw *tar.Writer, f File, at time.Time) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: int64(f.Mode.Perm()), ModTime: at, Format: tar.FormatPAX}
	switch {
	case f.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, f.Name+"/"
	case f.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, string(f.Data)
	default:
		h.Size = int64(len(f.Data))
	}
	if f.Mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	if err := tw.WriteHeader(h); err != nil || h.Size == 0 {
		return err
	}
	_, err := tw.Write(f.Data)
	return err
}

// parents are the folders that a file is in, the outermost first.
func parents(name string) (dirs []string) {
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		dirs = append([]string{dir}, dirs...)
	}
	return dirs
}

// WriteTarGz is WriteTar, compressed.
func WriteTarGz(w io.Writer, files []File, at time.Time) error {
	zw, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := WriteTar(zw, files, at); err != nil {
		return err
	}
	return zw.Close()
}

// WriteZip writes files with one time.
func WriteZip(w io.Writer, files []File, at time.Time) error {
	zw := zip.NewWriter(w)
	for _, f := range sorted(files) {
		header := &zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: at.UTC()}
		header.SetMode(f.Mode.Perm())
		entry, err := zw.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := entry.Write(f.Data); err != nil {
			return err
		}
	}
	return zw.Close()
}
