// Command image writes two OCI images as tar files of their layouts, each for Linux on
// amd64 and arm64, and adds them to SHA256SUMS. It needs Go and no container engine, and
// from one commit and one version of Go it writes the same bits anywhere:
//
//	go run ./tools/image [-out bin/release] [-only static]
//
// static is the program that needs nothing, and omits CUDA; slim has the C library and
// others that CUDA's and MPI's want, from Debian's packages. packages.sha256 pins these.
// They come from Debian's mirror, or its snapshots where the mirror has newer ones, or
// from what EFFNET_DEBIAN names: another mirror, or a folder of .deb files. -fetch brings
// them to the user's cache, where they are looked for first, and makes nothing; -pin
// writes packages.sha256 anew, with the mirror's present versions.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"effnet/tools/dist"
)

func main() {
	out := flag.String("out", "bin/release", "folder to write")
	only := flag.String("only", "", "static or slim; both, if empty")
	pin := flag.Bool("pin", false, "write tools/image/packages.sha256 and stop")
	fetch := flag.Bool("fetch", false, "bring Debian's packages to the cache and stop")
	flag.Parse()
	work := func(ctx context.Context) error { return images(ctx, ".", *out, *only) }
	switch {
	case *pin:
		work = func(ctx context.Context) error { return writePins(ctx, "tools/image/packages.sha256") }
	case *fetch:
		work = fetchAll
	}
	if err := work(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// images writes the images of the checkout at root.
func images(ctx context.Context, root, out, only string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	source, with, err := dist.Prepare(ctx, root)
	if err != nil {
		return err
	}
	done := false
	for _, k := range kinds {
		if only != "" && only != k.name {
			continue
		}
		done = true
		archive, err := k.archive(ctx, source, with)
		if err != nil {
			return err
		}
		if err := dist.WriteFile(out, archive); err != nil {
			return err
		}
	}
	if !done {
		return fmt.Errorf("-only: no image %s (have static and slim)", only)
	}
	return dist.WriteSums(out)
}
