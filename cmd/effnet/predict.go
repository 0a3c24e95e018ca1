package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/backend"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/metrics"
	"effnet/internal/model"
	"effnet/internal/report"
	"effnet/internal/train"

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
	flags.IntVarP(&o.BatchSize, "batch-size", "b", 64, "images a step")
	flags.IntVarP(&o.Workers, "workers", "j", 0, "goroutines that read images; 0 for one a core")
	flags.BoolVar(&o.CSV, "csv", false, "print CSV, a line a class")
	flags.StringVar(&o.CAM, "cam", "", "draw where in the image its likeliest class is seen to this .png `file`; of one image")
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
CHECKPOINT is a checkpoint or what effnet import takes.`,
		Example: `  effnet predict runs/first/best.safetensors cat.jpg --cam cat.png
  effnet predict runs/first/best.safetensors photos --topk 1 --csv > photos.csv
  curl -s https://example.org/cat.jpg | effnet predict runs/first/best.safetensors - --json`,
		Args: usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPredict(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), args[0], args[1:], opts)
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
	b, net, meta, err := opts.openNetwork(path)
	if err != nil {
		return err
	}
	defer b.Close()
	all, err := opts.predict(ctx, b, net, meta, set)
	if err != nil {
		return err
	}
	if opts.CAM != "" && len(all) == 1 {
		if err := drawActivation(opts.CAM, net, meta, set, all[0].Predictions[0].Index); err != nil {
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
func (o *predictOptions) predict(ctx context.Context, b backend.Backend, net *model.Network, meta *checkpoint.Meta, set *data.Set) ([]imagePrediction, error) {
	batchSize := min(o.BatchSize, set.Len())
	options := data.Options{Pipeline: train.Pipeline(meta.Preprocess), BatchSize: batchSize, Workers: workers(o.Workers),
		Prefetch: prefetch, OnCorrupt: data.OnCorrupt(o.OnCorrupt)}.WithPixels()
	loader, err := data.NewLoader(set, options)
	if err != nil {
		return nil, err
	}
	pass, err := net.Inference(batchSize)
	if err != nil {
		return nil, err
	}
	input, err := train.NewInput(b, options, pass.Images, backend.View{})
	if err != nil {
		return nil, err
	}
	k := len(meta.Classes)
	logits := make([]float32, batchSize*k)
	all := make([]imagePrediction, 0, set.Len())
	for batch, err := range loader.Epoch(ctx, 0, 0) {
		if err == nil {
			err = input.Load(batch)
		}
		if err == nil {
			err = pass.Run()
		}
		if err == nil {
			err = pass.Logits(logits)
		}
		if err != nil {
			return nil, err
		}
		for n := range batch.Count {
			all = append(all, imagePrediction{set.Path(batch.Index[n]), topK(metrics.Softmax(logits[n*k:][:k]), meta, o.TopK)})
		}
	}
	if skipped := loader.Skipped(); len(skipped) > 0 {
		fmt.Fprintln(os.Stderr, data.LeftOut(skipped))
	}
	return all, nil
}

// drawActivation draws where the one image of a set shows a class.
func drawActivation(path string, net *model.Network, meta *checkpoint.Meta, set *data.Set, class int) error {
	pipeline := train.Pipeline(meta.Preprocess)
	x, err := pipeline.Read(set, 0)
	if err != nil {
		return err
	}
	activation, side, err := net.ClassActivation(x, class)
	if err != nil {
		return err
	}
	return report.WriteActivationPNG(path, pipeline.Picture(x), activation, side)
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

// topK returns the k likeliest classes, all for k = 0, the likeliest first.
func topK(probabilities []float64, meta *checkpoint.Meta, k int) []prediction {
	all := make([]prediction, len(probabilities))
	for i, p := range probabilities {
		all[i] = prediction{Class: meta.Classes[i], Index: i, Probability: p}
		if meta.Labels != nil {
			all[i].Label = meta.Labels[i]
		}
	}
	slices.SortStableFunc(all, func(a, b prediction) int { return cmp.Compare(b.Probability, a.Probability) })
	if k > 0 && k < len(all) {
		all = all[:k]
	}
	return all
}
