package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/device"
	"effnet/internal/mpi"
	"effnet/internal/ranks"
	"effnet/internal/scale"
	"effnet/internal/setup"
	"effnet/internal/train"
	"effnet/internal/weights"
	"effnet/internal/words"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type trainOptions struct {
	ExistOK bool
	Resume  string // folder of the run to resume; resumeOut for --out's
	DryRun  bool
	JSON    bool
	Quiet   bool
}

// AddFlags registers the options.
func (o *trainOptions) AddFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.ExistOK, "exist-ok", false, "write into an existing run folder")
	flags.StringVar(&o.Resume, "resume", "", "resume the run in --out, or with --resume=DIR the one in DIR, with its own config.yaml")
	flags.Lookup("resume").NoOptDefVal = resumeOut
	flags.BoolVar(&o.DryRun, "dry-run", false, "print every setting, and the memory and time that training needs, then stop; DIR may be omitted")
	flags.BoolVar(&o.JSON, "json", false, "print the result as one JSON object")
	flags.BoolVarP(&o.Quiet, "quiet", "q", false, "print no progress")
}

func newTrainCommand() *cobra.Command {
	var opts trainOptions
	cmd := &cobra.Command{
		Use:   "train DIR|PACK",
		Short: "Train a network on a folder of images",
		Long: `Train a network from scratch on the images DIR/train/CLASS/IMAGE, and evaluate it after
each epoch on DIR/val/CLASS/IMAGE. Tar files, DIR/train/*.tar and DIR/val/*.tar, and a
pack (see effnet data pack) work as well. If DIR has no folders train and val, all of
it is used for training.

The run folder receives last.safetensors after each epoch, best.safetensors whenever
top-1 improves, report.html, metrics.csv and metrics.jsonl, event files for
TensorBoard, config.yaml, classes.txt, and the state of the run, from which --resume
continues. A run that was stopped or killed at any moment ends in the same bits as one
that was not.`,
		Example: `  effnet train photos --img-size 128 --epochs 20 -b 64
  effnet train photos --config configs/quick.yaml --out runs/first`,
		Args: folderArgs(1, &opts.DryRun),
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := newJob(cmd.Flags(), strings.Join(args, ""), opts)
			if err != nil {
				return err
			}
			if from, ok := j.from["weights"]; ok && opts.Resume == "" {
				return usage(cmd, fmt.Errorf("%s is the configuration of a fine-tuning run: effnet finetune %s DIR --config %s", from, j.cfg.Weights, from))
			}
			return j.do(cmd.Context(), cmd.OutOrStdout())
		},
	}
	addSettings(cmd.Flags(), "train", "")
	opts.AddFlags(cmd.Flags())
	return cmd
}

// A job is a training run that a command was asked for.
type job struct {
	flags *pflag.FlagSet
	dir   string // of the images; "" in a dry run without
	cfg   config.Config
	from  config.Sources // of cfg
	opts  trainOptions
	start *weights.Imported // finetune's; nil for train
	party party             // with which it is done

	trainSet, evalSet *data.Set
}

// newJob returns a job with the settings that the flags give.
func newJob(flags *pflag.FlagSet, dir string, opts trainOptions) (*job, error) {
	said, err := readSettings(flags)
	if err == nil && opts.Resume != "" {
		said.Merged, err = said.resume(opts.Resume)
	}
	j := &job{flags: flags, dir: dir, cfg: said.Config, from: said.From, opts: opts}
	if err == nil {
		err = j.chooseKernels()
	}
	return j, err
}

// chooseKernels replaces auto by the set of kernels that it stands for, if the CPU
// computes: the set decides a run's last bits, so config.yaml records it. A set that the
// processor lacks is an error.
func (j *job) chooseKernels() error {
	d, err := device.Lookup(j.cfg.Device)
	if err != nil || !d.Host {
		return err
	}
	p, err := device.FindProcessor(j.cfg.Kernels)
	switch {
	case err != nil && j.opts.Resume != "" && filepath.Base(j.from.Of("kernels")) == configFile:
		return usageError{fmt.Errorf("--resume: the run computes with the kernels %s and this processor has %s (resume it on a processor with %[1]s, or start another run: sets differ in the last bits)",
			j.cfg.Kernels, strings.Join(p.Sets, ", "))}
	case err != nil:
		return err
	case p.Kernels == j.cfg.Kernels:
		return nil
	}
	return j.lay("processor", map[string]any{"kernels": p.Kernels})
}

// do trains, or prints what training would do.
func (j *job) do(ctx context.Context, w io.Writer) error {
	if j.opts.DryRun {
		launched := mpi.Launched(os.Getenv)
		if launched.Rank > 0 {
			return nil
		}
		if err := j.countRanks(launched.Size); err != nil {
			return err
		}
		return j.dryRun(ctx, w)
	}
	return together(ctx, j.cfg, func(p party) error {
		j.party = p
		return j.train(ctx, p.output(w))
	})
}

