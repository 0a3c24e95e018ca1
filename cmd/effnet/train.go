package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"effnet/internal/augment"
	"effnet/internal/checkpoint"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/optim"
	"effnet/internal/predict"
	"effnet/internal/scale"
	"effnet/internal/train"
	"effnet/internal/weights"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type trainOptions struct {
	ExistOK bool
	Resume  string // folder of the run to go on with; resumeOut for --out's
	DryRun  bool
	JSON    bool
	Quiet   bool
}

// AddFlags registers the options.
func (o *trainOptions) AddFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.ExistOK, "exist-ok", false, "write into a run folder that exists")
	flags.StringVar(&o.Resume, "resume", "", "go on with the run in --out, or with --resume=DIR in that folder, by its own config.yaml")
	flags.Lookup("resume").NoOptDefVal = resumeOut
	flags.BoolVar(&o.DryRun, "dry-run", false, "print every setting and what the training will take, and stop there; DIR may be left out")
	flags.BoolVar(&o.JSON, "json", false, "print the result as one JSON object")
	flags.BoolVarP(&o.Quiet, "quiet", "q", false, "no progress")
}

func newTrainCommand() *cobra.Command {
	var opts trainOptions
	cmd := &cobra.Command{
		Use:   "train DIR|PACK",
		Short: "Train a network on a folder of images",
		Long: `Train a network from scratch on DIR/train/CLASS/IMAGE and evaluate it after each
epoch on DIR/val/CLASS/IMAGE; or on tar files, DIR/train/*.tar and DIR/val/*.tar, or
on a pack (see effnet data pack). The run folder receives last.safetensors after each
epoch, best.safetensors when top-1 improves, report.html, metrics.csv and
metrics.jsonl, event files for TensorBoard, config.yaml and classes.txt, and the state of the run, from which --resume goes on: a run that was
stopped or killed at any moment ends in the same bits as one that was not.`,
		Example: `  effnet train photos --img-size 128 --epochs 20 -b 64
  effnet train photos --config configs/quick.yaml --out runs/first`,
		Args: folderArgs(1, &opts.DryRun),
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := newJob(cmd.Flags(), strings.Join(args, ""), opts)
			if err != nil {
				return err
			}
			return j.do(cmd.Context(), cmd.OutOrStdout())
		},
	}
	addSettings(cmd.Flags(), "train", "")
	opts.AddFlags(cmd.Flags())
	return cmd
}

// A job is a training that a command was asked for.
type job struct {
	flags *pflag.FlagSet
	dir   string // of the images; "" in a dry run without
	cfg   config.Config
	from  config.Sources // of cfg
	opts  trainOptions
	start *weights.Imported // finetune's; nil for train

	trainSet, evalSet *data.Set
}

// newJob is a job with the settings that the flags say.
func newJob(flags *pflag.FlagSet, dir string, opts trainOptions) (*job, error) {
	said, err := readSettings(flags)
	if err == nil && opts.Resume != "" {
		said.Merged, err = said.resume(opts.Resume)
	}
	return &job{flags: flags, dir: dir, cfg: said.Config, from: said.From, opts: opts}, err
}

// do trains, or prints what a training would do.
func (j *job) do(ctx context.Context, w io.Writer) error {
	if j.opts.DryRun {
		return j.dryRun(ctx, w)
	}
	options, err := j.open(ctx)
	if err != nil {
		return err
	}
	memory, err := deviceMemory(j.cfg.Device)
	if err == nil {
		err = mustFit(j.cfg, options.Arch, j.trainSet.Len(), memory)
	}
	if err != nil {
		return err
	}
	b, err := openBackend(j.cfg.Device, j.cfg.Precision, j.cfg.Threads)
	if err != nil {
		return err
	}
	defer b.Close()
	options.Resume = j.opts.Resume != ""
	options.Settings = j.settingsTable(j.cfg)
	options.LogInterval, options.Machine = j.cfg.LogInterval, machine(b)
	if options.Resume && !train.HasState(options.Out) {
		return usageError{fmt.Errorf("--resume: no run to go on with in %s (leave it out to start one)", options.Out)}
	}
	unlock, err := openRunFolder(options.Out, j.cfg, j.trainSet.Classes, j.opts)
	if err != nil {
		return err
	}
	defer unlock()
	result, err := train.Run(ctx, b, options, j.trainSet, j.evalSet, newLog(j.cfg.LogInterval, j.opts.Quiet))
	if err != nil {
		return err
	}
	return j.print(w, options, result)
}

