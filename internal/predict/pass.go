package predict

import (
	"effnet/internal/backend"
	"effnet/internal/data"
	"effnet/internal/feed"
	"effnet/internal/model"
)

// A Pass computes what a network makes of batches of a size: the way from a loader's
// batch over the device to logits, for whoever evaluates, predicts or keeps features.
type Pass struct {
	inference *model.Inference
	input     *feed.Input
	logits    []float32 // [N,classes]
}

// NewPass compiles a network's forward pass for the batches that a loader with these
// options yields, of images or, with Memory, of features.
func NewPass(net *model.Network, b backend.Backend, opt data.Options) (*Pass, error) {
	compile := net.Inference
	if opt.Memory != nil {
		compile = net.HeadInference
	}
	inference, err := compile(opt.BatchSize)
	if err != nil {
		return nil, err
	}
	input, err := feed.NewInput(b, opt, inference.Images, backend.View{})
	if err != nil {
		return nil, err
	}
	return &Pass{inference, input, make([]float32, opt.BatchSize*net.Arch.Classes)}, nil
}

// Update takes the network's present weights, which must follow a change of them.
func (p *Pass) Update() { p.inference.Update() }

// Run computes a batch.
func (p *Pass) Run(batch *data.Batch) error {
	if err := p.input.Load(batch); err != nil {
		return err
	}
	return p.inference.RunFirst(batch.Count)
}

// Logits reads the last Run's, [N,classes], into memory that the next call uses again.
func (p *Pass) Logits() ([]float32, error) { return p.logits, p.inference.Logits(p.logits) }

// Features copies what the classifier read in the last Run, [N,Features].
func (p *Pass) Features(dst []float32) error { return p.inference.Features(dst) }
