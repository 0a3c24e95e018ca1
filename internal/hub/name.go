package hub

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"effnet/internal/checkpoint"
	"effnet/internal/words"
)

// hubPrefix is what the name of any repository of the Hugging Face hub begins with.
const hubPrefix = "hf:"

const mainRevision = "main"

// What a repository has: how images are prepared, and the weights, in one of the files
// that timm calls so, the best first.
const configFile = "config.json"

var weightFiles = []string{"model.safetensors", "pytorch_model.bin"}

// Names says how weights are named, for people.
const Names = "timm/efficientnet_b0.ra_in1k, torchvision/efficientnet_b0 or hf:OWNER/NAME[@REVISION]"

// A source is where weights that have a name are.
type source struct {
	name           string // as it was given
	entry          *Entry // the table's line; nil for another repository of the hub
	repo, revision string // on the Hugging Face hub; repo is "" for a file that has a URL
}

var repoName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)

// parse finds what a name stands for. It is nil for what is no name, but may be a path.
func parse(name string) (*source, error) {
	base, revision, pinned := strings.Cut(name, "@")
	if repo, ok := strings.CutPrefix(base, hubPrefix); ok {
		// The cache makes a folder's name of it with "--" for the slash.
		if !repoName.MatchString(repo) || strings.Contains(repo, "--") || strings.Contains(repo, "..") || !validRevision(revision, pinned) {
			return nil, fault(name, "want hf:OWNER/NAME or hf:OWNER/NAME@REVISION", "is not a name of a repository of the Hugging Face hub")
		}
		return &source{name: name, repo: repo, revision: cmp.Or(revision, mainRevision)}, nil
	}
	entry, ok := Lookup(base)
	if !ok {
		if origin, _, slash := strings.Cut(base, "/"); slash && slices.Contains(origins(), origin) {
			return nil, unknown(name, base)
		}
		return nil, nil
	}
	s := &source{name: name, entry: &entry, repo: entry.repository(), revision: cmp.Or(revision, mainRevision)}
	switch {
	case pinned && s.repo == "":
		return nil, fault(name, "leave out the @", "has no revisions: only what is on the Hugging Face hub has")
	case !validRevision(revision, pinned):
		return nil, fault(name, "after @ comes a branch, a tag or a commit", "names no revision")
	}
	return s, nil
}

// Named says whether a text is a name of weights.
func Named(text string) bool {
	s, err := parse(text)
	return s != nil && err == nil
}

// validRevision says whether a revision may be a part of a path: a branch may have
// slashes, as refs/pr/1 has.
func validRevision(revision string, given bool) bool {
	return !given || revision != "" && filepath.IsLocal(filepath.FromSlash(revision)) && !strings.ContainsAny(revision, `\:*?"<>|`)
}

// unknown is the error of a name of an origin that the table has, but of no line.
func unknown(name, base string) error {
	network, _, _ := strings.Cut(base, ".")
	var same []string
	for _, e := range table {
		if of, _ := e.network(); of == network {
			same = append(same, e.Name)
		}
	}
	if same != nil {
		return fault(name, "effnet weights list shows all", "is no published file that effnet knows: of %s it knows %s", network, strings.Join(same, ", "))
	}
	return fault(name, Suggest(base)+"effnet weights list shows those that are; hf:OWNER/NAME tries any other repository", "is not among the published weights that effnet can run")
}

// maxSuggested is how many names of the same network are suggested.
const maxSuggested = 3

// Suggest is "did you mean X? " for what may be a mistyped name of published weights, and
// empty where none is near: the names of a network for the network's own name, and
// otherwise the nearest name, with or without its origin and tag.
func Suggest(text string) string {
	text = strings.ToLower(text)
	var of, near []string
	meant := map[string]string{}
	for _, e := range table {
		network, _ := e.network()
		_, short, _ := strings.Cut(network, "/")
		if e.Variant == text || short == text {
			of = append(of, e.Name)
		}
		for _, written := range []string{e.Name, network, short} {
			if meant[written] == "" || e.Default {
				meant[written] = e.Name
			}
			near = append(near, written)
		}
	}
	if of == nil {
		if best := words.Nearest(text, near); best != "" {
			of = []string{meant[best]}
		}
	}
	if of == nil {
		return ""
	}
	return "did you mean " + strings.Join(of[:min(len(of), maxSuggested)], " or ") + "? "
}

// fault is an error of a name.
func fault(name, hint, format string, args ...any) error {
	return &checkpoint.Error{Path: cmp.Or(name, `""`), Reason: fmt.Sprintf(format, args...), Hint: hint}
}

// local is the file that a path leads to; ok is false where there is nothing. A folder as
// the hub has them stands for its weights.
func local(path string) (file string, ok bool) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		for _, name := range weightFiles {
			inside := filepath.Join(path, name)
			if f, err := os.Stat(inside); err == nil && f.Mode().IsRegular() {
				return inside, true
			}
		}
	}
	if err != nil {
		_, err = os.Stat(path + ".index") // a TensorFlow checkpoint's prefix
	}
	return path, err == nil
}
