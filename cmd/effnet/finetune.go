package main

import (
	"fmt"
	"strings"

	"effnet/internal/checkpoint"
	"effnet/internal/config"
	"effnet/internal/model"
	"effnet/internal/scale"
	"effnet/internal/weights"

	"github.com/spf13/cobra"
)

func newFinetuneCommand() *cobra.Command {
	var opts trainOptions
	cmd := &cobra.Command{
		Use:   "finetune WEIGHTS DIR|PACK",
		Short: "Train a pretrained network on a folder of images",
		Long: `Train a pretrained network on DIR/train/CLASS/IMAGE, as train does one from
scratch. WEIGHTS is a checkpoint, or what effnet import takes: weights of timm,
torchvision, Keras or TensorFlow. Its classifier is kept if its classes are those of
the folder, and begins with zeros otherwise. How images are prepared is WEIGHTS' too,
but for the resolution, which --img-size sets.

The settings are those of --recipe finetune, unless a file, the environment or flags
say otherwise. --freeze head-only --cache-features trains the classifier alone, on what
the network makes of each image, computed once: an epoch then takes a moment.`,
		Example: `  effnet finetune tf_efficientnet_lite0.safetensors photos
  effnet finetune b0.safetensors photos --freeze head-only --cache-features --epochs 30
  effnet finetune b0.safetensors photos --freeze stages:3 --unfreeze-epoch 2 --layer-decay 0.8`,
		Args: folderArgs(2, &opts.DryRun),
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := newJob(cmd.Flags(), strings.Join(args[1:], ""), opts)
			if err == nil {
				err = j.pretrained(args[0])
			}
			if err != nil {
				return err
			}
			return j.do(cmd.Context(), cmd.OutOrStdout())
		},
	}
	addSettings(cmd.Flags(), "finetune", "finetune")
	opts.AddFlags(cmd.Flags())
	return cmd
}

// pretrained reads the weights to begin with. What they say of themselves becomes
// settings.
func (j *job) pretrained(path string) error {
	for _, s := range config.Settings() {
		if from, given := j.from[s.Key]; given && s.OfWeights() && j.opts.Resume == "" {
			return usageError{fmt.Errorf("%s (from %s): the weights decide this (effnet import writes weights with another value)", s.Key, from)}
		}
	}
	w, err := weights.Open(path, weights.Overrides{})
	if err != nil {
		return err
	}
	announce(path, w)
	j.start = w
	return j.lay("checkpoint", preparedAs(j.cfg, w.Meta))
}

// preparedAs is how a checkpoint prepares images, as settings.
func preparedAs(c config.Config, m checkpoint.Meta) map[string]any {
	p := m.Preprocess
	values := map[string]any{
		"padding": string(m.Arch.Padding), "bn-eps": m.Arch.BNEps, "mean": p.Mean, "std": p.Std,
		"interpolation": p.Interpolation, "crop": p.Crop, "crop-pct": p.CropPct, "exif-orientation": p.Orientation,
	}
	if c.ImgSize == 0 {
		values["img-size"] = p.Resolution
	}
	return values
}

// pretrainedArch is the network of pretrained weights, for another number of
// classes and with the configuration's resolution and regularisation.
func pretrainedArch(c config.Config, a scale.Arch, classes int) (scale.Arch, error) {
	a.Classes, a.Resolution = classes, c.ImgSize
	if c.Drop >= 0 {
		a.Dropout = c.Drop
	}
	a.StochasticDepth, a.BNMomentum = c.DropPath, c.BNMomentum
	if _, stages, err := c.FrozenStages(); err == nil && stages > len(a.Stages) {
		return a, usageError{fmt.Errorf("--freeze %s: the network has %d stages", c.Freeze, len(a.Stages))}
	}
	return a, a.Validate()
}

// frozen is what the settings say training leaves as it is.
func frozen(c config.Config) model.Frozen {
	headOnly, stages, err := c.FrozenStages()
	if err != nil {
		panic(err) // Validate let it pass
	}
	return model.Frozen{Stages: stages, Body: headOnly, Norms: c.FreezeBN}
}