// train trains, as one of the ranks of a job or alone.
func (j *job) train(ctx context.Context, w io.Writer) error {
	err := j.party.group.Agree(j.facts())
	if err == nil {
		err = j.countRanks(j.party.group.Size())
	}
	if err != nil {
		return err
	}
	options, err := j.open(ctx)
	if err != nil {
		return err
	}
	memory, err := setup.DeviceMemory(j.cfg)
	if err == nil {
		err = setup.MustFit(j.cfg, options.Arch, j.trainSet.Len(), count(j.evalSet), memory)
	}
	if err != nil {
		return err
	}
	b, err := openBackend(j.cfg.Device, j.cfg.Precision, j.cfg.Kernels, j.party.share(j.cfg.Threads))
	if err != nil {
		return err
	}
	defer b.Close()
	options.Ranks = j.party.group
	options.Resume = j.opts.Resume != ""
	options.Settings = j.settingsTable(j.cfg)
	options.Machine = slices.Concat(machine(b), j.party.describe())
	unlock, err := j.openFolder(options)
	if err != nil {
		return err
	}
	defer unlock()
	result, err := train.Run(ctx, b, options, j.trainSet, j.evalSet, newLog(j.cfg.LogInterval, j.opts.Quiet || !j.party.first()))
	if err != nil {
		return err
	}
	return j.print(w, options, result)
}

// countRanks makes grad-accum count the batches of all ranks: from then on it is the run's,
// however many ranks share it, and so is what config.yaml has. A run that is resumed has
// its own.
func (j *job) countRanks(n int) error {
	if n < 2 || j.opts.Resume != "" {
		return nil
	}
	return j.lay(fmt.Sprintf("%d ranks with %s each", n, words.Count(j.cfg.GradAccum, "batch", "batches")), map[string]any{"grad-accum": j.cfg.GradAccum * n})
}

// facts are what ranks must have in common, besides what training compares.
func (j *job) facts() []ranks.Fact {
	return []ranks.Fact{{Name: "effnet's version", Value: versionName()}, {Name: "precision", Value: j.cfg.Precision}}
}

// openFolder opens the run's folder, which only the first rank has.
func (j *job) openFolder(options train.Options) (unlock func(), err error) {
	if !j.party.first() {
		return func() {}, nil
	}
	if options.Resume && !train.HasState(options.Out) {
		return nil, usageError{fmt.Errorf("--resume: no run to resume in %s (start one without --resume)", options.Out)}
	}
	return openRunFolder(options.Out, j.cfg, j.trainSet.Classes, j.opts)
}

// print prints the result of training.
func (j *job) print(w io.Writer, options train.Options, result *train.Result) error {
	if j.opts.JSON {
		return json.NewEncoder(w).Encode(result)
	}
	if j.evalSet == nil {
		_, err := fmt.Fprintf(w, "trained %s: %s\n", words.Count(j.cfg.Epochs, "epoch"), filepath.Join(options.Out, "last.safetensors"))
		return err
	}
	_, err := fmt.Fprintf(w, "best: %s\n%s\n", result.Best, filepath.Join(options.Out, "best.safetensors"))
	return err
}

// open lists the images and turns the settings into options of training.
func (j *job) open(ctx context.Context) (options train.Options, err error) {
	if j.trainSet, j.evalSet, err = setup.Images(j.dir, j.cfg); err != nil {
		return options, err
	}
	arch, err := j.arch(ctx, j.trainSet.Classes)
	if err != nil {
		return options, err
	}
	if err = j.fitBatch(arch, j.trainSet.Len(), count(j.evalSet)); err != nil {
		return options, err
	}
	if options, err = setup.Options(j.cfg, arch, j.trainSet); err == nil && j.start != nil {
		setup.Start(&options, j.start, j.trainSet.Classes)
	}
	options.TrainLoader.Workers, options.EvalLoader.Workers = data.Workers(j.party.share(j.cfg.Workers)), data.Workers(j.party.share(j.cfg.Workers))
	return options, err
}

// fitBatch sets the batch size to one that fits, if that is asked for.
func (j *job) fitBatch(arch scale.Arch, images, evaluated int) error {
	batch, err := setup.FitBatch(j.cfg, arch, images, evaluated)
	if err != nil || batch == j.cfg.BatchSize {
		return err
	}
	return j.lay("memory", map[string]any{"batch-size": batch})
}

// count returns the number of images of a set, 0 for nil.
func count(set *data.Set) int {
	if set == nil {
		return 0
	}
	return set.Len()
}

// arch returns the network for classes, and makes the phi that a budget chose a setting.
func (j *job) arch(ctx context.Context, classes []string) (arch scale.Arch, err error) {
	if j.start != nil {
		return setup.Pretrained(j.cfg, j.start.Meta.Arch, len(classes))
	}
	budget := j.cfg.Budget()
	cfg, arch, err := archWithin(ctx, j.cfg, len(classes))
	if err == nil && budget != "" {
		err = j.lay(budget, map[string]any{"phi": cfg.Phi})
		j.cfg = cfg
	}
	return arch, err
}

// prefetch is the number of batches that are read ahead where no setting says.
const prefetch = 2