// print says what a training came to.
func (j *job) print(w io.Writer, options train.Options, result *train.Result) error {
	if j.opts.JSON {
		return json.NewEncoder(w).Encode(result)
	}
	if j.evalSet == nil {
		_, err := fmt.Fprintf(w, "trained %d epochs: %s\n", j.cfg.Epochs, filepath.Join(options.Out, "last.safetensors"))
		return err
	}
	_, err := fmt.Fprintf(w, "best: %s\n%s\n", result.Best, filepath.Join(options.Out, "best.safetensors"))
	return err
}

// open lists the images and turns the settings into what training takes.
func (j *job) open(ctx context.Context) (options train.Options, err error) {
	if j.trainSet, j.evalSet, err = openSets(j.dir, j.cfg); err != nil {
		return options, err
	}
	arch, err := j.arch(ctx, j.trainSet.Classes)
	if err != nil {
		return options, err
	}
	if err = j.fitBatch(arch, j.trainSet.Len()); err != nil {
		return options, err
	}
	if options, err = trainSettings(j.cfg, arch, j.trainSet); err != nil || j.start == nil {
		return options, err
	}
	options.Start = j.start.Tensors
	if !slices.Equal(j.start.Meta.Classes, j.trainSet.Classes) {
		options.Start = train.WithoutHead(j.start.Tensors)
	}
	return options, nil
}

// arch is the network, for classes, and makes a budget's phi a setting.
func (j *job) arch(ctx context.Context, classes []string) (arch scale.Arch, err error) {
	if j.start != nil {
		return pretrainedArch(j.cfg, j.start.Meta.Arch, len(classes))
	}
	budget := j.cfg.Budget()
	cfg, arch, err := archWithin(ctx, j.cfg, len(classes))
	if err == nil && budget != "" {
		err = j.lay(budget, map[string]any{"phi": cfg.Phi})
		j.cfg = cfg
	}
	return arch, err
}

