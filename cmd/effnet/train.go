package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"effnet/internal/augment"
	"effnet/internal/checkpoint"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/optim"
	"effnet/internal/scale"
	"effnet/internal/train"

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
		Args: func(cmd *cobra.Command, args []string) error {
			if opts.DryRun {
				return usageArgs(cobra.MaximumNArgs(1))(cmd, args)
			}
			return usageArgs(cobra.ExactArgs(1))(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(cmd.Flags())
			if err == nil && opts.Resume != "" {
				cfg, err = resumedConfig(cmd.Flags(), cfg, opts.Resume)
			}
			if err != nil {
				return err
			}
			if opts.DryRun {
				return dryRun(cmd.OutOrStdout(), cmd.Flags(), strings.Join(args, ""), cfg)
			}
			return runTrain(cmd.Context(), cmd.OutOrStdout(), cmd.Flags(), args[0], cfg, opts)
		},
	}
	addModelFlags(cmd.Flags())
	addTrainFlags(cmd.Flags())
	opts.AddFlags(cmd.Flags())
	return cmd
}

func runTrain(ctx context.Context, w io.Writer, flags *pflag.FlagSet, dir string, cfg config.Config, opts trainOptions) error {
	trainSet, evalSet, err := openSets(dir, cfg)
	if err != nil {
		return err
	}
	arch, err := cfg.Arch(len(trainSet.Classes))
	if err != nil {
		return usageError{err}
	}
	if cfg, err = fitBatch(cfg, arch, trainSet.Len()); err != nil {
		return err
	}
	if err := mustFit(cfg, arch, trainSet.Len(), totalMemory()); err != nil {
		return err
	}
	options, err := trainSettings(cfg, arch, trainSet)
	if err != nil {
		return err
	}
	b, err := openBackend(cfg.Device, cfg.Threads)
	if err != nil {
		return err
	}
	defer b.Close()
	options.Resume = opts.Resume != ""
	if options.Settings, err = settingsTable(flags, cfg); err != nil {
		return err
	}
	options.LogInterval, options.Machine = cfg.LogInterval, machine(b)
	unlock, err := openRunFolder(options.Out, cfg, trainSet.Classes, opts)
	if err != nil {
		return err
	}
	defer unlock()
	log := newLog(cfg.LogInterval, opts.Quiet)
	result, err := train.Run(ctx, b, options, trainSet, evalSet, log)
	if err != nil {
		return err
	}
	if opts.JSON {
		return json.NewEncoder(w).Encode(result)
	}
	if evalSet == nil {
		_, err = fmt.Fprintf(w, "trained %d epochs: %s\n", cfg.Epochs, filepath.Join(options.Out, "last.safetensors"))
		return err
	}
	_, err = fmt.Fprintf(w, "best: %s\n%s\n", result.Best, filepath.Join(options.Out, "best.safetensors"))
	return err
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
		Pipeline: train.Pipeline(prep), BatchSize: cfg.BatchSize, Workers: workers(cfg.Workers), Prefetch: cfg.Prefetch, Seed: uint64(cfg.Seed),
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
