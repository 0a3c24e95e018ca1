// Package atomicfile writes files and folders that are there whole or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Write stores at path what the function writes. It gives it a temporary file in
// path's folder, syncs that and renames it, so path holds the old content or the
// new one whenever the process or the machine stops; a killed process may leave
// a temporary file (".NAME.tmp*"), which nothing reads.
func Write(path string, write func(*os.File) error) error {
	return writeMode(path, 0o644, write)
}

// WriteProgram is Write of a file that can be run.
func WriteProgram(path string, write func(*os.File) error) error {
	return writeMode(path, 0o755, write)
}

func writeMode(path string, mode fs.FileMode, write func(*os.File) error) (err error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return &FolderError{path, syscall.EISDIR}
	}
	dir, name := filepath.Split(path)
	dir = filepath.Clean(dir)
	f, err := os.CreateTemp(dir, "."+name+".tmp*")
	if err != nil {
		return folderError(dir, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // a second Close fails harmlessly
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil { // CreateTemp's files are private
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// FolderError is a folder in which no file can be made, or in whose place.
type FolderError struct {
	Dir string
	Err error // what the system says
}

func (e *FolderError) Error() string {
	switch {
	case errors.Is(e.Err, syscall.EISDIR):
		return e.Dir + " is a folder (name a file in it)"
	case errors.Is(e.Err, fs.ErrNotExist):
		return "there is no folder " + e.Dir + " (create it first)"
	}
	return "no file can be written in the folder " + e.Dir + ": " + e.Err.Error()
}

func (e *FolderError) Unwrap() error { return e.Err }

// folderError is what making a temporary file in dir failed with, without its name, of
// which nobody knows.
func folderError(dir string, err error) error {
	cause := err
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		cause = pe.Err
	}
	if errors.Is(cause, syscall.ENOSPC) || errors.Is(cause, syscall.EMFILE) { // no fault of the folder
		return fmt.Errorf("%s: %w", dir, cause)
	}
	return &FolderError{dir, cause}
}

// syncDir makes a rename in dir outlast a power failure, where the file system can.
// Windows syncs no folders: it refuses.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// WriteFolder makes a folder of the files that the function writes into it: it is there
// with all of them, or not at all. There may be an empty folder in its place.
func WriteFolder(path string, write func(dir string) error) (err error) {
	path = filepath.Clean(path)
	parent, name := filepath.Split(path)
	parent = filepath.Clean(parent)
	dir, err := os.MkdirTemp(parent, "."+name+".tmp*")
	if err != nil {
		return folderError(parent, err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	if err := write(dir); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // MkdirTemp's folders are private
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // not one that has something in it
		return err
	}
	if err := os.Rename(dir, path); err != nil {
		return err
	}
	return syncDir(parent)
}
