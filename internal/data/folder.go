// Package data reads ImageNet-style image folders: it lists them, decodes the
// images and feeds them, augmented, in batches.
//
// The layout is DIR/train/CLASS/IMAGE for training and, for evaluation,
// DIR/val/CLASS/IMAGE. An image is a JPEG, PNG, GIF, WebP or BMP file by the
// extension of its name; what it really holds is found when it is decoded.
package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const trainSplit = "train"

// evalSplits returns the names of the evaluation split, the preferred first.
func evalSplits() []string { return []string{"val", "valid", "validation", "test"} }

// A Set is the labelled images of one split, sorted by class, then name.
type Set struct {
	Dir     string   // the folder of class folders
	Classes []string // names of the class folders in byte order; a label is an index

	images []entry
}

type entry struct {
	name  string // file name within the class folder
	label int32
}

// Len returns the number of images.
func (s *Set) Len() int { return len(s.images) }

// Label returns the class of image i.
func (s *Set) Label(i int) int { return int(s.images[i].label) }

// Path returns the file of image i.
func (s *Set) Path(i int) string {
	return filepath.Join(s.Dir, s.Classes[s.images[i].label], s.images[i].name)
}

// OpenTrain lists dir/train. Images are not opened. It fails with an *Error if
// there are fewer than two classes or a class without images.
func OpenTrain(dir string) (*Set, error) {
	s, err := list(filepath.Join(dir, trainSplit))
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && errors.Is(err, fs.ErrNotExist) {
			e.Hint = "training wants DIR/train/CLASS/IMAGE"
		}
		return nil, err
	}
	if len(s.Classes) < 2 {
		return nil, &Error{Path: s.Dir, Reason: "only one class, " + s.Classes[0], Hint: "training wants at least two class folders"}
	}
	return s, nil
}

// OpenEval lists the evaluation split of dir: the first of dir/val, dir/valid,
// dir/validation and dir/test that exists or, if dir has no split at all, dir
// itself. Images are not opened. It fails with an *Error if a class has no
// images or the classes are not those given; nil classes accept any. An Error
// that is fs.ErrNotExist says that there is no evaluation split.
func OpenEval(dir string, classes []string) (*Set, error) {
	split, err := evalDir(dir)
	if err != nil {
		return nil, err
	}
	s, err := list(split)
	if err != nil {
		return nil, err
	}
	if classes != nil && !slices.Equal(s.Classes, classes) {
		return nil, &Error{Path: s.Dir, Reason: "classes differ from the network's: " + difference(s.Classes, classes)}
	}
	return s, nil
}

func evalDir(dir string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", unreadable(dir, err)
	}
	for _, name := range evalSplits() {
		if path := filepath.Join(dir, name); isDir(path) {
			return path, nil
		}
	}
	if isDir(filepath.Join(dir, trainSplit)) {
		return "", &Error{Path: dir, Err: fs.ErrNotExist,
			Reason: "no evaluation folder beside " + trainSplit,
			Hint:   "it may be called " + strings.Join(evalSplits(), ", ")}
	}
	return dir, nil
}

// list reads a folder of class folders.
func list(dir string) (*Set, error) {
	dirEntries, err := os.ReadDir(dir)
	if err != nil {
		return nil, unreadable(dir, err)
	}
	s := &Set{Dir: dir}
	for _, e := range dirEntries {
		name := e.Name()
		folder := e.IsDir() || e.Type()&fs.ModeSymlink != 0 && isDir(filepath.Join(dir, name))
		if hidden(name) || !folder {
			continue
		}
		s.Classes = append(s.Classes, name)
		if err := s.listClass(name); err != nil {
			return nil, err
		}
	}
	if len(s.Classes) == 0 {
		return nil, &Error{Path: dir, Reason: "no class folders", Hint: "images are looked for in " + filepath.Join(dir, "CLASS")}
	}
	return s, nil
}

// listClass appends the images of the last class.
func (s *Set) listClass(name string) error {
	path := filepath.Join(s.Dir, name)
	files, err := os.ReadDir(path)
	if err != nil {
		return unreadable(path, err)
	}
	before := len(s.images)
	for _, f := range files {
		file := f.Type().IsRegular() || f.Type()&fs.ModeSymlink != 0
		if file && !hidden(f.Name()) && isImage(f.Name()) {
			s.images = append(s.images, entry{f.Name(), int32(len(s.Classes) - 1)})
		}
	}
	if len(s.images) == before {
		return &Error{Path: path, Reason: "no images in this class folder", Hint: "add some, or remove the folder"}
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

func isImage(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp":
		return true
	}
	return false
}

// difference says how the classes found differ from those wanted.
func difference(found, wanted []string) string {
	lack := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	}
	missing, unknown := lack(wanted, found), lack(found, wanted)
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, "missing "+some(missing))
	}
	if len(unknown) > 0 {
		parts = append(parts, "unknown "+some(unknown))
	}
	if parts == nil {
		return "the same names in another order"
	}
	return strings.Join(parts, "; ")
}

// some lists the first few of names.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
