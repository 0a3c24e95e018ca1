package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"effnet/internal/data"
	"effnet/internal/predict"
	"effnet/internal/report"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type predictOptions struct {
	deviceOptions
	TopK, BatchSize, Workers int
	CSV                      bool
	CAM                      string // file
	OnCorrupt                string
}

// AddFlags registers the options.
func (o *predictOptions) AddFlags(flags *pflag.FlagSet) {
	o.deviceOptions.AddFlags(flags)
	flags.IntVar(&o.TopK, "topk", 5, "classes to print; 0 for all")
	flags.IntVarP(&o.BatchSize, "batch-size", "b", 64, "images per step")
	flags.IntVarP(&o.Workers, "workers", "j", 0, "goroutines that read images; 0 for one per core")
	flags.BoolVar(&o.CSV, "csv", false, "print CSV, one line per class")
	flags.StringVar(&o.CAM, "cam", "", "draw a heat map of the regions that speak for the likeliest class, in this .png `file`; one image only")
	flags.StringVar(&o.OnCorrupt, "on-corrupt", string(data.Stop), "what to do with an image that cannot be decoded: error or skip")
}

// Validate names the first option out of range.
func (o *predictOptions) Validate() error {
	switch {
	case o.TopK < 0:
		return usageError{fmt.Errorf("--topk %d: want 0 or more", o.TopK)}
	case o.BatchSize < 1:
		return usageError{fmt.Errorf("--batch-size %d: want 1 or more", o.BatchSize)}
	case o.Workers < 0:
		return usageError{fmt.Errorf("--workers %d: want 0 or more", o.Workers)}
	case o.CSV && o.JSON:
		return usageError{errors.New("--csv and --json: choose one")}
	case o.CAM != "" && filepath.Ext(o.CAM) != ".png":
		return usageError{fmt.Errorf("--cam %s: want a name that ends in .png", o.CAM)}
	case o.OnCorrupt != string(data.Stop) && o.OnCorrupt != string(data.Skip):
		return usageError{fmt.Errorf("--on-corrupt %q: want error or skip", o.OnCorrupt)}
	}
	return o.deviceOptions.Validate()
}

func newPredictCommand() *cobra.Command {
	var opts predictOptions
	cmd := &cobra.Command{
		Use:   "predict CHECKPOINT IMAGE...",
		Short: "Print the most likely classes of images",
		Long: `Print the most likely classes of images. IMAGE is a file, a folder for all images in
it and below, a pattern such as "photos/*.jpg", or - for an image from stdin.

` + checkpointHelp,
		Example: `  effnet predict runs/first/best.safetensors cat.jpg --cam cat.png
  effnet predict runs/first/best.safetensors photos --topk 1 --csv > photos.csv
  effnet predict timm/efficientnet_b0.ra_in1k cat.jpg
  curl -s https://example.org/cat.jpg | effnet predict runs/first/best.safetensors - --json`,
		Args: usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := swapped(cmd, args[0], args[1])
			if err != nil {
				return err
			}
			if opts.Kernels, err = kernelsSetting(cmd.Flags()); err != nil {
				return err
			}
			return runPredict(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), args[0], args[1:], opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	addKernels(cmd.Flags())
	return cmd
}

// imagePrediction is one image's JSON.
type imagePrediction struct {
	Path        string       `json:"path"`
	Predictions []prediction `json:"predictions"` // the likeliest first
}

type prediction struct {
	Class       string  `json:"class"`
	Label       string  `json:"label,omitempty"` // for people, where Class is not
	Index       int     `json:"index"`
	Probability float64 `json:"probability"`
}

func runPredict(ctx context.Context, stdin io.Reader, w io.Writer, path string, images []string, opts predictOptions) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	set, err := data.Images(images, stdin)
	if err != nil {
		return err
	}
	if opts.CAM != "" && set.Len() != 1 {
		return usageError{fmt.Errorf("--cam: want one image, not %d", set.Len())}
	}
	n, err := opts.open(ctx, path)
	if err != nil {
		return err
	}
	defer n.Close()
	if opts.CAM != "" {
		if err := n.CanActivate(); err != nil {
			return usageError{fmt.Errorf("--cam: %w", err)}
		}
	}
	all, err := opts.predict(ctx, n, set)
	if err != nil {
		return err
	}
	if opts.CAM != "" && len(all) == 1 {
		picture, a, err := n.Show(set, 0, all[0].Predictions[0].Index)
		if err == nil {
			err = report.WriteActivationPNG(opts.CAM, picture, a.Values, a.Side)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case opts.JSON:
		return json.NewEncoder(w).Encode(all)
	case opts.CSV:
		return writePredictions(w, all)
	}
	return printPredictions(w, all)
}

// predict classifies a set's images, in its order.
func (o *predictOptions) predict(ctx context.Context, n *predict.Network, set *data.Set) ([]imagePrediction, error) {
	sweep, err := n.Sweep(set, data.Options{BatchSize: o.BatchSize, Workers: data.Workers(o.Workers), Prefetch: prefetch, OnCorrupt: data.OnCorrupt(o.OnCorrupt)}, "none")
	if err != nil {
		return nil, err
	}
	all := make([]imagePrediction, 0, set.Len())
	err = sweep.Each(ctx, func(r predict.Row) error {
		p := imagePrediction{Path: set.Path(r.Index)}
		for _, c := range n.Scores(r.Logits)[0].Top(o.TopK) {
			p.Predictions = append(p.Predictions, prediction{c.Name, c.Label, c.Index, c.Score})
		}
		all = append(all, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if text := sweep.DescribeSkipped(); text != "" {
		fmt.Fprintln(os.Stderr, text)
	}
	return all, nil
}

func writePredictions(w io.Writer, all []imagePrediction) error {
	c := csv.NewWriter(w)
	lines := [][]string{{"path", "rank", "class", "label", "index", "probability"}}
	for _, p := range all {
		for i, q := range p.Predictions {
			lines = append(lines, []string{p.Path, strconv.Itoa(i + 1), q.Class, q.Label, strconv.Itoa(q.Index), strconv.FormatFloat(q.Probability, 'g', 6, 64)})
		}
	}
	return c.WriteAll(lines)
}

func printPredictions(w io.Writer, all []imagePrediction) error {
	for _, p := range all {
		if _, err := fmt.Fprintln(w, p.Path); err != nil {
			return err
		}
		for _, c := range p.Predictions {
			if _, err := fmt.Fprintf(w, "  %6.2f%%  %s\n", 100*c.Probability, strings.TrimSpace(c.Class+"  "+c.Label)); err != nil {
				return err
			}
		}
	}
	return nil
}
