package train

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"effnet/internal/augment"
	"effnet/internal/backend"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/metrics"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/weights"
)

// Metrics is how a network does on a set of images.
type Metrics struct {
	Top1   float64 `json:"top1"` // share of images whose class has the highest logit
	Top5   float64 `json:"top5"` // share whose class is among the five highest
	Loss   float64 `json:"loss"` // mean cross-entropy
	Images int     `json:"images"`

	LeftOut int `json:"left_out,omitempty"` // unusable images, not among Images

	Details *metrics.Evaluation `json:"-"`
}

func (m Metrics) String() string {
	leftOut := ""
	if m.LeftOut > 0 {
		leftOut = fmt.Sprintf(", %d left out", m.LeftOut)
	}
	return fmt.Sprintf("top-1 %.2f%%  top-5 %.2f%%  loss %.4f  (%d images%s)", 100*m.Top1, 100*m.Top5, m.Loss, m.Images, leftOut)
}

// Evaluator evaluates a network's present weights on a set.
type Evaluator struct {
	net     *model.Network
	pass    *model.Inference
	input   *Input
	loaders []*data.Loader // one a view
	logits  []float32      // [N,classes]
	mean    []float64      // [N,classes], probabilities summed over views

	// Each, if set, is called with every image that is evaluated: its index in
	// the set, its class, and its logits or, of several views, the logarithms of
	// its mean probabilities.
	Each func(index, label int, logits []float32) error
}

// NewEvaluator compiles the network's forward pass for the loader's batches.
func NewEvaluator(net *model.Network, b backend.Backend, set *data.Set, opt data.Options) (*Evaluator, error) {
	return NewViewsEvaluator(net, b, set, opt, opt.Transform)
}

// NewViewsEvaluator is NewEvaluator for the mean of the probabilities over
// several views of each image.
func NewViewsEvaluator(net *model.Network, b backend.Backend, set *data.Set, opt data.Options, views ...augment.Transform) (*Evaluator, error) {
	opt = opt.WithPixels()
	opt.BatchSize = min(opt.BatchSize, set.Len())
	e := &Evaluator{net: net, logits: make([]float32, opt.BatchSize*net.Arch.Classes), mean: make([]float64, opt.BatchSize*net.Arch.Classes)}
	for _, view := range views {
		opt.Transform = view
		loader, err := data.NewLoader(set, opt)
		if err != nil {
			return nil, err
		}
		e.loaders = append(e.loaders, loader)
	}
	var err error
	if opt.Memory != nil {
		e.pass, err = net.HeadInference(opt.BatchSize)
	} else {
		e.pass, err = net.Inference(opt.BatchSize)
	}
	if err != nil {
		return nil, err
	}
	e.input, err = NewInput(b, opt, e.pass.Images, backend.View{})
	return e, err
}

// LeftOut says which images Run could not use; it is empty if there were none.
func (e *Evaluator) LeftOut() string {
	if skipped := e.loaders[0].Skipped(); len(skipped) > 0 {
		return data.LeftOut(skipped)
	}
	return ""
}

// Run evaluates every image once, with the present weights. The result does not
// depend on the batch size.
func (e *Evaluator) Run(ctx context.Context) (Metrics, error) {
	k := e.net.Arch.Classes
	collector := metrics.NewCollector(k, worstShown)
	e.pass.Update()
	others := make([]func() (*data.Batch, error, bool), 0, len(e.loaders)-1)
	for _, l := range e.loaders[1:] {
		next, stop := iter.Pull2(l.Epoch(ctx, 0, 0))
		defer stop()
		others = append(others, next)
	}
	for batch, err := range e.loaders[0].Epoch(ctx, 0, 0) {
		if err != nil {
			return Metrics{}, err
		}
		if err := e.views(batch, others); err != nil {
			return Metrics{}, err
		}
		for n := range batch.Count {
			row := e.logits[n*k : (n+1)*k]
			collector.Add(row, batch.Labels[n], batch.Index[n])
			if e.Each != nil {
				if err := e.Each(batch.Index[n], batch.Labels[n], row); err != nil {
					return Metrics{}, err
				}
			}
		}
	}
	r := collector.Result()
	return Metrics{Top1: r.Top1, Top5: r.Top5, Loss: r.Loss, Images: r.Images, LeftOut: len(e.loaders[0].Skipped()), Details: r}, nil
}

// views computes the logits of a batch and, with those of its other views, the
// logarithms of the mean probabilities.
func (e *Evaluator) views(batch *data.Batch, others []func() (*data.Batch, error, bool)) error {
	if err := e.forward(batch); err != nil || len(others) == 0 {
		return err
	}
	k := e.net.Arch.Classes
	clear(e.mean)
	add := func() {
		for n := range batch.Count {
			for c, p := range metrics.Softmax(e.logits[n*k : (n+1)*k]) {
				e.mean[n*k+c] += p / float64(len(others)+1)
			}
		}
	}
	add()
	for _, next := range others {
		view, err, ok := next()
		switch {
		case err != nil:
			return err
		case !ok || !slices.Equal(view.Index, batch.Index):
			return fmt.Errorf("train: the views of an image do not agree on what can be read")
		}
		if err := e.forward(view); err != nil {
			return err
		}
		add()
	}
	for i, p := range e.mean {
		e.logits[i] = float32(math.Log(p))
	}
	return nil
}

func (e *Evaluator) forward(batch *data.Batch) error {
	if err := e.input.Load(batch); err != nil {
		return err
	}
	if err := e.pass.Run(); err != nil {
		return err
	}
	return e.pass.Logits(e.logits)
}

// rank is how many classes come before label: those with a higher logit, and of
// those with an equal one the lower-numbered. A NaN logit comes first, so that a
// broken network is never right.
func rank(logits []float32, label int) int {
	n := 0
	for c, z := range logits {
		if z > logits[label] || z != z || z == logits[label] && c < label {
			n++
		}
	}
	return n
}

// Load reads a network from a checkpoint, or from another program's weights, onto
// a backend.
func Load(path string, b backend.Backend) (*model.Network, *weights.Imported, error) {
	w, err := weights.Open(path, weights.Overrides{})
	if err != nil {
		return nil, nil, err
	}
	net, err := model.New(w.Meta.Arch, b)
	if err != nil {
		return nil, nil, &checkpoint.Error{Path: path, Reason: "its network cannot be built", Err: err}
	}
	if err := net.Load(w.Tensors); err != nil {
		if m := (*named.Mismatch)(nil); errors.As(err, &m) {
			err = checkpoint.NotTheNetwork(path, m)
		}
		return nil, nil, err
	}
	return net, w, nil
}

// Pipeline is how a checkpoint's network wants to see an image.
func Pipeline(p checkpoint.Preprocess) data.Pipeline {
	return data.Pipeline{
		Size: p.Resolution, Interpolation: augment.Interpolation(p.Interpolation), Upright: p.Orientation,
		Transform: augment.Eval{Crop: augment.Crop(p.Crop), CropPct: p.CropPct},
		Mean:      p.Mean, Std: p.Std,
	}
}
