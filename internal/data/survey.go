package data

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"effnet/internal/words"
)

// A Split is one split of a data set as it lies, whatever is wrong with it.
type Split struct {
	Name   string  // train, val, ...; "" where the data set has no splits
	Set    *Set    // its images; classes without images are listed too
	Strays []Stray // what is not as it should be, in the order of the files
}

// A Stray is something in a data set that is not read, or that OpenTrain and
// OpenEval refuse.
type Stray struct {
	Kind   StrayKind
	Path   string
	Reason string // what is wrong with it, or is in it; empty for Outside and NoImage

	images int    // in a Nested folder
	hint   string // what to do about it; may be empty
	cause  error  // of Broken; may be nil
}

// err is the error of a stray that is refused.
func (s Stray) err() *Error {
	return &Error{Path: s.Path, Reason: s.Reason, Hint: s.hint, Err: s.cause}
}

// StrayKind says what is wrong with a Stray.
type StrayKind int

// The kinds of strays.
const (
	Broken     StrayKind = iota // a folder, a link or a tar file that cannot be read: refused
	EmptyClass                  // a class without images: refused
	Outside                     // an image in no class folder: not read
	Nested                      // a folder within a class folder, whose images are of that class: read
	NoImage                     // a file that is no image by its name: not read
)

func (k StrayKind) refused() bool { return k == Broken || k == EmptyClass }

// Survey lists every split of a data set, a folder or a pack: training and all
// evaluation splits or, if there are none, the folder itself; and what lies
// next to them. Images are not opened. It lists what OpenTrain and OpenEval list,
// by the same code, and does not stop at what they refuse. Its error is about dir as a whole.
func Survey(dir string) (splits []Split, strays []Stray, err error) {
	src, err := openSource(dir)
	if err != nil {
		return nil, nil, err
	}
	if p, ok := src.(*pack); ok {
		splits, err = surveyPack(p)
		return splits, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, unreadable(dir, err)
	}
	for _, name := range append([]string{trainSplit}, evalSplits()...) {
		if src.has(name) {
			splits = append(splits, surveyFolder(filepath.Join(dir, name), name))
		}
	}
	if len(splits) == 0 {
		return []Split{surveyFolder(dir, "")}, nil, nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		isSplit := e.Name() == trainSplit || slices.Contains(evalSplits(), e.Name())
		if _, err := isFolder(dir, e); err != nil && isSplit {
			strays = append(strays, broken(dir, err))
		} else if isImage(e) {
			strays = append(strays, Stray{Kind: Outside, Path: path})
		}
	}
	return splits, strays, nil
}

// surveyPack lists the splits of a pack.
func surveyPack(p *pack) (splits []Split, err error) {
	for _, s := range p.meta.Splits {
		set, err := p.open(s.Name)
		if err != nil {
			return nil, err
		}
		split := Split{Name: s.Name, Set: set}
		split.noteEmpty()
		splits = append(splits, split)
	}
	return splits, nil
}

// surveyFolder lists a folder of class folders or of tar files.
func surveyFolder(dir, name string) Split {
	s := Split{Name: name, Set: &Set{Dir: dir}}
	var classes, tars, compressed []string
	for _, e := range s.entries(dir) {
		isFolder, err := isFolder(dir, e)
		switch {
		case err != nil:
			s.broken(dir, err)
		case isFolder:
			classes = append(classes, e.Name())
		case isTar(e.Name()):
			tars = append(tars, e.Name())
		case isCompressedTar(e.Name()):
			compressed = append(compressed, e.Name())
		default:
			s.stray(kindOutside(e), filepath.Join(dir, e.Name()))
		}
	}
	switch {
	case len(compressed) > 0:
		s.broken(dir, &Error{Path: dir, Reason: "compressed tar files, such as " + compressed[0], Hint: gunzipHint})
	case len(tars) > 0 && len(classes) == 0:
		set, strays, err := listShards(dir, tars)
		if err != nil {
			s.broken(dir, err)
			return s
		}
		s.Set, s.Strays = set, append(s.Strays, strays...)
		s.noteEmpty()
		return s
	case len(tars) > 0:
		s.broken(dir, &Error{Path: dir, Reason: "tar files, such as " + tars[0] + ", next to class folders, such as " + classes[0],
			Hint: "a split is one or the other: move either away"})
	case len(classes) == 0:
		s.broken(dir, &Error{Path: dir, Reason: "no class folders", Hint: "images must be in " + filepath.Join(dir, "CLASS")})
	}
	s.walkClasses(classes)
	return s
}

