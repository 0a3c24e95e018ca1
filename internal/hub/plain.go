package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"effnet/internal/atomicfile"
	"effnet/internal/filelock"
	"effnet/internal/weights"
)

// recordFile is written last into the folder of a file that has a URL: with it, the
// folder is complete.
const recordFile = "download.json"

// record says what was downloaded.
type record struct {
	URL   string            `json:"url"`
	ETag  string            `json:"etag"`
	Files map[string]string `json:"files"` // SHA-256 by name
	Open  string            `json:"open"`  // of the files, the one to open; a TensorFlow checkpoint's prefix
}

// ownFolder is where a file that has a URL is kept: EFFNET_CACHE/weights/ORIGIN/NETWORK.TAG.
func (h *Hub) ownFolder(e *Entry) string {
	return filepath.Join(h.OwnCache, "weights", filepath.FromSlash(e.Name))
}

func readRecord(dir string) (r record, ok bool) {
	text, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil || json.Unmarshal(text, &r) != nil {
		return r, false
	}
	for name := range r.Files {
		if !filepath.IsLocal(name) || !exists(filepath.Join(dir, name)) {
			return r, false
		}
	}
	return r, len(r.Files) > 0
}

func (r record) write(dir string) error {
	return atomicfile.Write(filepath.Join(dir, recordFile), func(f *os.File) error {
		e := json.NewEncoder(f)
		e.SetIndent("", "  ")
		return e.Encode(r)
	})
}

// findOwn is the complete download of an entry, "" where there is none.
func (h *Hub) findOwn(e *Entry) string {
	dir := h.ownFolder(e)
	if r, ok := readRecord(dir); ok {
		return filepath.Join(dir, r.Open)
	}
	return ""
}

// pullOwn downloads the file of an entry from its URL.
func (h *Hub) pullOwn(ctx context.Context, e *Entry) (string, error) {
	if h.OwnCache == "" {
		return "", hinted{errors.New("has no place: this system names no folder for caches"), "set EFFNET_CACHE to a folder"}
	}
	dir := h.ownFolder(e)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	unlock, err := filelock.Wait(ctx, filepath.Join(dir, ".lock"), func() { h.note("%s: another process is downloading it: waiting", e.Name) })
	if err != nil {
		return "", err
	}
	defer unlock()
	r, err := h.askPlain(ctx, e)
	if err != nil {
		return "", err
	}
	if old, ok := readRecord(dir); ok && old.URL == r.url && old.ETag == r.etag && r.etag != "" {
		if !anyBad(verifyOwn(dir, e)) {
			return filepath.Join(dir, old.Open), nil
		}
		h.note("%s: the file in the cache is damaged: downloading it again", e.Name)
	}
	partial := filepath.Join(dir, incompleteName(r))
	if err := h.download(ctx, r, partial); err != nil {
		return "", err
	}
	return settle(dir, partial, r, e)
}

// incompleteName depends on the ETag: what is left of an older file is not continued.
func incompleteName(r remote) string {
	sum := sha256.Sum256([]byte(r.etag))
	return fileOf(r.url) + "." + hex.EncodeToString(sum[:4]) + ".incomplete"
}

// fileOf is the name of a URL's file.
func fileOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || !filepath.IsLocal(path.Base(u.Path)) {
		return "weights"
	}
	return path.Base(u.Path)
}

func isArchive(name string) bool { return strings.HasSuffix(name, ".tar.gz") }

// askPlain asks a server for a file's size and ETag. One that does not say them is asked
// for the file all the same.
func (h *Hub) askPlain(ctx context.Context, e *Entry) (remote, error) {
	r := remote{name: e.Name, url: e.File, size: -1, sum: published(e.Hash), fits: weights.Check}
	if isArchive(e.File) {
		r.fits = func(path string) error { return unpack(path, "", limit(e)) }
	}
	err := h.retry(ctx, r.name, func() (bool, error) {
		short, cancel := context.WithTimeoutCause(ctx, h.Metadata, errStall)
		defer cancel()
		res, err := h.do(short, http.MethodHead, r.url, nil)
		if err != nil {
			return false, causeOf(short, err)
		}
		defer func() { _ = res.Body.Close() }()
		r.etag, r.size = res.Header.Get("ETag"), res.ContentLength
		return false, nil
	})
	if status, ok := errors.AsType[*statusError](err); ok {
		switch status.status {
		case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented: // for HEAD
			err = nil
		}
	}
	return r, err
}

// settle gives a download its name, or unpacks it, and writes the record.
func settle(dir, complete string, r remote, e *Entry) (string, error) {
	name := fileOf(r.url)
	record := record{URL: r.url, ETag: r.etag, Files: map[string]string{}, Open: name}
	if isArchive(name) {
		if err := unpack(complete, dir, limit(e)); err != nil {
			return "", err
		}
		if err := os.Remove(complete); err != nil {
			return "", err
		}
		record.Open = checkpointPrefix
	} else if err := os.Rename(complete, filepath.Join(dir, name)); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(dir, record.Open+"*"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".incomplete") {
			continue
		}
		if record.Files[filepath.Base(file)], err = (checksum{kind: "sha256"}).of(file); err != nil {
			return "", err
		}
	}
	if len(record.Files) == 0 {
		return "", fmt.Errorf("%s: nothing was written", dir)
	}
	return filepath.Join(dir, record.Open), record.write(dir)
}
