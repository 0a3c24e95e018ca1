// Package check examines a data set: what cannot be used, what would mislead
// training, and what is in it.
package check

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"effnet/internal/data"
)

// Options of Run.
type Options struct {
	Workers  int                   // goroutines that decode, at least 1
	Tiny     int                   // pixels: shorter sides below this are reported
	Exclude  string                // text file of images to skip; may be empty
	Progress func(done, total int) // called now and then, one call at a time; may be nil
}

// A Kind is a kind of problem. The list is in the order of a Report's problems.
type Kind string

// The kinds of problems. The first four keep a data set from being used.
const (
	Unreadable   Kind = "unreadable"    // an image that cannot be decoded
	BadFolder    Kind = "bad-folder"    // a folder, link or tar that cannot be read
	EmptyClass   Kind = "empty-class"   // a class without images
	ClassMissing Kind = "class-missing" // a class of one split that another lacks
	Leak         Kind = "leak"          // the same file in training and evaluation
	Conflict     Kind = "conflict"      // the same file in two classes
	Duplicate    Kind = "duplicate"     // the same file twice in a class
	Misnamed     Kind = "misnamed"      // a name with another format's extension
	Tiny         Kind = "tiny"          // an image of few pixels
	Nested       Kind = "nested"        // a folder in a class folder, whose images are of that class
	Outside      Kind = "outside"       // an image in no class folder, which is not read
	NotImage     Kind = "not-image"     // a file of another kind in a class folder
	ClassOrder   Kind = "class-order"   // classes whose order as names is not that as numbers
	AlikeClasses Kind = "alike-classes" // classes whose names differ in case or spaces only
	Imbalance    Kind = "imbalance"     // classes of very different sizes
)

var kinds = []Kind{Unreadable, BadFolder, EmptyClass, ClassMissing, Leak, Conflict, Duplicate, Misnamed, Tiny,
	Nested, Outside, NotImage, ClassOrder, AlikeClasses, Imbalance}

// Fatal tells whether the kind keeps a data set from being used as it is.
func (k Kind) Fatal() bool { return slices.Index(kinds, k) < slices.Index(kinds, Leak) }

// A Problem is one thing that is wrong.
type Problem struct {
	Kind   Kind     `json:"kind"`
	Path   string   `json:"path"` // relative to the data set
	Reason string   `json:"reason,omitempty"`
	Others []string `json:"others,omitempty"` // the other copies of a file
}

// A Split is the numbers of one split.
type Split struct {
	Name    string  `json:"name"` // "" where there are no splits
	Images  int     `json:"images"`
	Classes []Class `json:"classes"`
}

// A Class is a class and the number of its images.
type Class struct {
	Name   string `json:"name"`
	Images int    `json:"images"`
}

// A Range is the least, middle and greatest of some numbers.
type Range struct {
	Min    int `json:"min"`
	Median int `json:"median"`
	Max    int `json:"max"`
}

// Report is what Run found. It does not depend on the number of workers.
type Report struct {
	Dir      string         `json:"dir"`
	Images   int            `json:"images"`
	Bytes    int64          `json:"bytes"`
	Usable   bool           `json:"usable"` // no problem is fatal
	Problems []Problem      `json:"problems"`
	Splits   []Split        `json:"splits"`
	Width    Range          `json:"width"`  // pixels, of what can be decoded
	Height   Range          `json:"height"` // pixels
	Large    int            `json:"large"`  // of more than 4 megapixels
	Formats  map[string]int `json:"formats"`
	Grey     int            `json:"grey"`
	Alpha    int            `json:"alpha"`
	CMYK     int            `json:"cmyk"`
	Turned   int            `json:"turned"` // with an EXIF orientation that is not upright
}

// Run decodes every image of every split of a data set: a folder or a pack. An
// error is about the data set as a whole, or the end of ctx.
func Run(ctx context.Context, dir string, opt Options) (*Report, error) {
	splits, strays, err := data.Survey(dir)
	if err != nil {
		return nil, err
	}
	if opt.Exclude != "" {
		sets := make([]*data.Set, len(splits))
		for k, s := range splits {
			sets[k] = s.Set
		}
		if sets, err = data.Exclude(opt.Exclude, dir, sets...); err != nil {
			return nil, err
		}
		for k := range splits {
			splits[k].Set = sets[k]
		}
	}
	images := list(splits)
	if err := inspect(ctx, images, opt); err != nil {
		return nil, err
	}
	r := &Report{Dir: dir, Images: len(images), Problems: []Problem{}, Splits: []Split{}, Formats: map[string]int{}}
	r.strays(strays)
	r.classes(splits)
	r.files(images, opt.Tiny)
	r.duplicates(images)
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)), cmp.Compare(a.Path, b.Path))
	})
	r.Usable = !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Kind.Fatal() })
	return r, nil
}

