package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"effnet/internal/backend"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/model"
	"effnet/internal/train"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// deviceOptions say where a network runs; every command that takes a checkpoint
// has them.
type deviceOptions struct {
	Device  string
	Threads int
	JSON    bool
}

// AddFlags registers the options.
func (o *deviceOptions) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Device, "device", "cpu", "cpu or cuda")
	flags.IntVar(&o.Threads, "threads", 0, "threads that compute; 0 for one a core")
	flags.BoolVar(&o.JSON, "json", false, "print JSON")
}

// Validate names the first option out of range.
func (o *deviceOptions) Validate() error {
	if o.Threads < 0 {
		return usageError{fmt.Errorf("--threads %d: want 0 or more", o.Threads)}
	}
	return nil
}

// openNetwork loads a checkpoint on the device. The caller closes the backend.
func (o *deviceOptions) openNetwork(path string) (backend.Backend, *model.Network, *checkpoint.Meta, error) {
	b, err := openBackend(o.Device, o.Threads)
	if err != nil {
		return nil, nil, nil, err
	}
	net, meta, err := train.Load(path, b)
	if err != nil {
		return nil, nil, nil, errors.Join(err, b.Close())
	}
	return b, net, meta, nil
}

type evalOptions struct {
	deviceOptions
	Workers, BatchSize int
	OnCorrupt, Exclude string
}

// AddFlags registers the options.
func (o *evalOptions) AddFlags(flags *pflag.FlagSet) {
	o.deviceOptions.AddFlags(flags)
	flags.IntVarP(&o.Workers, "workers", "j", 0, "goroutines that read images; 0 for one a core")
	flags.IntVarP(&o.BatchSize, "batch-size", "b", 64, "images a step")
	flags.StringVar(&o.OnCorrupt, "on-corrupt", string(data.Stop), "what to do with an image that cannot be decoded: error or skip")
	flags.StringVar(&o.Exclude, "exclude", "", "text `file` of images to leave out, one a line")
}

// Validate names the first option out of range.
func (o *evalOptions) Validate() error {
	switch {
	case o.Workers < 0:
		return usageError{fmt.Errorf("--workers %d: want 0 or more", o.Workers)}
	case o.BatchSize < 1:
		return usageError{fmt.Errorf("--batch-size %d: want 1 or more", o.BatchSize)}
	case o.OnCorrupt != string(data.Stop) && o.OnCorrupt != string(data.Skip):
		return usageError{fmt.Errorf("--on-corrupt %q: want error or skip", o.OnCorrupt)}
	}
	return o.deviceOptions.Validate()
}

func newEvalCommand() *cobra.Command {
	var opts evalOptions
	cmd := &cobra.Command{
		Use:   "eval CHECKPOINT DIR|PACK",
		Short: "Evaluate a checkpoint on a folder of images",
		Long: `Evaluate a checkpoint on DIR/val/CLASS/IMAGE, or on DIR/CLASS/IMAGE if DIR has no
splits; on the tar files DIR/val/*.tar or DIR/*.tar; or on a pack (see effnet data
pack). The classes must be the checkpoint's; it also says how images are
preprocessed.`,
		Example: `  effnet eval runs/first/best.safetensors photos
  effnet eval runs/first/best.safetensors photos/test --json`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runEval(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], opts)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runEval(ctx context.Context, w io.Writer, path, dir string, opts evalOptions) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	b, net, meta, err := opts.openNetwork(path)
	if err != nil {
		return err
	}
	defer b.Close()
	set, err := data.OpenEval(dir, meta.Classes)
	if err != nil {
		return err
	}
	if opts.Exclude != "" {
		rest, err := data.Exclude(opts.Exclude, dir, set)
		if err != nil {
			return err
		}
		set = rest[0]
	}
	e, err := train.NewEvaluator(net, b, set, data.Options{
		Pipeline: train.Pipeline(meta.Preprocess), BatchSize: opts.BatchSize, Workers: workers(opts.Workers), Prefetch: prefetch,
		OnCorrupt: data.OnCorrupt(opts.OnCorrupt),
	})
	if err != nil {
		return err
	}
	m, err := e.Run(ctx)
	if err != nil {
		return err
	}
	if text := e.LeftOut(); text != "" {
		fmt.Fprintln(os.Stderr, text)
	}
	if opts.JSON {
		return json.NewEncoder(w).Encode(m)
	}
	_, err = fmt.Fprintln(w, m)
	return err
}
