package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"effnet/internal/atomicfile"
	"effnet/internal/bundle"
	"effnet/internal/hub"
	"effnet/internal/report"
	"effnet/internal/weights"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type bundleOptions struct {
	Base, About string
}

// AddFlags registers the options.
func (o *bundleOptions) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Base, "base", "", "`file`: effnet for another system, which the bundle is for (default: this program)")
	flags.StringVar(&o.About, "about", "", "what the bundle's help says of the network: on which images it was trained, for whom")
}

// Validate names the first option out of range.
func (o *bundleOptions) Validate() error {
	if strings.ContainsFunc(o.About, unicode.IsControl) {
		return usageError{fmt.Errorf("--about %q: want one line of text", o.About)}
	}
	return nil
}

func newBundleCommand() *cobra.Command {
	var opts bundleOptions
	cmd := &cobra.Command{
		Use:   "bundle CHECKPOINT OUT",
		Short: "Combine effnet and a trained network in one program",
		Long: `Combine effnet and a trained network in one program: whoever has the file OUT needs
nothing else. OUT IMAGE prints the likely classes, like effnet predict, and takes its
flags; OUT serve, OUT eval DIR and OUT export FILE do what these commands do with a
checkpoint. OUT --help and OUT version say what the network is. OUT reads the network
from its own file, writes no other, and checks it first.

OUT is for the system that effnet runs on. For another, --base names effnet for that
system, of the same version: the program in the release's archive for it. On Linux, the
archive named static has a program that needs no C library, so that the bundle runs in an
empty container.

` + checkpointHelp,
		Example: `  effnet bundle runs/first/best.safetensors flowers
  effnet bundle runs/first/best.safetensors flowers.exe --base effnet_windows/effnet.exe
  effnet bundle timm/efficientnet_b0.ra_in1k b0 --about "Names 1000 things, for the museum"`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBundle(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runBundle(ctx context.Context, w io.Writer, source, out string, opts bundleOptions) (err error) {
	if err := opts.Validate(); err != nil {
		return err
	}
	base, done, err := openBase(opts.Base, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if base.OS == "windows" && filepath.Ext(out) != ".exe" {
		return usageError{fmt.Errorf("bundle: %s: want a name that ends in .exe, as Windows does of a program", out)}
	}
	found, err := newHub(false).Resolve(ctx, source)
	if err != nil {
		return err
	}
	if err := notTheSource("bundle", found.Path, out); err != nil {
		return err
	}
	n, err := read(found, weights.Overrides{})
	if err != nil {
		return err
	}
	if err := atomicfile.WriteProgram(out, func(f *os.File) error {
		return base.Write(f, noteOf(found, opts.About), n.Encode)
	}); err != nil {
		return fmt.Errorf("bundle: writing %s: %w", out, err)
	}
	size, err := hub.Size(out)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	if base.Loader != "" {
		fmt.Fprintf(os.Stderr, "note: %s needs the system's C library (%s); a static build as --base does not\n", out, base.Loader)
	}
	_, err = fmt.Fprintf(w, "%s: %s, %d classes, for %s/%s, %s\n", out, n.Meta.Arch.Name, n.Meta.Arch.Classes, base.OS, base.Arch, report.Bytes(size))
	return err
}

// openBase opens the program that a bundle is made of, "" for this one, and returns what
// closes it.
func openBase(path, out string) (p *bundle.Program, done func() error, err error) {
	running, err := bundle.Executable()
	if path == "" {
		if path = running; err != nil {
			return nil, nil, fmt.Errorf("bundle: this program does not find its own file: %w (name it with --base)", err)
		}
	}
	for _, program := range []string{path, running} {
		if sameFile(program, out) {
			return nil, nil, usageError{fmt.Errorf("bundle: %s is effnet itself, which would be overwritten (name another file)", out)}
		}
	}
	wrong := func(err error) error { return usageError{fmt.Errorf("bundle: %s %w", path, err)} }
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("bundle: --base: %w", err)}
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = wrong(errors.New("is no file"))
	}
	if err == nil {
		if p, err = bundle.Examine(f, info.Size()); err != nil {
			err = wrong(err)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return p, f.Close, nil
}

// sameFile says whether two paths lead to one file.
func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	second, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(first, second)
}

// noteOf is what a bundle says of its network: a bundle's own words where none are given.
func noteOf(found hub.Found, about string) bundle.Note {
	note := bundle.Note{About: about}
	if hub.Named(found.Name) {
		note.Source = found.Name
	} else if b, err := bundle.Open(found.Path); err == nil {
		defer func() { _ = b.Close() }()
		note.Source = b.Note.Source
		if about == "" {
			note.About = b.Note.About
		}
	}
	return note
}
