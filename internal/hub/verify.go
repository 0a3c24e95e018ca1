package hub

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"effnet/internal/checkpoint"
	"effnet/internal/weights"
)

// Remove deletes what the cache has of a name and returns how many bytes that were.
func (h *Hub) Remove(name string) (freed int64, err error) {
	s, err := mustParse(name)
	if err != nil {
		return 0, err
	}
	if !exists(h.folder(s)) {
		return 0, fault(name, "", "is not in the cache")
	}
	freed, err = remove(h.folder(s))
	if cause, ok := ofDisk(err); ok {
		err = &checkpoint.Error{Path: name, Reason: "cannot be removed from " + h.folder(s), Err: cause}
	}
	return freed, err
}

// Check is what a file of the cache was found to be.
type Check struct {
	File string `json:"file"`
	By   string `json:"by"` // what was compared
	Err  error  `json:"-"`  // nil for a good one
}

// Verify compares what the cache has of a name with the checksums that belong to it.
func (h *Hub) Verify(name string) ([]Check, error) {
	s, err := mustParse(name)
	if err != nil {
		return nil, err
	}
	path := h.cached(s)
	if path == "" {
		return nil, fault(name, "effnet weights pull "+name+" downloads it", "is not in the cache")
	}
	if s.repo == "" {
		return verifyOwn(filepath.Dir(path), s.entry), nil
	}
	return h.repoCache(s.repo).verify(filepath.Dir(path)), nil
}

// Open reads weights that were found.
func (h *Hub) Open(f Found, o weights.Overrides) (*weights.Imported, error) {
	o.Known = f.Known
	w, err := weights.Open(f.Path, o)
	if e, ok := errors.AsType[*checkpoint.Error](err); ok {
		return nil, h.advise(f, e)
	}
	return w, err
}

// advise adds to an error about weights that were found what to do about it: those of the
// cache can be downloaded again if they are damaged, a path may hide published weights of
// its name, and what is not there may be a mistyped name.
func (h *Hub) advise(f Found, e *checkpoint.Error) *checkpoint.Error {
	hint := e.Hint
	file, isLocal := local(f.Name)
	isLocal = isLocal && file == f.Path
	switch {
	case isLocal && Named(f.Name):
		hint = "a file or folder here has the name of published weights, and comes first: rename it to use those"
	case isLocal:
		return e
	case f.Name == f.Path:
		hint = strings.TrimSpace(Suggest(f.Name))
	case h.damaged(f.Name):
		hint = "it is damaged in the cache: effnet weights pull " + f.Name + " downloads it again"
	}
	if hint == "" {
		return e
	}
	return &checkpoint.Error{Path: e.Path, Reason: e.Reason, Hint: hint, Err: e.Err}
}

// damaged says whether the cache has weights of a name that are not as they were published.
func (h *Hub) damaged(name string) bool {
	checks, err := h.Verify(name)
	return err == nil && anyBad(checks)
}

func anyBad(checks []Check) bool {
	return slices.ContainsFunc(checks, func(c Check) bool { return c.Err != nil })
}

// verify checks the files of a snapshot by their blobs' names, which are checksums. A file
// that is no link has lost it: only its structure can be checked.
func (c repoCache) verify(snapshot string) (all []Check) {
	entries, err := os.ReadDir(snapshot)
	if err != nil {
		return []Check{{File: snapshot, Err: err}}
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		all = append(all, checkPointer(filepath.Join(snapshot, e.Name())))
	}
	return all
}

// checkPointer checks a file of a snapshot.
func checkPointer(path string) Check {
	var sum checksum
	if target, err := os.Readlink(path); err == nil {
		sum = ofETag(filepath.Base(target))
	}
	return sum.check(path, slices.Contains(weightFiles, filepath.Base(path)))
}

// verifyOwn checks the files of a download by what was computed of them when they came, and
// by what was published.
func verifyOwn(dir string, e *Entry) (all []Check) {
	r, _ := readRecord(dir)
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		path := filepath.Join(dir, name)
		check := checksum{"sha256", r.Files[name]}.check(path, false)
		if sum := published(e.Hash); check.Err == nil && name == r.Open && sum.kind != "" {
			check = sum.check(path, true)
		}
		all = append(all, check)
	}
	return all
}

func (c checksum) check(path string, holdsWeights bool) Check {
	ok, err := c.matches(path)
	if err == nil && !ok {
		err = fmt.Errorf("its checksum (%s) is wrong", c)
	}
	if err == nil && holdsWeights {
		err = weights.Check(path)
	}
	return Check{path, c.String(), err}
}
