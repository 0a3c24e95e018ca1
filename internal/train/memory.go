package train

import (
	"effnet/internal/augment"
	"effnet/internal/backend"
	"effnet/internal/data"
	"effnet/internal/feed"
	"effnet/internal/model"
	"effnet/internal/optim"
)

// Allocate makes on a backend all that a training with evaluations has there: on one
// that only plans, to learn how much memory that is.
func Allocate(b backend.Backend, opt Options) error {
	net, err := model.New(opt.Arch, b)
	if err != nil {
		return err
	}
	gradients, err := backend.NewView(b, net.Weights.Len)
	if err != nil {
		return err
	}
	if _, err := optim.New(b, opt.Optimizer, net.Weights, gradients, optim.Groups(net.Weights.Len, net.Decayed)); err != nil {
		return err
	}
	training, err := net.TrainingAt(model.Pass{Resolution: opt.Arch.Resolution, Dropout: opt.Arch.Dropout, Batch: opt.BatchSize, Frozen: opt.FineTune.Frozen}, gradients)
	if err != nil {
		return err
	}
	if err := allocateInput(b, opt, opt.TrainLoader.Erase, training.Images, training.Targets); err != nil {
		return err
	}
	if err := allocateEvaluator(b, opt, net); err != nil || opt.EMA == 0 {
		return err
	}
	average, err := model.New(opt.Arch, b)
	if err == nil {
		_, err = optim.NewEMA(b, opt.EMA, []backend.View{net.Weights, net.Running}, []backend.View{average.Weights, average.Running})
	}
	if err != nil {
		return err
	}
	return allocateEvaluator(b, opt, average)
}

func allocateEvaluator(b backend.Backend, opt Options, net *model.Network) error {
	pass, err := net.Inference(opt.BatchSize)
	if err != nil {
		return err
	}
	return allocateInput(b, opt, augment.Erase{}, pass.Images, backend.View{})
}

// allocateInput makes the Input of a pass.
func allocateInput(b backend.Backend, opt Options, erase augment.Erase, images, targets backend.View) error {
	reading := data.Options{Pipeline: data.Pipeline{Size: opt.Arch.Resolution, Erase: erase, Std: [3]float64{1, 1, 1}}, BatchSize: opt.BatchSize}
	_, err := feed.NewInput(b, reading.WithPixels(), images, targets)
	return err
}
