package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"effnet/tools/dist"

	"pault.ag/go/debian/deb"
)

// packages is what the C library, C++ programs and TLS need, of Debian stable.
var packages = []string{"base-files", "ca-certificates", "gcc-14-base", "libc6", "libgcc-s1", "libstdc++6", "zlib1g"}

// kept is what the image has of the packages: patterns of path.Match, for a file or for a
// folder with everything in it. What is omitted is manuals, scripts and character sets.
var kept = []string{
	"etc/debian_version", "etc/host.conf", "etc/ld.so.conf.d", "etc/os-release", "root", "tmp",
	"usr/lib/os-release", "usr/lib/*.so*", "usr/lib/*/*.so*", "usr/lib64",
	"usr/share/common-licenses", "usr/share/doc/*/copyright",
}

// merged are the links that Debian's scripts make.
var merged = map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}

const (
	certificates = "usr/share/ca-certificates/"          // one a file
	bundle       = "etc/ssl/certs/ca-certificates.crt"   // all of them, where programs look
	status       = "var/lib/dpkg/status.d/"              // what scanners of images read
	accounts     = "root:x:0:0:root:/root:/sbin/nologin" // who is who
)

// debian is a base of the pinned packages.
func debian(ctx context.Context, arch string) (layer, error) {
	pins, err := readPins(pinned)
	if err != nil {
		return layer{}, err
	}
	l := layer{by: "Debian's packages of " + pins.at.Format(time.DateOnly), at: pins.at}
	found := map[string]dist.File{}
	for _, p := range pins.packages {
		if !p.of(arch) {
			continue
		}
		data, err := fetch(ctx, p, pins.at)
		if err != nil {
			return layer{}, err
		}
		if err := unpackDeb(found, p.path, data); err != nil {
			return layer{}, fmt.Errorf("%s: %w", p.path, err)
		}
	}
	for name, to := range merged {
		found[name] = dist.File{Name: name, Mode: fs.ModeSymlink | 0o777, Data: []byte(to)}
		found[to] = dist.File{Name: to, Mode: fs.ModeDir | 0o755}
	}
	found["etc/passwd"] = dist.File{Name: "etc/passwd", Mode: 0o644, Data: []byte(accounts + "\n")}
	bundleCertificates(found)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		l.files = append(l.files, found[name])
	}
	return l, nil
}

// unpackDeb adds to found what is kept of a package, its certificates, and its entry of
// the package database.
func unpackDeb(found map[string]dist.File, name string, data []byte) error {
	pkg, err := deb.Load(bytes.NewReader(data), name)
	if err != nil {
		return err
	}
	defer pkg.Close()
	var entry bytes.Buffer
	if err := pkg.Control.WriteTo(&entry); err != nil {
		return err
	}
	found[status+pkg.Control.Package] = dist.File{Name: status + pkg.Control.Package, Mode: 0o644, Data: entry.Bytes()}
	for {
		h, err := pkg.Data.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		file, err := fileOf(h, pkg.Data)
		if err != nil {
			return err
		}
		if keep(file.Name) || strings.HasPrefix(file.Name, certificates) {
			found[file.Name] = file
		}
	}
}

// fileOf is an entry of a package.
func fileOf(h *tar.Header, r io.Reader) (f dist.File, err error) {
	f = dist.File{Name: path.Clean(h.Name), Mode: h.FileInfo().Mode()}
	switch h.Typeflag {
	case tar.TypeReg:
		f.Data, err = io.ReadAll(r)
	case tar.TypeSymlink:
		f.Data = []byte(h.Linkname)
	case tar.TypeDir:
	default:
		err = fmt.Errorf("%s: an entry of type %c", h.Name, h.Typeflag)
	}
	return f, err
}

// keep says whether the image has a file.
func keep(name string) bool {
	for ; name != "." && name != "/"; name = path.Dir(name) {
		for _, pattern := range kept {
			if ok, _ := path.Match(pattern, name); ok {
				return true
			}
		}
	}
	return false
}

// bundleCertificates puts the certificates into one file, as ca-certificates' script does.
func bundleCertificates(found map[string]dist.File) {
	var all bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !strings.HasPrefix(name, certificates) {
			continue
		}
		if path.Ext(name) == ".crt" {
			all.Write(found[name].Data)
		}
		delete(found, name)
	}
	found[bundle] = dist.File{Name: bundle, Mode: 0o644, Data: all.Bytes()}
}
