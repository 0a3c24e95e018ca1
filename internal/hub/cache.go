package hub

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"effnet/internal/atomicfile"
	"effnet/internal/filelock"
)

// A repoCache is the folder of a repository as huggingface_hub lays it out, for programs
// that share it: refs/REVISION has a commit, blobs/ETAG the contents of a file, and
// snapshots/COMMIT/NAME is a link to a blob, or where there are no links a file. A blob may
// be a link itself, into a store that repositories share: it is read, and never deleted.
type repoCache struct {
	root   string // of all repositories
	folder string // models--OWNER--NAME
}

func (h *Hub) repoCache(repo string) repoCache {
	return repoCache{h.HubCache, "models--" + strings.ReplaceAll(repo, "/", "--")}
}

func (c repoCache) path(parts ...string) string {
	return filepath.Join(append([]string{c.root, c.folder}, parts...)...)
}

// commit is the one that a revision stood for when it was last asked for, "" for none.
func (c repoCache) commit(revision string) string {
	if isSHA1.MatchString(revision) {
		return revision
	}
	text, _ := os.ReadFile(c.path("refs", filepath.FromSlash(revision))) // none: not asked for yet
	if commit := strings.TrimSpace(string(text)); isSHA1.MatchString(commit) {
		return commit
	}
	return ""
}

// snapshot is where a file of a commit is.
func (c repoCache) snapshot(commit, name string) string { return c.path("snapshots", commit, name) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// find returns the weights of a revision, and whether its config.json is there as well;
// "" where they are not in the cache.
func (c repoCache) find(revision string) (weights string, described bool) {
	commit := c.commit(revision)
	if commit == "" {
		return "", false
	}
	for _, name := range weightFiles {
		if path := c.snapshot(commit, name); exists(path) {
			return path, exists(c.snapshot(commit, configFile))
		}
	}
	return "", false
}

// point makes a revision stand for a commit, if both are not the same.
func (c repoCache) point(revision, commit string) error {
	if revision == commit || c.commit(revision) == commit {
		return nil
	}
	path := c.path("refs", filepath.FromSlash(revision))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return atomicfile.Write(path, func(f *os.File) error {
		_, err := f.WriteString(commit)
		return err
	})
}

// tagText marks a folder that programs which make backups may skip
// (bford.info/cachedir); huggingface_hub writes it too.
const tagText = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache: its files can be downloaded again.\n"

// lock takes the lock of a blob, which huggingface_hub would take.
func (c repoCache) lock(ctx context.Context, etag string, waiting func()) (unlock func(), err error) {
	dir := filepath.Join(c.root, ".locks", c.folder)
	for _, dir := range []string{dir, c.path("blobs")} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, err
		}
	}
	if tag := filepath.Join(c.root, "CACHEDIR.TAG"); !exists(tag) {
		_ = os.WriteFile(tag, []byte(tagText), 0o666) // only a help
	}
	return filelock.Wait(ctx, filepath.Join(dir, etag+".lock"), waiting)
}

// publish gives a complete file its name among the blobs.
func (c repoCache) publish(complete, etag string) error {
	err := os.Rename(complete, c.path("blobs", etag))
	if err != nil && exists(c.path("blobs", etag)) { // another process was first, without locks
		return nil
	}
	return err
}

// link makes a blob a file of a commit: a link, or where there can be none or with copies,
// the blob itself if it is fresh, which no other commit has, and else a copy.
func (c repoCache) link(etag, commit, name string, copies, fresh bool) error {
	pointer, blob := c.snapshot(commit, name), c.path("blobs", etag)
	if exists(pointer) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(pointer), 0o777); err != nil {
		return err
	}
	_ = os.Remove(pointer) // a link that leads nowhere
	target, err := filepath.Rel(filepath.Dir(pointer), blob)
	if err != nil {
		return err
	}
	if !copies {
		if err := os.Symlink(target, pointer); err == nil || errors.Is(err, os.ErrExist) && exists(pointer) {
			return nil
		}
	}
	if info, err := os.Lstat(blob); err == nil && info.Mode().IsRegular() && fresh {
		return os.Rename(blob, pointer)
	}
	return copyFile(blob, pointer)
}

func copyFile(from, to string) error {
	content, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	return atomicfile.Write(to, func(f *os.File) error {
		_, err := f.ReadFrom(content)
		return err
	})
}

// remove deletes a folder of a cache and returns how many bytes that were. Links into a
// shared store go, and what they lead to stays.
func remove(dir string) (freed int64, err error) {
	freed, err = Size(dir)
	if err == nil {
		err = os.RemoveAll(dir)
	}
	return freed, err
}

// Size is how many bytes the files of a folder have, or a file, without what links lead to.
func Size(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
