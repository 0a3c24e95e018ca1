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
	"slices"
	"strconv"
	"text/tabwriter"

	"effnet/internal/atomicfile"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/device"
	"effnet/internal/predict"
	"effnet/internal/report"
	"effnet/internal/train"
	"effnet/internal/weights"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// deviceOptions choose where a network runs. Every command that takes a checkpoint has
// them.
type deviceOptions struct {
	Device, Precision string
	Kernels           string // a setting, which the command reads
	Threads           int
	JSON              bool
}

// AddFlags registers the options.
func (o *deviceOptions) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Device, "device", device.Host().Name, device.Names())
	precision, _ := config.Lookup("precision")
	flags.StringVar(&o.Precision, precision.Key, precision.Default, precision.Help)
	flags.IntVar(&o.Threads, "threads", 0, "threads that compute; 0 for one per core")
	flags.BoolVar(&o.JSON, "json", false, "print JSON")
}

// Validate names the first option out of range.
func (o *deviceOptions) Validate() error {
	if o.Threads < 0 {
		return usageError{fmt.Errorf("--threads %d: want 0 or more", o.Threads)}
	}
	return nil
}

// open loads a checkpoint, or another program's weights, on the device, and reports on
// stderr how it recognised these.
func (o *deviceOptions) open(ctx context.Context, name string) (*predict.Network, error) {
	b, err := openBackend(o.Device, o.Precision, o.Kernels, o.Threads)
	if err != nil {
		return nil, err
	}
	w, err := openWeights(ctx, name, weights.Overrides{})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return predict.Load(w, name, b)
}

type evalOptions struct {
	deviceOptions
	Workers, BatchSize, TopK           int
	Split, OnCorrupt, Exclude, TTA     string
	PerClass, SomeClasses              bool
	Confusion, Reliability, Prediction string // files
	FailUnder                          float64
}

// AddFlags registers the options.
func (o *evalOptions) AddFlags(flags *pflag.FlagSet) {
	o.deviceOptions.AddFlags(flags)
	flags.IntVarP(&o.Workers, "workers", "j", 0, "goroutines that read images; 0 for one per core")
	flags.IntVarP(&o.BatchSize, "batch-size", "b", 64, "images per step")
	flags.StringVar(&o.Split, "split", "", "folder of DIR to evaluate on (default: val, valid, validation or test)")
	flags.BoolVar(&o.SomeClasses, "some-classes", false, "allow a DIR that lacks some of the network's classes")
	flags.StringVar(&o.OnCorrupt, "on-corrupt", string(data.Stop), "what to do with an image that cannot be decoded: error or skip")
	flags.StringVar(&o.Exclude, "exclude", "", "text `file` of images to skip, one per line")
	flags.StringVar(&o.TTA, "tta", "none", "average over several views of each image: "+predict.ViewsNames)
	flags.IntVar(&o.TopK, "topk", 5, "N: print the share of images whose class is among the N likeliest")
	flags.BoolVar(&o.PerClass, "per-class", false, "print precision, recall and F1 of each class")
	flags.StringVar(&o.Confusion, "confusion", "", "write the confusion matrix to this `file`, .csv or .png")
	flags.StringVar(&o.Reliability, "reliability", "", "draw accuracy over confidence in this .png `file`")
	flags.StringVar(&o.Prediction, "predictions", "", "write every image's prediction to this .csv `file`")
	flags.Float64Var(&o.FailUnder, "fail-under", 0, "exit with an error if top-1 is less: 0.75 for 75%")
}

// Validate names the first option out of range.
func (o *evalOptions) Validate() error {
	ends := func(name string, of ...string) bool { return name == "" || slices.Contains(of, filepath.Ext(name)) }
	switch {
	case o.Workers < 0:
		return usageError{fmt.Errorf("--workers %d: want 0 or more", o.Workers)}
	case o.BatchSize < 1:
		return usageError{fmt.Errorf("--batch-size %d: want 1 or more", o.BatchSize)}
	case o.OnCorrupt != string(data.Stop) && o.OnCorrupt != string(data.Skip):
		return usageError{fmt.Errorf("--on-corrupt %q: want error or skip", o.OnCorrupt)}
	case !predict.HasViews(o.TTA):
		return usageError{fmt.Errorf("--tta %q: want %s", o.TTA, predict.ViewsNames)}
	case o.TopK < 1:
		return usageError{fmt.Errorf("--topk %d: want 1 or more", o.TopK)}
	case !ends(o.Confusion, ".csv", ".png"):
		return usageError{fmt.Errorf("--confusion %s: want a name that ends in .csv or .png", o.Confusion)}
	case !ends(o.Reliability, ".png"):
		return usageError{fmt.Errorf("--reliability %s: want a name that ends in .png", o.Reliability)}
	case !(o.FailUnder >= 0 && o.FailUnder <= 1):
		return usageError{fmt.Errorf("--fail-under %v: want 0 to 1", o.FailUnder)}
	}
	return o.deviceOptions.Validate()
}

