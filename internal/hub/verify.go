package hub

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"effnet/internal/weights"
)

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
