// Package data reads labelled images, decodes them and feeds them, augmented, in
// batches.
//
// Images lie in folders, DIR/train/CLASS/IMAGE for training and, for evaluation,
// DIR/val/CLASS/IMAGE; in tar files, DIR/train/*.tar and DIR/val/*.tar; or in one
// file, a pack, that Pack makes of either. An image is a JPEG, PNG, GIF, WebP,
// BMP or TIFF file by the extension of its name; what it really holds is found when it
// is decoded.
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

// A Set is the labelled images of one split: those of folders sorted by class,
// then name, those of tar files by the file's name, then their place in it. A
// pack keeps the order of what it was made from.
type Set struct {
	Dir     string   // the split: a folder, or a pack and the split's name
	Classes []string // names; a label is an index

	store  store
	images []entry
	notes  []string // see Notes
}

// An entry is an image of a Set.
type entry struct{ at, label int32 } // at is its place in the store

// Len returns the number of images.
func (s *Set) Len() int { return len(s.images) }

// Label returns the class of image i.
func (s *Set) Label(i int) int { return int(s.images[i].label) }

// Path returns the file of image i, or the file that holds it and its name there.
func (s *Set) Path(i int) string { return s.store.path(s.at(i)) }

func (s *Set) at(i int) int { return int(s.images[i].at) }

// Select returns the Set of the images of the given indices, in their order. It
// shares all else, so that a class may be left without images.
func (s *Set) Select(keep []int) *Set {
	t := *s
	t.images = make([]entry, len(keep))
	for k, i := range keep {
		t.images[k] = s.images[i]
	}
	return &t
}

// Blank is a Set of images that cannot be read, with the classes assigned in turn. It
// stands in for a real set where only the number of images matters.
func Blank(images, classes int) *Set {
	s := &Set{Dir: "no images", Classes: make([]string, classes), store: blank{}}
	for i := range images {
		s.add(i % classes)
	}
	return s
}

// blank is the store of no images.
type blank struct{}

func (blank) path(i int) string { return fmt.Sprintf("image %d", i) }

func (blank) read(_ *buffer, i int) (record, error) {
	return record{}, &Error{Path: blank{}.path(i), Reason: "there is no such image"}
}

// add appends the image of the given class that comes next in the store.
func (s *Set) add(label int) {
	s.images = append(s.images, entry{int32(len(s.images)), int32(label)})
}

// A source is a folder or a pack: the splits of a data set.
type source interface {
	has(split string) bool
	open(split string) (*Set, error) // "" is the source itself
}

func openSource(path string) (source, error) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() {
		return readPack(path)
	}
	return splits(path), nil
}

// A splits is a folder of splits, or a split.
type splits string

func (d splits) has(split string) bool {
	info, err := os.Stat(filepath.Join(string(d), split))
	return err == nil && info.IsDir()
}

func (d splits) open(split string) (*Set, error) { return list(filepath.Join(string(d), split)) }

// OpenTrain lists the training images of a folder or a pack: dir/train or, if dir has no
// split at all, dir itself. Images are not opened. It fails with an *Error if there are fewer than two
// classes or a class without images.
func OpenTrain(dir string) (*Set, error) {
	src, err := openSource(dir)
	if err != nil {
		return nil, err
	}
	split := trainSplit
	if whole(src) {
		split = ""
	}
	s, err := src.open(split)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Path == filepath.Join(dir, split) && (split == "") != errors.Is(err, fs.ErrNotExist) {
			e.Hint = "training needs DIR/train/CLASS/IMAGE"
		}
		return nil, err
	}
	if len(s.Classes) < 2 {
		return nil, &Error{Path: s.Dir, Reason: "only one class, " + s.Classes[0], Hint: "training needs at least two class folders"}
	}
	count := make([]int, len(s.Classes))
	for _, e := range s.images {
		count[e.label]++
	}
	if split == "" {
		s.notes = append(s.notes, dir+": no folders train and val: all of it is used for training (--minival holds some images out for evaluation)")
	}
	if class := slices.Index(count, 0); class >= 0 {
		return nil, &Error{Path: s.Dir, Reason: fmt.Sprintf("no images of class %d, %s", class, s.Classes[class]), Hint: "classes are numbered from 0"}
	}
	return s, nil
}

// whole says whether a source has no splits.
func whole(src source) bool {
	return !slices.ContainsFunc(append(evalSplits(), trainSplit), src.has)
}

// OpenEval lists the evaluation split of dir, a folder or a pack: the first of
// dir/val, dir/valid, dir/validation and dir/test that exists or, if dir has no
// split at all, dir itself. Images are not opened. It fails with an *Error if a
// class folder has no images or the classes are not those given; nil classes
// accept any. An Error that is fs.ErrNotExist says that there is no evaluation
// split.
func OpenEval(dir string, classes []string) (*Set, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, unreadable(dir, err)
	}
	src, err := openSource(dir)
	if err != nil {
		return nil, err
	}
	split, err := evalSplit(src, dir)
	if err != nil {
		return nil, err
	}
	return openLike(src, split, classes)
}

