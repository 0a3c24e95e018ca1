package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"effnet/internal/metrics"
	"effnet/internal/train"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type predictOptions struct {
	deviceOptions
	TopK int
}

// AddFlags registers the options.
func (o *predictOptions) AddFlags(flags *pflag.FlagSet) {
	o.deviceOptions.AddFlags(flags)
	flags.IntVar(&o.TopK, "topk", 5, "classes to print; 0 for all")
}

// Validate names the first option out of range.
func (o *predictOptions) Validate() error {
	if o.TopK < 0 {
		return usageError{fmt.Errorf("--topk %d: want 0 or more", o.TopK)}
	}
	return o.deviceOptions.Validate()
}

func newPredictCommand() *cobra.Command {
	var opts predictOptions
	cmd := &cobra.Command{
		Use:   "predict CHECKPOINT IMAGE...",
		Short: "Print the most likely classes of images",
		Example: `  effnet predict runs/first/best.safetensors cat.jpg
  effnet predict runs/first/best.safetensors *.jpg --topk 1 --json`,
		Args: usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPredict(cmd.Context(), cmd.OutOrStdout(), args[0], args[1:], opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

// imagePrediction is one image's JSON.
type imagePrediction struct {
	Path        string       `json:"path"`
	Predictions []prediction `json:"predictions"` // the likeliest first
}

type prediction struct {
	Class       string  `json:"class"`
	Index       int     `json:"index"`
	Probability float64 `json:"probability"`
}

func runPredict(ctx context.Context, w io.Writer, path string, images []string, opts predictOptions) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	b, net, meta, err := opts.openNetwork(path)
	if err != nil {
		return err
	}
	defer b.Close()
	pass, err := net.Inference(1)
	if err != nil {
		return err
	}
	pipeline := train.Pipeline(meta.Preprocess)
	logits := make([]float32, len(meta.Classes))
	all := []imagePrediction{}
	for _, image := range images {
		if err := ctx.Err(); err != nil {
			return err
		}
		x, err := pipeline.Load(image)
		if err != nil {
			return err
		}
		if err := b.Upload(pass.Images, x); err != nil {
			return err
		}
		if err := pass.Run(); err != nil {
			return err
		}
		if err := pass.Logits(logits); err != nil {
			return err
		}
		all = append(all, imagePrediction{image, topK(metrics.Softmax(logits), meta.Classes, opts.TopK)})
	}
	if opts.JSON {
		return json.NewEncoder(w).Encode(all)
	}
	for _, p := range all {
		if _, err := fmt.Fprintln(w, p.Path); err != nil {
			return err
		}
		for _, c := range p.Predictions {
			if _, err := fmt.Fprintf(w, "  %6.2f%%  %s\n", 100*c.Probability, c.Class); err != nil {
				return err
			}
		}
	}
	return nil
}

// topK returns the k likeliest classes, all for k = 0, the likeliest first.
func topK(probabilities []float64, classes []string, k int) []prediction {
	all := make([]prediction, len(classes))
	for i, p := range probabilities {
		all[i] = prediction{classes[i], i, p}
	}
	slices.SortStableFunc(all, func(a, b prediction) int { return cmp.Compare(b.Probability, a.Probability) })
	if k > 0 && k < len(all) {
		all = all[:k]
	}
	return all
}
