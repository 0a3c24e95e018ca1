package main

import (
	"context"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"

	"effnet/internal/atomicfile"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/setup"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type previewOptions struct {
	Rows, Cols int
}

// AddFlags registers the options.
func (o *previewOptions) AddFlags(flags *pflag.FlagSet) {
	flags.IntVar(&o.Rows, "rows", 6, "rows of the sheet, one photograph each")
	flags.IntVar(&o.Cols, "cols", 8, "columns: the photograph as evaluation sees it, then augmented")
}

func newDataPreviewCommand() *cobra.Command {
	var opts previewOptions
	cmd := &cobra.Command{
		Use:   "preview DIR",
		Short: "Draw training images as the network sees them",
		Long: `Draw a contact sheet, the PNG file --out. Each row is one photograph: first as
evaluation sees it, then as it looks in the first epochs of training with these
settings and this seed. With mixup or CutMix, a column is mixed as a batch would be.`,
		Example: `  effnet data preview photos --recipe configs/imagenet-b0.yaml --out sheet.png
  effnet data preview photos --img-size 128 --aa rand-m9-n2-mstd0.5 --out sheet.png`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(cmd.Flags())
			if err != nil {
				return err
			}
			return runDataPreview(cmd.Context(), cmd.OutOrStdout(), args[0], cfg, opts)
		},
	}
	addSettings(cmd.Flags(), "data preview", "")
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runDataPreview(ctx context.Context, w io.Writer, dir string, cfg config.Config, opts previewOptions) error {
	if !strings.EqualFold(filepath.Ext(cfg.Out), ".png") { // a run's config.yaml has its folder
		return usageError{fmt.Errorf("--out: want the name of the PNG file to write, such as sheet.png")}
	}
	set, _, err := setup.Images(dir, cfg)
	if err != nil {
		return err
	}
	cfg, arch, err := archWithin(ctx, cfg, len(set.Classes))
	if err != nil {
		return err
	}
	cfg.BatchSize = 1 // not what is drawn
	options, err := setup.Options(cfg, arch, set)
	if err != nil {
		return err
	}
	if err := data.CheckSheet(opts.Rows, opts.Cols, arch.Resolution); err != nil {
		return usageError{err}
	}
	sheet, err := data.Preview(set, options.TrainLoader, options.EvalLoader, opts.Rows, opts.Cols)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(cfg.Out, func(f *os.File) error { return png.Encode(f, sheet) }); err != nil {
		return fmt.Errorf("preview: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s: %dx%d pixels\n", cfg.Out, sheet.Rect.Dx(), sheet.Rect.Dy())
	return err
}
