package setup

import (
	"fmt"
	"path/filepath"

	"effnet/internal/augment"
	"effnet/internal/checkpoint"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/model"
	"effnet/internal/optim"
	"effnet/internal/predict"
	"effnet/internal/scale"
	"effnet/internal/train"
	"effnet/internal/words"
)

// Options are what the settings say of training a network on a set.
func Options(cfg config.Config, arch scale.Arch, set *data.Set) (train.Options, error) {
	if images := set.Len(); cfg.BatchSize > images {
		return train.Options{}, fault("--batch-size %d is more than the %d training images (use -b %d or less)", cfg.BatchSize, images, images)
	}
	if batches := set.Len() / cfg.BatchSize; batches < cfg.GradAccum {
		return train.Options{}, fault("--grad-accum %d: an epoch has only %s (use %d or less, or a smaller -b)", cfg.GradAccum, words.Count(batches, "batch", "batches"), batches)
	}
	o, err := options(cfg, arch)
	if err == nil && cfg.ClassWeights == "balanced" {
		o.ClassWeights = set.BalancedWeights()
	}
	return o, err
}

// options are Options but for what a set decides.
func options(cfg config.Config, arch scale.Arch) (train.Options, error) {
	prep := checkpoint.Preprocess{Resolution: arch.Resolution, Crop: cfg.Crop, CropPct: cfg.CropPct, Interpolation: cfg.Interpolation,
		Orientation: cfg.Orientation, Transparency: cfg.Transparency, Mean: cfg.Mean, Std: cfg.Std}
	o := train.Options{
		Arch: arch, Epochs: cfg.Epochs, BatchSize: cfg.BatchSize, Optimizer: optimizer(cfg),
		Schedule: cfg.Sched, PeakLR: cfg.LearningRate(), StartLR: cfg.WarmupLR, MinLR: cfg.MinLR, Patience: cfg.Patience,
		WarmupEpochs: cfg.WarmupEpochs, DecayEpochs: cfg.DecayEpochs, DecayRate: cfg.DecayRate,
		Smoothing: cfg.Smoothing, EMA: cfg.EMA, Keep: cfg.Keep, Seed: uint64(cfg.Seed), Out: runFolder(cfg, arch), Preprocess: prep,
		Identity: identity(cfg), LogInterval: cfg.LogInterval,
	}
	var err error
	if o.Every, err = train.ParseEvery(cfg.SaveEvery); err != nil {
		return o, fault("--checkpoint-every: %w", err)
	}
	o.EvalLoader = data.Options{
		Pipeline: predict.Pipeline(prep), BatchSize: cfg.BatchSize, Workers: data.Workers(cfg.Workers), Prefetch: cfg.Prefetch, Seed: uint64(cfg.Seed),
		OnCorrupt: data.OnCorrupt(cfg.OnCorrupt),
	}
	policy, err := augment.ParsePolicy(cfg.AA)
	if err != nil {
		return o, fault("aa: %w", err)
	}
	transform := augment.Train{Scale: cfg.Scale, Ratio: cfg.Ratio, HFlip: cfg.HFlip, Policy: policy}
	o.TrainLoader = augmented(o.EvalLoader, cfg, transform)
	if err := o.TrainLoader.Validate(); err != nil {
		return o, &Error{err}
	}
	o.Stages = stages(cfg, arch, transform)
	o.FineTune = train.FineTune{Frozen: frozen(cfg), UnfreezeEpoch: cfg.UnfreezeEpoch, LayerDecay: cfg.LayerDecay, HeadLR: cfg.HeadLR, CacheFeatures: cfg.CacheFeatures}
	return o, nil
}

// optimizer is the settings' optimizer. AdamW is Adam with decoupled weight decay
// (Loshchilov and Hutter 2019).
func optimizer(cfg config.Config) optim.Options {
	const adamW = "adamw"
	o := optim.Options{Rule: cfg.Opt, Momentum: cfg.Momentum, Decay: cfg.Decay, Beta1: cfg.Beta1, Beta2: cfg.Beta2, Eps: cfg.OptEps,
		WeightDecay: cfg.WeightDecay, Decoupled: cfg.Decoupled || cfg.Opt == adamW, ClipNorm: cfg.ClipGrad, MicroBatches: cfg.GradAccum}
	if o.Rule == adamW {
		o.Rule = "adam"
	}
	return o
}

// augmented is how training images are read, where evaluation's are read as o says.
func augmented(o data.Options, cfg config.Config, transform augment.Train) data.Options {
	o.Shuffle, o.DropLast = true, true
	o.Transform = transform
	o.Erase = augment.Erase{Prob: cfg.REProb, Mode: augment.EraseMode(cfg.REMode), Count: cfg.RECount,
		MinArea: 0.02, MaxArea: 1. / 3, MinAspect: 0.3} // Zhong et al. 2020, section 4; timm's defaults
	o.Mix = augment.Mix{Mixup: cfg.Mixup, CutMix: cfg.CutMix, Prob: cfg.MixProb, SwitchProb: cfg.MixSwitch}
	o.Sampler, o.Repeats = data.Sampler(cfg.Sampler), cfg.Repeats
	return o
}

// stages divides training as EfficientNetV2 does (Tan and Le 2021, algorithm 1):
// size, dropout and RandAugment's magnitude grow by equal steps to their values.
func stages(cfg config.Config, arch scale.Arch, last augment.Train) []train.Stage {
	if cfg.Progressive <= 1 {
		return nil
	}
	all := make([]train.Stage, cfg.Progressive)
	for i := range all {
		t := float64(i) / float64(len(all)-1)
		between := func(from, to float64) float64 { return from + t*(to-from) }
		transform := last
		if p, ok := transform.Policy.(augment.RandAugment); ok {
			p.Magnitude = between(cfg.MagStart, p.Magnitude)
			transform.Policy = p
		}
		all[i] = train.Stage{Epoch: cfg.Epochs * i / len(all), Resolution: int(between(float64(cfg.SizeStart), float64(arch.Resolution))),
			Dropout: between(cfg.DropStart, arch.Dropout), Transform: transform}
	}
	return all
}

// frozen is what the settings say training leaves as it is.
func frozen(cfg config.Config) model.Frozen {
	headOnly, stages, err := cfg.FrozenStages()
	if err != nil {
		panic(err) // Validate let it pass
	}
	return model.Frozen{Stages: stages, Body: headOnly, Norms: cfg.FreezeBN}
}

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

// identity is what the settings say of a run's numbers.
func identity(cfg config.Config) (facts []train.Fact) {
	for _, s := range config.Settings() {
		if s.Effect == config.Numbers {
			facts = append(facts, train.Fact{Key: s.Key, Value: s.Text(cfg), Default: s.Older(), Auto: s.Auto})
		}
	}
	return facts
}