// gunzipHint is what to do about compressed tar files.
const gunzipHint = "gunzip them: images are read from any place of a tar"

// kindOutside is the kind of a file next to class folders or tar files.
func kindOutside(e fs.DirEntry) StrayKind {
	if isImage(e) {
		return Outside
	}
	return NoImage
}

// walkClasses reads class folders.
func (s *Split) walkClasses(classes []string) {
	f := &folder{dir: s.Set.Dir, classes: classes}
	s.Set.Classes, s.Set.store = classes, f
	for label, class := range classes {
		path := filepath.Join(f.dir, class)
		before, failed := s.Set.Len(), len(s.Strays)
		s.walkClass(f, int32(label), "", nil)
		unread := slices.ContainsFunc(s.Strays[failed:], func(s Stray) bool { return s.Kind == Broken })
		if s.Set.Len() == before && !unread {
			s.Strays = append(s.Strays, Stray{Kind: EmptyClass, Path: path, Reason: "no images in this class folder",
				hint: "add some, or remove the folder from every split"})
		}
	}
}

// walkClass reads a folder within a class folder, "" for that itself: first its images,
// then the folders in it, as torchvision's ImageFolder does. above are the folders that
// lead to it.
func (s *Split) walkClass(f *folder, label int32, within string, above []fs.FileInfo) {
	path := filepath.Join(f.dir, f.classes[label], within)
	info, err := os.Stat(path)
	if err == nil && slices.ContainsFunc(above, func(up fs.FileInfo) bool { return os.SameFile(up, info) }) {
		s.broken(path, &Error{Path: path, Reason: "a link to a folder that it is in", Hint: "remove the link"})
		return
	}
	above = append(slices.Clip(above), info)
	before := s.Set.Len()
	var folders []string
	for _, e := range s.entries(path) {
		name := filepath.Join(within, e.Name())
		isFolder, err := isFolder(path, e)
		switch {
		case err != nil && !isImage(e): // of an image it is said when it is read
			s.broken(path, err)
		case isFolder:
			folders = append(folders, name)
		case isImage(e):
			f.files = append(f.files, file{name, label})
			s.Set.add(int(label))
		default:
			s.stray(NoImage, filepath.Join(path, e.Name()))
		}
	}
	if n := s.Set.Len() - before; n > 0 && within != "" {
		s.Strays = append(s.Strays, Stray{Kind: Nested, Path: path, Reason: words.Count(n, "image") + " in it", images: n})
	}
	for _, name := range folders {
		s.walkClass(f, label, name, above)
	}
}

// noteEmpty notes the classes without images of tar files or a pack, which
// training refuses.
func (s *Split) noteEmpty() {
	count := make([]int, len(s.Set.Classes))
	for i := range s.Set.Len() {
		count[s.Set.Label(i)]++
	}
	for label, n := range count {
		if n == 0 && s.Name == trainSplit {
			s.Strays = append(s.Strays, Stray{Kind: EmptyClass, Path: filepath.Join(s.Set.Dir, s.Set.Classes[label]), Reason: "no images of this class"})
		}
	}
}

// entries lists what is in a folder and not hidden. One that cannot be listed is
// noted.
func (s *Split) entries(dir string) []fs.DirEntry {
	all, err := os.ReadDir(dir)
	if err != nil {
		s.broken(dir, unreadable(dir, err))
	}
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return hidden(e.Name()) })
}

func (s *Split) stray(kind StrayKind, path string) {
	s.Strays = append(s.Strays, Stray{Kind: kind, Path: path})
}

// broken notes that something in dir cannot be read.
func (s *Split) broken(dir string, err error) { s.Strays = append(s.Strays, broken(dir, err)) }

// broken is the Stray of an error, of dir where that names no path.
func broken(dir string, err error) Stray {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = unreadable(dir, err)
	}
	return Stray{Kind: Broken, Path: e.Path, Reason: strings.TrimSpace(e.Reason), hint: e.Hint, cause: err}
}
