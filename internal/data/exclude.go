package data

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Exclude returns the sets without the images that a text file lists, one a
// line, as Set.Path has them or relative to dir; empty lines and those that
// start with # are passed over, and so are images of dir's other splits. A nil set
// stays nil. A file that cannot be read, a line that is no image of dir, and a
// class that is left without images are *Errors.
func Exclude(list, dir string, sets ...*Set) ([]*Set, error) {
	content, err := os.ReadFile(list)
	if err != nil {
		return nil, unreadable(list, err)
	}
	text, err := plainText(list, content)
	if err != nil {
		return nil, err
	}
	paths := listed(text)
	found := make(map[string]bool, 2*len(paths))
	for _, p := range paths {
		found[filepath.Clean(p)], found[filepath.Join(dir, p)] = false, false
	}
	rest := make([]*Set, len(sets))
	for k, s := range sets {
		if s == nil {
			continue
		}
		rest[k] = s.without(found)
		before := s.Counts()
		for c, n := range rest[k].Counts() {
			if n == 0 && before[c] > 0 {
				return nil, &Error{Path: list, Reason: "leaves no image of class " + s.Classes[c] + " in " + s.Dir, Hint: "remove the class's folder to do without it"}
			}
		}
	}
	missing := func(p string) bool { return !found[filepath.Clean(p)] && !found[filepath.Join(dir, p)] }
	if slices.ContainsFunc(paths, missing) {
		splits, _, err := Survey(dir)
		if err != nil {
			return nil, err
		}
		for _, s := range splits {
			s.Set.without(found)
		}
	}
	if i := slices.IndexFunc(paths, missing); i >= 0 {
		return nil, &Error{Path: list, Reason: "no image is called " + paths[i], Hint: "names are relative to " + dir}
	}
	return rest, nil
}

// listed returns the paths in a text.
func listed(text string) (paths []string) {
	for line := range strings.Lines(text) {
		if text := strings.TrimSpace(line); text != "" && text[0] != '#' {
			paths = append(paths, strings.TrimRight(line, "\r\n"))
		}
	}
	return paths
}

// without returns the Set of the images whose path is not a key of found, and
// marks the keys that are an image's.
func (s *Set) without(found map[string]bool) *Set {
	var keep []int
	for i := range s.Len() {
		path := filepath.Clean(s.Path(i))
		if _, ok := found[path]; ok {
			found[path] = true
		} else {
			keep = append(keep, i)
		}
	}
	return s.Select(keep)
}
