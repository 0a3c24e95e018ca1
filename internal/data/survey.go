package data

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	Reason string // for Broken and Nested
}

// StrayKind says what is wrong with a Stray.
type StrayKind int

// The kinds of strays.
const (
	Broken     StrayKind = iota // a folder, a link or a tar file that cannot be read: refused
	EmptyClass                  // a class without images: refused
	Outside                     // an image in no class folder: not read
	Nested                      // a folder within a class folder: not read
	NoImage                     // a file in a class folder that is no image by its name: not read
)

// Survey lists every split of a data set, a folder or a pack: training and all
// evaluation splits or, if there are none, the folder itself; and what lies
// beside them. Images are not opened. It lists what OpenTrain and OpenEval list,
// and does not stop at what they refuse. Its error is about dir as a whole.
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
			strays = append(strays, broken(err))
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

// surveyFolder lists a folder of class folders or of tar files, as list does.
func surveyFolder(dir, name string) Split {
	s := Split{Name: name, Set: &Set{Dir: dir}}
	var classes, tars []string
	for _, e := range s.entries(dir) {
		isFolder, err := isFolder(dir, e)
		switch {
		case err != nil:
			s.Strays = append(s.Strays, broken(err))
		case isFolder:
			classes = append(classes, e.Name())
		case isTar(e.Name()):
			tars = append(tars, e.Name())
		case isImage(e):
			s.Strays = append(s.Strays, Stray{Kind: Outside, Path: filepath.Join(dir, e.Name())})
		}
	}
	switch {
	case len(tars) > 0 && len(classes) == 0:
		set, err := listShards(dir, tars)
		if err != nil {
			s.Strays = append(s.Strays, broken(err))
			return s
		}
		s.Set = set
		s.noteEmpty()
		return s
	case len(tars) > 0:
		s.Strays = append(s.Strays, Stray{Kind: Broken, Path: dir, Reason: "tar files, such as " + tars[0] + ", beside class folders, such as " + classes[0]})
	case len(classes) == 0:
		s.Strays = append(s.Strays, Stray{Kind: Broken, Path: dir, Reason: "no class folders"})
	}
	s.walkClasses(classes)
	return s
}

// walkClasses reads class folders, as listClasses does.
func (s *Split) walkClasses(classes []string) {
	f := &folder{dir: s.Set.Dir, classes: classes}
	s.Set.Classes, s.Set.store = classes, f
	for label, class := range classes {
		path := filepath.Join(f.dir, class)
		before, failed := s.Set.Len(), len(s.Strays)
		for _, e := range s.entries(path) {
			switch within := filepath.Join(path, e.Name()); {
			case e.IsDir():
				s.Strays = append(s.Strays, Stray{Kind: Nested, Path: within, Reason: imagesBelow(within)})
			case isImage(e):
				f.files = append(f.files, file{e.Name(), int32(label)})
				s.Set.add(label)
			default:
				s.Strays = append(s.Strays, Stray{Kind: NoImage, Path: within})
			}
		}
		unread := slices.ContainsFunc(s.Strays[failed:], func(s Stray) bool { return s.Kind == Broken })
		if s.Set.Len() == before && !unread {
			s.Strays = append(s.Strays, Stray{Kind: EmptyClass, Path: path})
		}
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
			s.Strays = append(s.Strays, Stray{Kind: EmptyClass, Path: filepath.Join(s.Set.Dir, s.Set.Classes[label])})
		}
	}
}

// entries lists what is in a folder and not hidden. One that cannot be listed is
// noted.
func (s *Split) entries(dir string) []fs.DirEntry {
	all, err := os.ReadDir(dir)
	if err != nil {
		s.Strays = append(s.Strays, broken(unreadable(dir, err)))
	}
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return hidden(e.Name()) })
}

// imagesBelow says how many images are under a folder. Links are not followed.
func imagesBelow(dir string) string {
	n := 0
	//nolint:errcheck // what cannot be read is not counted
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && isImage(e) {
			n++
		}
		return nil
	})
	if n == 1 {
		return "1 image in it"
	}
	return fmt.Sprintf("%d images in it", n)
}

// broken returns the Stray of an *Error.
func broken(err error) Stray {
	e := err.(*Error) //nolint:errorlint // all that list a folder return it bare
	return Stray{Kind: Broken, Path: e.Path, Reason: strings.TrimSpace(e.Reason)}
}

// Numbered tells whether classes are called 0, 1, 2, ..., as those of tar files
// without names are. An evaluation split of such a set may lack the last of them.
func (s *Set) Numbered() bool { return numbered(s.Classes) }