// OpenSplit lists the named split of dir as OpenEval does.
func OpenSplit(dir, split string, classes []string) (*Set, error) {
	src, err := openSource(dir)
	if err != nil {
		return nil, err
	}
	return openLike(src, split, classes)
}

// OpenSome lists the named split of dir, or if split is empty the one that OpenEval
// does, whose classes are some of those given: the Set has all of them.
func OpenSome(dir, split string, classes []string) (*Set, error) {
	var s *Set
	var err error
	if split == "" {
		s, err = OpenEval(dir, nil)
	} else {
		s, err = OpenSplit(dir, split, nil)
	}
	if err != nil {
		return nil, err
	}
	if unknown := lack(s.Classes, classes); len(unknown) > 0 {
		return nil, &Error{Path: s.Dir, Reason: "classes that the network does not have: " + some(unknown)}
	}
	s.relabel(classes)
	return s, nil
}

// relabel gives the set classes that have the names of its own, and notes what that
// changes.
func (s *Set) relabel(classes []string) {
	place := map[string]int32{}
	for i, name := range classes {
		place[SameName(name)] = int32(i)
	}
	label, moved, respelt := make([]int32, len(s.Classes)), false, false
	for i, name := range s.Classes {
		label[i] = place[SameName(name)]
		moved = moved || label[i] != int32(i)
		respelt = respelt || classes[label[i]] != name
	}
	for i, e := range s.images {
		s.images[i].label = label[e.label]
	}
	if moved && len(classes) == len(s.Classes) {
		s.notes = append(s.notes, s.Dir+": its classes are in a different order from the network's: they are matched by name")
	}
	if respelt {
		s.notes = append(s.notes, s.Dir+": names of classes differ from the network's only in their Unicode form: they are the same classes")
	}
	s.Classes = classes
}

// openLike lists a split whose classes must be those given, if any are.
func openLike(src source, split string, classes []string) (*Set, error) {
	s, err := src.open(split)
	if err != nil {
		return nil, err
	}
	if classes == nil {
		return s, nil
	}
	if s.MayLack(classes) {
		s.Classes = classes // the last of them have no image here
	}
	if text := s.Difference(classes); text != "" {
		e := &Error{Path: s.Dir, Reason: "classes differ from the network's: " + text}
		if len(lack(s.Classes, classes)) == 0 && len(s.Classes) < len(classes) {
			e.Hint = "every split needs the same class folders; eval --some-classes accepts a folder that lacks some"
		}
		return nil, e
	}
	if !slices.Equal(s.Classes, classes) {
		s.relabel(classes)
	}
	return s, nil
}

// MayLack says whether the set may lack the last of classes: in tar files, classes that
// no file names are counted from what is there.
func (s *Set) MayLack(classes []string) bool {
	_, tars := s.store.(*shards)
	return tars && len(s.Classes) < len(classes) && numbered(s.Classes) && numbered(classes)
}

// Difference says how the names of the set's classes differ from others, whatever their
// order: "" if they do not.
func (s *Set) Difference(classes []string) string {
	missing, unknown := lack(classes, s.Classes), lack(s.Classes, classes)
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, "missing "+some(missing))
	}
	if len(unknown) > 0 {
		parts = append(parts, "unknown "+some(unknown))
	}
	if parts == nil && len(s.Classes) != len(classes) {
		parts = append(parts, fmt.Sprintf("%d names that are %d in another Unicode form", max(len(s.Classes), len(classes)), min(len(s.Classes), len(classes))))
	}
	return strings.Join(parts, "; ")
}

// Notes is what is worth knowing of how the split was read, a line each. upright says
// that its images are to be turned by their EXIF orientation.
func (s *Set) Notes(upright bool) (notes []string) {
	notes = slices.Clone(s.notes)
	if p, ok := s.store.(*pack); ok && upright && p.meta.Options.Size > 0 && !p.meta.Oriented {
		notes = append(notes, p.name+": its copies have no EXIF orientation, so exif-orientation turns none of them (make it again without --raw)")
	}
	return notes
}

// evalSplit returns the name of the evaluation split of a source, "" for the
// source itself; dir is its path.
func evalSplit(src source, dir string) (string, error) {
	for _, name := range evalSplits() {
		if src.has(name) {
			return name, nil
		}
	}
	if src.has(trainSplit) {
		return "", &Error{Path: dir, Err: fs.ErrNotExist,
			Reason: "no evaluation folder next to " + trainSplit,
			Hint:   "it must be called " + strings.Join(evalSplits(), ", ")}
	}
	return "", nil
}

// lack returns the names of a that b does not have.
func lack(a, b []string) []string {
	has := make(map[string]bool, len(b))
	for _, name := range b {
		has[SameName(name)] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(name string) bool { return has[SameName(name)] })
}

// some lists the first few of names.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
