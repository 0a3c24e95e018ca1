package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"effnet/internal/atomicfile"

	"pault.ag/go/debian/control"
)

// pinned has the time of the pins in its first line, as Debian's snapshots are named, and
// then, as sha256sum writes them, the hashes and the paths of packages on a mirror.
//
//go:embed packages.sha256
var pinned string

const (
	stamp = "20060102T150405Z"
	suite = "trixie"
)

// pins are versions of packages.
type pins struct {
	at       time.Time
	packages []pin
}

// pin is a package for one architecture, or for all.
type pin struct{ sum, path string }

func (p pin) of(arch string) bool {
	return strings.HasSuffix(p.path, "_"+arch+".deb") || strings.HasSuffix(p.path, "_all.deb")
}

func readPins(text string) (p pins, err error) {
	first, rest, _ := strings.Cut(text, "\n")
	if p.at, err = time.Parse("# "+stamp, first); err != nil {
		return p, fmt.Errorf("packages.sha256: %w", err)
	}
	for line := range strings.Lines(rest) {
		sum, path, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok || len(sum) != 64 {
			return p, fmt.Errorf("packages.sha256: %q is no hash and path", line)
		}
		p.packages = append(p.packages, pin{sum, path})
	}
	return p, nil
}

// writePins writes the present versions of packages to a file.
func writePins(ctx context.Context, file string) error {
	lines := map[string]bool{} // those for all architectures are in each index
	for _, arch := range architectures {
		found, err := present(ctx, arch)
		if err != nil {
			return err
		}
		for _, p := range found {
			lines[p.sum+"  "+p.path] = true
		}
	}
	var sorted []string
	for line := range lines {
		sorted = append(sorted, line)
	}
	slices.SortFunc(sorted, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	text := "# " + time.Now().UTC().Format(stamp) + "\n" + strings.Join(sorted, "\n") + "\n"
	return atomicfile.Write(file, func(f *os.File) error {
		_, err := f.WriteString(text)
		return err
	})
}

// present are the packages as the mirror's index for an architecture has them.
func present(ctx context.Context, arch string) (found []pin, err error) {
	index, err := download(ctx, mirror(), "dists/"+suite+"/main/binary-"+arch+"/Packages.gz")
	if err != nil {
		return nil, err
	}
	zr, err := gzip.NewReader(bytes.NewReader(index))
	if err != nil {
		return nil, err
	}
	for r, err := control.NewParagraphReader(bufio.NewReader(zr), nil); ; {
		if err != nil {
			return nil, err
		}
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if slices.Contains(packages, p.Values["Package"]) {
			found = append(found, pin{p.Values["SHA256"], p.Values["Filename"]})
		}
	}
	if len(found) != len(packages) {
		return nil, fmt.Errorf("%s has %d of %d packages for %s: %v", mirror(), len(found), len(packages), arch, found)
	}
	return found, nil
}
