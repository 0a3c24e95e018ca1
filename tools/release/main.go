// Command release writes the archives of a release, their bills of materials and
// SHA256SUMS into a folder. It needs Go and nothing else, and from one commit and one
// version of Go it writes the same bits anywhere:
//
//	go run ./tools/release [-out bin/release] [-only linux_amd64,windows_arm64] [-check]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"effnet/tools/dist"
)

func main() {
	out := flag.String("out", "bin/release", "folder to write")
	only := flag.String("only", "", "targets, separated by commas: linux_amd64, linux_amd64_static and so on; all, if empty")
	check := flag.Bool("check", false, "compile for every target, and write nothing")
	flag.Parse()
	work := func(ctx context.Context, targets []dist.Target) error { return release(ctx, ".", *out, targets) }
	if *check {
		work = compile
	}
	targets, err := choose(*only)
	if err == nil {
		err = work(context.Background(), targets)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// compile says that the checkout compiles for the targets.
func compile(ctx context.Context, targets []dist.Target) error {
	for _, t := range targets {
		if err := t.Check(ctx, "."); err != nil {
			return err
		}
		fmt.Println(t, "compiles")
	}
	return nil
}

// release builds the checkout at root for the targets.
func release(ctx context.Context, root, out string, targets []dist.Target) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	source, with, err := dist.Prepare(ctx, root)
	if err != nil {
		return err
	}
	for _, t := range targets {
		files, err := source.Archive(ctx, t, with)
		if err != nil {
			return err
		}
		for _, file := range files {
			if err := dist.WriteFile(out, file); err != nil {
				return err
			}
		}
	}
	return dist.WriteSums(out)
}

// choose are the targets of a list of names.
func choose(only string) ([]dist.Target, error) {
	if only == "" {
		return dist.Targets, nil
	}
	var chosen []dist.Target
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(dist.Targets, func(t dist.Target) bool { return t.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("-only: no target %s (have %v)", name, dist.Targets)
		}
		chosen = append(chosen, dist.Targets[i])
	}
	return chosen, nil
}