// openSets lists the training images and, if there are any, the evaluation's,
// without those that the settings leave out.
func openSets(dir string, cfg config.Config) (trainSet, evalSet *data.Set, err error) {
	if trainSet, err = data.OpenTrain(dir); err != nil {
		return nil, nil, err
	}
	evalSet, err = data.OpenEval(dir, trainSet.Classes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if cfg.Exclude != "" {
		sets, err := data.Exclude(cfg.Exclude, dir, trainSet, evalSet)
		if err != nil {
			return nil, nil, err
		}
		trainSet, evalSet = sets[0], sets[1]
	}
	if cfg.Minival > 0 {
		if trainSet, evalSet, err = trainSet.HoldOut(cfg.Minival, uint64(cfg.Seed)); err != nil {
			return nil, nil, usageError{fmt.Errorf("--minival: %w", err)}
		}
	}
	if cfg.Shots > 0 {
		if trainSet, err = trainSet.Shots(cfg.Shots, uint64(cfg.Seed)); err != nil {
			return nil, nil, usageError{fmt.Errorf("--shots: %w", err)}
		}
	}
	if cfg.Subset > 0 {
		if trainSet, err = trainSet.Subset(cfg.Subset, uint64(cfg.Seed)); err != nil {
			return nil, nil, usageError{fmt.Errorf("--subset: %w", err)}
		}
	}
	return trainSet, evalSet, nil
}

// trainSettings turns a configuration into what the packages it is for take.
func trainSettings(cfg config.Config, arch scale.Arch, set *data.Set) (train.Options, error) {
	if images := set.Len(); cfg.BatchSize > images {
		return train.Options{}, usageError{fmt.Errorf("--batch-size %d is more than the %d training images (use -b %d or less)", cfg.BatchSize, images, images)}
	}
	prep := checkpoint.Preprocess{Resolution: arch.Resolution, Crop: cfg.Crop, CropPct: cfg.CropPct, Interpolation: cfg.Interpolation,
		Orientation: cfg.Orientation, Mean: cfg.Mean, Std: cfg.Std}
	loader := data.Options{
		Pipeline: predict.Pipeline(prep), BatchSize: cfg.BatchSize, Workers: workers(cfg.Workers), Prefetch: cfg.Prefetch, Seed: uint64(cfg.Seed),
		OnCorrupt: data.OnCorrupt(cfg.OnCorrupt),
	}
	o := train.Options{
		Arch: arch, Epochs: cfg.Epochs, BatchSize: cfg.BatchSize,
		Optimizer: optim.Options{Rule: strings.TrimSuffix(cfg.Opt, "w"), Momentum: cfg.Momentum, Decay: cfg.Decay,
			Beta1: cfg.Beta1, Beta2: cfg.Beta2, Eps: cfg.OptEps, WeightDecay: cfg.WeightDecay, Decoupled: cfg.Decoupled || cfg.Opt == "adamw",
			ClipNorm: cfg.ClipGrad, MicroBatches: cfg.GradAccum},
		Schedule: cfg.Sched, PeakLR: cfg.LearningRate(), StartLR: cfg.WarmupLR, MinLR: cfg.MinLR, Patience: cfg.Patience, WarmupEpochs: cfg.WarmupEpochs, DecayEpochs: cfg.DecayEpochs, DecayRate: cfg.DecayRate,
		Smoothing: cfg.Smoothing, EMA: cfg.EMA, Keep: cfg.Keep, Seed: uint64(cfg.Seed), Out: runFolder(cfg, arch), Preprocess: prep,
		TrainLoader: loader, EvalLoader: loader,
		Identity: identity(cfg),
	}
	var err error
	if o.Every, err = train.ParseEvery(cfg.SaveEvery); err != nil {
		return o, usageError{fmt.Errorf("--checkpoint-every: %w", err)}
	}
	if cfg.ClassWeights == "balanced" {
		o.ClassWeights = set.BalancedWeights()
	}
	if err := augmented(&o.TrainLoader, cfg); err != nil {
		return o, usageError{err}
	}
	o.Stages = stages(cfg, arch, o.TrainLoader.Transform)
	o.FineTune = train.FineTune{Frozen: frozen(cfg), UnfreezeEpoch: cfg.UnfreezeEpoch, LayerDecay: cfg.LayerDecay, HeadLR: cfg.HeadLR, CacheFeatures: cfg.CacheFeatures}
	return o, nil
}

// stages divides a training as EfficientNetV2's are (Tan and Le 2021, algorithm 1):
// size, dropout and RandAugment's magnitude grow by equal steps to their values.
func stages(cfg config.Config, arch scale.Arch, last augment.Transform) []train.Stage {
	if cfg.Progressive <= 1 {
		return nil
	}
	all := make([]train.Stage, cfg.Progressive)
	for i := range all {
		t := float64(i) / float64(len(all)-1)
		between := func(from, to float64) float64 { return from + t*(to-from) }
		transform := last.(augment.Train)
		if p, ok := transform.Policy.(augment.RandAugment); ok {
			p.Magnitude = between(cfg.MagStart, p.Magnitude)
			transform.Policy = p
		}
		all[i] = train.Stage{Epoch: cfg.Epochs * i / len(all), Resolution: int(between(float64(cfg.SizeStart), float64(arch.Resolution))),
			Dropout: between(cfg.DropStart, arch.Dropout), Transform: transform}
	}
	return all
}

// augmented makes a loader's options those of training.
func augmented(o *data.Options, cfg config.Config) error {
	policy, err := augment.ParsePolicy(cfg.AA)
	if err != nil {
		return fmt.Errorf("aa: %w", err)
	}
	o.Shuffle, o.DropLast = true, true
	o.Transform = augment.Train{Scale: cfg.Scale, Ratio: cfg.Ratio, HFlip: cfg.HFlip, Policy: policy}
	o.Erase = augment.Erase{Prob: cfg.REProb, Mode: augment.EraseMode(cfg.REMode), Count: cfg.RECount,
		MinArea: 0.02, MaxArea: 1. / 3, MinAspect: 0.3} // Zhong et al. 2020, section 4; timm's defaults
	o.Mix = augment.Mix{Mixup: cfg.Mixup, CutMix: cfg.CutMix, Prob: cfg.MixProb, SwitchProb: cfg.MixSwitch}
	o.Sampler, o.Repeats = data.Sampler(cfg.Sampler), cfg.Repeats
	return o.Validate()
}

// prefetch is how many batches are read while one is computed, where no setting
// says.
const prefetch = 2

// runFolder is --out, or runs/NAME.
func runFolder(cfg config.Config, arch scale.Arch) string {
	name := cfg.Name
	if name == "" {
		name = fmt.Sprintf("%s-%d", arch.Name, arch.Resolution)
	}
	if cfg.Out != "" {
		return cfg.Out
	}
	return filepath.Join("runs", name)
}
