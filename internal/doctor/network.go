package doctor

import (
	"effnet/internal/backend"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/scale"
	"effnet/internal/setup"
	"effnet/internal/train"
)

// smallNetwork is a training step of a small network: its logits, its loss and
// all gradients.
func smallNetwork(b backend.Backend) ([]float32, error) {
	const batch, seed = 8, 1
	baseline, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		return nil, err
	}
	baseline.Stages = baseline.Stages[:4]
	arch, err := baseline.Scale(1, 1, 64)
	if err != nil {
		return nil, err
	}
	arch.Classes, arch.Dropout = 10, 0
	cfg := config.Default()
	cfg.BatchSize, cfg.Seed, cfg.Opt = batch, seed, "sgd"
	options, err := setup.Options(cfg, arch, data.Blank(batch, arch.Classes))
	if err != nil {
		return nil, err
	}
	rehearsal, err := train.Rehearse(b, options, batch, 0)
	if err != nil {
		return nil, err
	}
	training := rehearsal.Training()
	images, targets := make([]float32, training.Images.Len), make([]float32, training.Targets.Len)
	for i := range images {
		images[i] = 2*backend.Random{Seed: seed}.Uniform(0, i) - 1
	}
	for i := range batch {
		targets[i*arch.Classes+i] = 1
	}
	if err := b.Upload(training.Images, images); err != nil {
		return nil, err
	}
	if err := b.Upload(training.Targets, targets); err != nil {
		return nil, err
	}
	if err := training.Run(0); err != nil {
		return nil, err
	}
	logits, gradients := batch*arch.Classes, training.GradientView()
	values := make([]float32, logits+1+gradients.Len)
	if err := training.Logits(values[:logits]); err != nil {
		return nil, err
	}
	loss, err := training.Loss()
	if err != nil {
		return nil, err
	}
	values[logits] = float32(loss)
	return values, b.Download(values[logits+1:], gradients)
}
