package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"effnet/internal/atomicfile"
)

const (
	debianMirror    = "https://deb.debian.org/debian"
	debianSnapshots = "https://snapshot.debian.org/archive/debian/"
	patience        = 2 * time.Minute // for one package
)

// mirror is where packages are from.
func mirror() string { return cmp.Or(os.Getenv("EFFNET_DEBIAN"), debianMirror) }

// fetch is a pinned package, from the user's cache or from the first place that has it.
// Wherever it is from, its hash decides.
func fetch(ctx context.Context, p pin, at time.Time) ([]byte, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	cached := filepath.Join(cache, "effnet", "debian", p.sum+".deb")
	if data, err := os.ReadFile(cached); err == nil && p.matches(data) {
		return data, nil
	}
	var tried error
	for _, from := range []string{mirror(), debianSnapshots + at.Format(stamp)} {
		data, err := download(ctx, from, p.path)
		if err == nil && !p.matches(data) {
			err = fmt.Errorf("%s/%s has SHA-256 %x, packages.sha256 %s", from, p.path, sha256.Sum256(data), p.sum)
		}
		if err != nil {
			tried = errors.Join(tried, err)
			continue
		}
		return data, keepCached(cached, data)
	}
	return nil, fmt.Errorf("%w\nthe image slim needs Debian's packages: set EFFNET_DEBIAN to a mirror or to a folder of .deb files, or make the other alone: -only static", tried)
}

// fetchAll fetches every pinned package.
func fetchAll(ctx context.Context) error {
	pins, err := readPins(pinned)
	if err != nil {
		return err
	}
	for _, p := range pins.packages {
		if _, err := fetch(ctx, p, pins.at); err != nil {
			return err
		}
	}
	return nil
}

func (p pin) matches(data []byte) bool {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]) == p.sum
}

func keepCached(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(file, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// download is a file of a mirror, or of a folder of packages.
func download(ctx context.Context, from, file string) ([]byte, error) {
	if !strings.Contains(from, "://") {
		return os.ReadFile(filepath.Join(from, path.Base(file)))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from+"/"+file, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s/%s: %s", from, file, answer.Status)
	}
	return io.ReadAll(answer.Body)
}
