package hub

import (
	"crypto/md5"  //nolint:gosec // what Keras publishes
	"crypto/sha1" //nolint:gosec // what git names files by
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"regexp"
	"strings"
)

// A checksum is what was published of a file's contents.
type checksum struct {
	kind string // a row of kinds; "" for none
	hex  string // the digest, or how it begins
}

// kinds of checksums, by the name that people know them by.
var kinds = map[string]func(size int64) hash.Hash{
	"sha256": func(int64) hash.Hash { return sha256.New() },
	"md5":    func(int64) hash.Hash { return md5.New() }, //nolint:gosec // see the import
	"git": func(size int64) hash.Hash {
		h := sha1.New() //nolint:gosec // see the import
		fmt.Fprintf(h, "blob %d\x00", size)
		return h
	},
}

// published is a cell of the table as a checksum.
func published(cell string) checksum {
	kind, digits, _ := strings.Cut(cell, ":")
	return checksum{kind, digits}
}

var (
	isSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)
	isSHA1   = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// ofETag is the checksum that the hub gives a file as its ETag: git's where git has it,
// SHA-256 where it is stored apart.
func ofETag(etag string) checksum {
	switch {
	case isSHA256.MatchString(etag):
		return checksum{"sha256", etag}
	case isSHA1.MatchString(etag):
		return checksum{"git", etag}
	}
	return checksum{}
}

// of computes the kind's checksum of a file.
func (c checksum) of(path string) (digits string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	h := kinds[c.kind](info.Size())
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// matches says whether a file has the checksum, as every file has none.
func (c checksum) matches(path string) (bool, error) {
	if c.kind == "" {
		return true, nil
	}
	got, err := c.of(path)
	return strings.HasPrefix(got, c.hex), err
}

// String is how a check by it is called.
func (c checksum) String() string {
	switch {
	case c.kind == "git":
		return "git's SHA-1"
	case c.kind == "md5":
		return "MD5"
	case c.kind == "sha256" && len(c.hex) < 2*sha256.Size:
		return fmt.Sprintf("the first %d digits of SHA-256", len(c.hex))
	case c.kind == "sha256":
		return "SHA-256"
	}
	return "its structure"
}