// An image of the data set.
type image struct {
	split string
	set   *data.Set
	index int
	facts data.Facts
}

func (m *image) path() string  { return m.set.Path(m.index) }
func (m *image) class() string { return m.set.Classes[m.set.Label(m.index)] }

func list(splits []data.Split) []image {
	var images []image
	for _, s := range splits {
		for i := range s.Set.Len() {
			images = append(images, image{split: s.Name, set: s.Set, index: i})
		}
	}
	return images
}

// inspect fills in the images' facts.
func inspect(ctx context.Context, images []image, opt Options) error {
	var workers sync.WaitGroup
	var next atomic.Int64
	var mu sync.Mutex
	done := 0
	for range max(opt.Workers, 1) {
		workers.Go(func() {
			var n data.Inspector
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(images) {
					return
				}
				images[i].facts = n.Inspect(images[i].set, images[i].index)
				mu.Lock()
				if done++; opt.Progress != nil {
					opt.Progress(done, len(images))
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return ctx.Err()
}

// add notes a problem of a path.
func (r *Report) add(kind Kind, path, reason string, others ...string) {
	for i, p := range others {
		others[i] = r.relative(p)
	}
	r.Problems = append(r.Problems, Problem{kind, r.relative(path), reason, others})
}

// relative is a path within the data set, as data.Exclude takes it.
func (r *Report) relative(path string) string {
	if rel, err := filepath.Rel(r.Dir, path); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		return rel
	}
	return path
}

// files takes the facts about single images.
func (r *Report) files(images []image, tiny int) {
	var widths, heights []int
	for i := range images {
		m, f := &images[i], &images[i].facts
		r.Bytes += int64(f.Bytes)
		if f.Err != nil {
			r.add(Unreadable, m.path(), f.Err.Reason)
			continue
		}
		r.Formats[f.Format]++
		widths, heights = append(widths, f.W), append(heights, f.H)
		r.Large += count(f.W*f.H > 4_000_000)
		r.Grey += count(f.Grey)
		r.Alpha += count(f.Alpha)
		r.CMYK += count(f.CMYK)
		r.Turned += count(f.Orientation != 1)
		if f.Misnamed {
			r.add(Misnamed, m.path(), f.MisnamedReason(m.path()))
		}
		if min(f.W, f.H) < tiny {
			r.add(Tiny, m.path(), sizeText(f.W, f.H))
		}
	}
	r.Width, r.Height = rangeOf(widths), rangeOf(heights)
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func rangeOf(v []int) Range {
	if len(v) == 0 {
		return Range{}
	}
	slices.Sort(v)
	return Range{v[0], v[len(v)/2], v[len(v)-1]}
}

// duplicates finds files with the same content. A group of them is one problem,
// the worst that it is.
func (r *Report) duplicates(images []image) {
	byContent := map[[32]byte][]*image{}
	for i := range images {
		if f := &images[i].facts; f.Bytes > 0 && f.Err == nil {
			byContent[f.SHA256] = append(byContent[f.SHA256], &images[i])
		}
	}
	for i := range images {
		group := byContent[images[i].facts.SHA256]
		if len(group) < 2 || group[0] != &images[i] {
			continue
		}
		kind := Duplicate
		var others []string
		for _, m := range group[1:] {
			if m.class() != group[0].class() && kind == Duplicate {
				kind = Conflict
			}
			if m.split != group[0].split {
				kind = Leak
			}
			others = append(others, m.path())
		}
		r.add(kind, group[0].path(), "", others...)
	}
}

// Quarantine lists the images, relative to the data set, that cannot be used.
// With duplicates, it also has those training images whose like is in an
// evaluation split or in another class, and of those that are twice in a class
// all but the first. Of an evaluation split only copies in one class are listed, so
// that it stays the same test.
func (r *Report) Quarantine(duplicates bool) []string {
	list := map[string]bool{}
	for _, p := range r.Problems {
		copies := append([]string{p.Path}, p.Others...)
		switch {
		case p.Kind == Unreadable:
			list[p.Path] = true
		case !duplicates:
		case p.Kind == Duplicate:
			for _, path := range p.Others {
				list[path] = true
			}
		case p.Kind == Leak || p.Kind == Conflict:
			r.addTraining(list, copies)
		}
	}
	paths := make([]string, 0, len(list))
	for path := range list {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// addTraining adds those of the paths that are in no evaluation split.
func (r *Report) addTraining(list map[string]bool, paths []string) {
	for _, path := range paths {
		split, _, _ := strings.Cut(path, string(filepath.Separator))
		if split == "train" || len(r.Splits) == 1 && r.Splits[0].Name == "" {
			list[path] = true
		}
	}
}
