package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A stamper is a store that can tell whether its files have changed.
type stamper interface {
	// stamp writes to h what changes when a file of the store does.
	stamp(h hash.Hash) error
}

// fingerprint returns a digest of the classes and of the name, class, size and
// modification time of each file of a split, in hexadecimal.
func fingerprint(s *Set) (string, error) {
	st, ok := s.store.(stamper)
	if !ok {
		return "", fmt.Errorf("data: %s: only folders have a fingerprint", s.Dir)
	}
	h := sha256.New()
	for _, class := range s.Classes {
		fmt.Fprintf(h, "%d:%s\n", len(class), class)
	}
	if err := st.stamp(h); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeStamp writes to h what tells a version of a file from another.
func writeStamp(h io.Writer, name string, info fs.FileInfo) {
	fmt.Fprintf(h, "%d:%s %d %d\n", len(name), name, info.Size(), info.ModTime().UnixNano())
}

// fresh returns an error if a split's source is still there and has changed. It
// is not fs.ErrNotExist.
func (p *pack) fresh(split packSplit) error {
	source := string(p.meta.Source)
	if _, err := os.Stat(source); err != nil {
		return nil //nolint:nilerr // a pack may be used where its source is not
	}
	dir, reason := filepath.Join(source, split.Name), "has changed since"
	set, err := list(dir)
	if err == nil {
		var now string
		if now, err = fingerprint(set); err == nil && now == split.Fingerprint {
			return nil
		}
	}
	if err != nil {
		reason = "cannot be compared with it: " + err.Error()
	}
	return &Error{Path: p.name, Reason: "an outdated pack: its source " + dir + " " + reason, Hint: "make it again: " + p.meta.command(p.name)}
}

// Digest tells a Set from others, wherever its files lie: the SHA-256, in hexadecimal, of
// the classes, of each image's class and name within Dir, and of the bytes of a few images
// spread over the Set.
func (s *Set) Digest() (string, error) {
	const samples = 16
	h := sha256.New()
	for _, class := range s.Classes {
		fmt.Fprintf(h, "%d:%s\n", len(class), class)
	}
	for i := range s.Len() {
		name := filepath.ToSlash(strings.TrimPrefix(s.Path(i), s.Dir))
		fmt.Fprintf(h, "%d %d:%s\n", s.Label(i), len(name), name)
	}
	var buf buffer
	for k := range min(samples, s.Len()) {
		i := k * s.Len() / min(samples, s.Len())
		record, err := s.store.read(&buf, s.at(i))
		if _, unusable := errors.AsType[*Error](err); err != nil && !unusable {
			return "", err
		}
		fmt.Fprintf(h, "%d %d %d:", record.w, record.h, len(record.data))
		h.Write(record.data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
