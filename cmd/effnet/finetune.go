package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"effnet/internal/config"
	"effnet/internal/setup"
	"effnet/internal/weights"

	"github.com/spf13/cobra"
)

func newFinetuneCommand() *cobra.Command {
	var opts trainOptions
	cmd := &cobra.Command{
		Use:   "finetune WEIGHTS DIR|PACK",
		Short: "Train a pretrained network on a folder of images",
		Long: `Train a pretrained network on DIR/train/CLASS/IMAGE. WEIGHTS is a checkpoint, a file
that effnet import takes (of timm, torchvision, Keras or TensorFlow), or the name of
published weights, which are then downloaded; effnet weights list shows the names.

The classifier is kept if its classes are those of the folder. Otherwise, or if WEIGHTS
has none, a new one begins with zeros. WEIGHTS also decides how images are prepared,
except for their resolution, which --img-size sets.

The settings are those of --recipe finetune, unless a file, the environment or flags
say otherwise. --freeze head-only --cache-features trains only the classifier, on
features that are computed once for each image; an epoch then takes a moment.`,
		Example: `  effnet finetune timm/efficientnet_b0.ra_in1k photos
  effnet finetune tf_efficientnet_lite0.safetensors photos
  effnet finetune b0.safetensors photos --freeze head-only --cache-features --epochs 30
  effnet finetune b0.safetensors photos --freeze stages:3 --unfreeze-epoch 2 --layer-decay 0.8`,
		Args: folderArgs(2, &opts.DryRun),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := strings.Join(args[1:], "")
			if err := swappedFolder(cmd, args[0], dir); err != nil {
				return err
			}
			j, err := newJob(cmd.Flags(), dir, opts)
			if err == nil {
				err = j.pretrained(cmd.Context(), args[0])
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

// pretrained reads the weights that training begins with. What they record about
// themselves becomes settings.
func (j *job) pretrained(ctx context.Context, name string) error {
	if err := j.mustLeaveToWeights(config.Default(), j.from, func(key string) bool { return !setup.Prepares(key) }); err != nil {
		return err
	}
	found, err := newHub(j.opts.Quiet).Resolve(ctx, name)
	if err != nil {
		return err
	}
	w, err := read(found, weights.Overrides{Headless: true})
	if err != nil {
		return err
	}
	j.start = w
	given, from := j.cfg, maps.Clone(j.from)
	if err := j.lay("checkpoint", setup.Prepared(j.cfg, w.Meta)); err != nil {
		return err
	}
	if err := j.mustLeaveToWeights(given, from, setup.Prepares); err != nil {
		return err
	}
	return j.lay("command line", map[string]any{"weights": name, "weights-sha256": checksum(found.Path)})
}

// mustLeaveToWeights refuses another value for a setting that the weights decide, among
// the keys that of selects. The same value is fine: the config.yaml of a fine-tuning run
// has it.
func (j *job) mustLeaveToWeights(other config.Config, from config.Sources, of func(key string) bool) error {
	for _, s := range config.Settings() {
		source, said := from[s.Key]
		if said && s.OfWeights() && of(s.Key) && j.opts.Resume == "" && !s.Same(other, j.cfg) {
			return usageError{fmt.Errorf("%s (from %s): the weights decide this (effnet import writes weights with another value)", s.Key, source)}
		}
	}
	return nil
}

// checksum returns the SHA-256 of a file in hexadecimal, or "" for a folder.
func checksum(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}
