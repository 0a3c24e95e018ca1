package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/report"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type packOptions struct {
	Size, Quality int
	Raw, Crop     bool
	Transparency  string
	Workers       int
	OnCorrupt     string
	JSON, Quiet   bool
}

// AddFlags registers the options.
func (o *packOptions) AddFlags(flags *pflag.FlagSet) {
	flags.IntVar(&o.Size, "size", 0, "shrink images whose shorter side has more pixels than this; 0 keeps every file as it is")
	flags.IntVar(&o.Quality, "quality", 90, "quality of the JPEG files that pack makes, 1 to 100")
	flags.BoolVar(&o.Raw, "raw", false, "store pixels, which need no decoding but several times the space")
	flags.BoolVar(&o.Crop, "crop", false, "keep only the centre square")
	flags.StringVar(&o.Transparency, "transparency", "stored", "colour of transparent pixels in images that are made: stored (what the file has there) or mean (laid over ImageNet's mean colour)")
	flags.IntVarP(&o.Workers, "workers", "j", 0, "goroutines that prepare images; 0 for one per core")
	flags.StringVar(&o.OnCorrupt, "on-corrupt", "error", "what to do with an image that cannot be decoded: error or skip")
	flags.BoolVar(&o.JSON, "json", false, "print the result as one JSON object")
	flags.BoolVarP(&o.Quiet, "quiet", "q", false, "print no progress")
}

// Validate names the first option out of range.
func (o *packOptions) Validate() error {
	if o.Workers < 0 {
		return usageError{fmt.Errorf("--workers %d: want 0 or more", o.Workers)}
	}
	if o.OnCorrupt != "error" && o.OnCorrupt != "skip" {
		return usageError{fmt.Errorf("--on-corrupt %q: want error or skip", o.OnCorrupt)}
	}
	if o.Transparency != "stored" && o.Transparency != "mean" {
		return usageError{fmt.Errorf("--transparency %q: want stored or mean", o.Transparency)}
	}
	return nil
}

func newDataPackCommand() *cobra.Command {
	var opts packOptions
	cmd := &cobra.Command{
		Use:   "pack DIR OUT",
		Short: "Write a folder of images to one file",
		Long: `Write the training and evaluation images of DIR, or DIR/CLASS/IMAGE if DIR has no
splits, to one file, OUT, which train and eval take in place of DIR. Files are kept
as they are, unless you say otherwise: --size shrinks images whose shorter side is
longer and stores them as JPEG files, but enlarges none; --raw stores all images as
pixels.

OUT records the names, sizes and times of DIR's files. If these change, OUT is refused;
make it again. An OUT that exists is replaced if it is a pack.`,
		Example: `  effnet data pack photos photos.pack --size 256
  effnet train photos.pack --img-size 224`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDataPack(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runDataPack(ctx context.Context, w io.Writer, dir, out string, opts packOptions) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	log := newLog(1, opts.Quiet)
	began := time.Now()
	o := data.PackOptions{
		Size: opts.Size, Quality: opts.Quality, Raw: opts.Raw, Crop: opts.Crop, Workers: data.Workers(opts.Workers),
		Progress: func(done, total int) {
			log.Count(report.Count{Verb: "packed", Done: done, Total: total, Elapsed: time.Since(began)})
		},
	}
	if opts.Transparency == "mean" {
		o.Background = data.Nearest(config.Default().Mean)
	}
	if opts.OnCorrupt == "skip" {
		o.Skipped = func(err error) { log.Printf("skipped: %v", err) }
	}
	if err := o.Validate(); err != nil {
		return usageError{fmt.Errorf("data pack: %w", err)}
	}
	info, err := data.Pack(ctx, dir, out, o)
	if err != nil {
		return err
	}
	if opts.JSON {
		return json.NewEncoder(w).Encode(info)
	}
	_, err = fmt.Fprintln(w, packText(info))
	return err
}

// packText is a pack as one line for people.
func packText(info *data.PackInfo) string {
	parts, skipped := make([]string, 0, len(info.Splits)), 0
	for _, s := range info.Splits {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%d %s", s.Images, s.Name))+" images")
		skipped += s.Skipped
	}
	text := fmt.Sprintf("%s: %s of %d classes, %.1f MiB", info.Path, strings.Join(parts, " and "), info.Classes, float64(info.Bytes)/(1<<20))
	if skipped > 0 {
		text += fmt.Sprintf("; skipped %d that cannot be decoded", skipped)
	}
	return text
}
