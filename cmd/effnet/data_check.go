package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"effnet/internal/atomicfile"
	"effnet/internal/data"
	"effnet/internal/data/check"
	"effnet/internal/report"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type checkOptions struct {
	Workers, Tiny       int
	Exclude, Quarantine string
	Duplicates, All     bool
	JSON, Quiet         bool
}

// AddFlags registers the options.
func (o *checkOptions) AddFlags(flags *pflag.FlagSet) {
	flags.IntVarP(&o.Workers, "workers", "j", 0, "goroutines that decode images; 0 for one per core")
	flags.IntVar(&o.Tiny, "tiny", 32, "report images whose shorter side has fewer pixels than this")
	flags.StringVar(&o.Exclude, "exclude", "", "text `file` of images to skip, one per line")
	flags.StringVar(&o.Quarantine, "quarantine", "", "list the images that cannot be used in this `file`, for train --exclude")
	flags.BoolVar(&o.Duplicates, "duplicates", false, "list duplicates in the --quarantine file too")
	flags.BoolVar(&o.All, "all", false, "print every problem, not only the first of each kind")
	flags.BoolVar(&o.JSON, "json", false, "print the report as one JSON object")
	flags.BoolVarP(&o.Quiet, "quiet", "q", false, "print no progress")
}

// Validate names the first option out of range.
func (o *checkOptions) Validate() error {
	switch {
	case o.Workers < 0:
		return usageError{fmt.Errorf("--workers %d: want 0 or more", o.Workers)}
	case o.Tiny < 0:
		return usageError{fmt.Errorf("--tiny %d: want 0 or more", o.Tiny)}
	case o.Duplicates && o.Quarantine == "":
		return usageError{fmt.Errorf("--duplicates: does nothing without --quarantine FILE")}
	}
	return nil
}

func newDataCheckCommand() *cobra.Command {
	var opts checkOptions
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "Decode every image and report what is wrong",
		Long: `Decode every image in every split of DIR, a folder or a pack. Report images that cannot
be used, files that appear in two splits or classes, the number of images per class,
and sizes. Nothing is changed. The exit code is 3 if something cannot be used.`,
		Example: `  effnet data check photos
  effnet data check photos --quarantine bad.txt; effnet train photos --exclude bad.txt`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDataCheck(cmd.Context(), cmd.OutOrStdout(), args[0], opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runDataCheck(ctx context.Context, w io.Writer, dir string, opts checkOptions) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	if opts.Quarantine != "" && !mayReplace(opts.Quarantine) {
		return usageError{fmt.Errorf("--quarantine %s: exists and is not such a list (choose another name)", opts.Quarantine)}
	}
	log := newLog(1, opts.Quiet)
	began := time.Now()
	r, err := check.Run(ctx, dir, check.Options{
		Workers: data.Workers(opts.Workers), Tiny: opts.Tiny, Exclude: opts.Exclude,
		Progress: func(done, total int) {
			log.Count(report.Count{Verb: "checked", Done: done, Total: total, Elapsed: time.Since(began)})
		},
	})
	if err != nil {
		return err
	}
	if opts.Quarantine != "" {
		if err := writeQuarantine(opts.Quarantine, dir, r.Quarantine(opts.Duplicates)); err != nil {
			return err
		}
	}
	if opts.JSON {
		err = json.NewEncoder(w).Encode(r)
	} else {
		err = r.WriteText(w, map[bool]int{false: 5, true: 0}[opts.All])
	}
	if err != nil {
		return err
	}
	if !r.Usable {
		return &data.Error{Path: dir, Reason: r.Verdict()}
	}
	return nil
}

// listBegins is how a list of images to skip begins.
const listBegins = "# Images of "

// mayReplace reports whether path names no file, an empty one, or a list that
// writeQuarantine wrote. Anything else may be an image.
func mayReplace(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	begin := make([]byte, len(listBegins))
	n, err := io.ReadFull(f, begin)
	return errors.Is(err, io.EOF) && n == 0 || string(begin) == listBegins
}

// writeQuarantine writes the list that --exclude reads. A name with a line break cannot
// be listed, so it becomes a comment.
func writeQuarantine(path, dir string, images []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, listBegins+"%s to skip, from effnet data check.\n", strings.NewReplacer("\n", " ", "\r", " ").Replace(dir))
	for _, image := range images {
		switch {
		case strings.ContainsAny(image, "\r\n"):
			fmt.Fprintf(&b, "# cannot be listed, rename it: %q\n", image)
		case strings.HasPrefix(strings.TrimSpace(image), "#"):
			b.WriteString("./" + image + "\n")
		default:
			b.WriteString(image + "\n")
		}
	}
	err := atomicfile.Write(path, func(f *os.File) error {
		_, err := f.WriteString(b.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}