func newEvalCommand() *cobra.Command {
	var opts evalOptions
	cmd := &cobra.Command{
		Use:   "eval CHECKPOINT DIR",
		Short: "Evaluate a checkpoint on a folder of images",
		Long: `Evaluate a checkpoint on DIR/val/CLASS/IMAGE, or on DIR/CLASS/IMAGE if DIR has no
splits. Its classes must be those of DIR.

` + checkpointHelp + ` How images are prepared is written in it.

A run with --model-ema-decay has last-ema.safetensors next to last.safetensors;
best.safetensors is the better of the two in its epoch.`,
		Example: `  effnet eval runs/first/best.safetensors photos
  effnet eval runs/first/best.safetensors photos --per-class --confusion confusion.png
  effnet eval runs/first/best.safetensors photos/test --json --fail-under 0.9`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := swappedFolder(cmd, args[0], args[1]); err != nil {
				return err
			}
			var err error
			if opts.Kernels, err = kernelsSetting(cmd.Flags()); err != nil {
				return err
			}
			return runEval(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	addKernels(cmd.Flags())
	return cmd
}

func runEval(ctx context.Context, w io.Writer, path, dir string, opts evalOptions) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	n, err := opts.open(ctx, path)
	if err != nil {
		return err
	}
	defer n.Close()
	set, err := opts.openSet(dir, n.Meta.Classes)
	if err != nil {
		return err
	}
	for _, note := range set.Notes(n.Meta.Preprocess.Orientation) {
		fmt.Fprintln(os.Stderr, "note: "+note)
	}
	sweep, err := n.Sweep(set, data.Options{BatchSize: opts.BatchSize, Workers: data.Workers(opts.Workers), Prefetch: prefetch,
		OnCorrupt: data.OnCorrupt(opts.OnCorrupt)}, opts.TTA)
	if err != nil {
		return err
	}
	m, err := opts.run(ctx, train.EvaluatorOf(n, sweep), n, set)
	if err != nil {
		return err
	}
	if text := sweep.DescribeSkipped(); text != "" {
		fmt.Fprintln(os.Stderr, text)
	}
	if err := opts.write(w, m, n.Meta.Classes); err != nil {
		return err
	}
	if m.Top1 < opts.FailUnder {
		return fmt.Errorf("eval: top-1 %.2f%% is under %.2f%%", 100*m.Top1, 100*opts.FailUnder)
	}
	return nil
}

func (o *evalOptions) openSet(dir string, classes []string) (set *data.Set, err error) {
	switch {
	case o.SomeClasses:
		set, err = data.OpenSome(dir, o.Split, classes)
	case o.Split == "":
		set, err = data.OpenEval(dir, classes)
	default:
		set, err = data.OpenSplit(dir, o.Split, classes)
	}
	if err != nil || o.Exclude == "" {
		return set, err
	}
	rest, err := data.Exclude(o.Exclude, dir, set)
	if err != nil {
		return nil, err
	}
	return rest[0], nil
}

// run evaluates, and writes the predictions as it goes.
func (o *evalOptions) run(ctx context.Context, e *train.Evaluator, n *predict.Network, set *data.Set) (m train.Metrics, err error) {
	if o.Prediction == "" {
		return e.Run(ctx)
	}
	err = atomicfile.Write(o.Prediction, func(f *os.File) error {
		w := csv.NewWriter(f)
		if err := w.Write([]string{"path", "class", "predicted", "probability", "class_probability"}); err != nil {
			return err
		}
		e.Each = func(r predict.Row) error {
			scores := n.Scores(r.Logits)[0]
			best := scores.Best()
			number := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
			return w.Write([]string{set.Path(r.Index), set.Classes[r.Label], set.Classes[best.Index], number(best.Score), number(scores.Values[r.Label])})
		}
		if m, err = e.Run(ctx); err != nil {
			return err
		}
		w.Flush()
		return w.Error()
	})
	return m, err
}

// write prints the results and writes the files.
func (o *evalOptions) write(w io.Writer, m train.Metrics, classes []string) error {
	if o.Confusion != "" {
		write := func() error { return report.WriteConfusionPNG(o.Confusion, classes, m.Details) }
		if filepath.Ext(o.Confusion) == ".csv" {
			write = func() error { return report.WriteConfusionCSV(o.Confusion, classes, m.Details.Confusion) }
		}
		if err := write(); err != nil {
			return err
		}
	}
	if o.Reliability != "" {
		if err := report.WriteReliabilityPNG(o.Reliability, m.Details); err != nil {
			return err
		}
	}
	var named []string
	if o.PerClass {
		named = classes
	}
	r := m.Evaluation(o.TopK, named)
	if o.JSON {
		return json.NewEncoder(w).Encode(r)
	}
	return printEvaluation(w, r)
}

func printEvaluation(w io.Writer, r train.Evaluation) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, c := range r.Classes {
		if i == 0 {
			fmt.Fprintln(tab, "class\timages\tprecision\trecall\tF1")
		}
		fmt.Fprintf(tab, "%s\t%d\t%.2f%%\t%.2f%%\t%.2f%%\n", c.Name, c.Support, 100*c.Precision, 100*c.Recall, 100*c.F1)
	}
	if r.Classes != nil {
		fmt.Fprintf(tab, "mean\t\t%.2f%%\t%.2f%%\t%.2f%%\n\n", 100*r.Macro.Precision, 100*r.Macro.Recall, 100*r.Macro.F1)
	}
	if r.TopK != nil {
		fmt.Fprintf(tab, "top-%d %.2f%%  ", r.K, 100**r.TopK)
	}
	fmt.Fprintln(tab, r.Metrics)
	if r.Classes != nil {
		fmt.Fprintf(tab, "expected calibration error %.2f%%\n", 100*r.ECE)
	}
	return tab.Flush()
}
