package predict

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"

	"effnet/internal/augment"
	"effnet/internal/backend"
	"effnet/internal/data"
	"effnet/internal/metrics"
	"effnet/internal/model"
)

// A Sweep asks a network about every image of a set, or its features, once each.
type Sweep struct {
	net     *model.Network
	pass    *Pass
	batch   int
	images  int
	loaders []*data.Loader // one a view
	mean    []float64      // [N,classes], probabilities summed over views
}

// Row is what a network made of an image of a set.
type Row struct {
	Index, Label int       // in the set
	Logits       []float32 // of several views the logarithms of the mean probabilities; valid during the call
}

// NewSweep compiles the network's forward pass over a set, whose images are read as
// opt says. Of several views, which replace opt's transform, the probabilities are
// averaged.
func NewSweep(net *model.Network, b backend.Backend, set *data.Set, opt data.Options, views ...augment.Transform) (*Sweep, error) {
	opt = opt.WithPixels()
	opt.BatchSize = min(opt.BatchSize, set.Len())
	s := &Sweep{net: net, batch: opt.BatchSize, images: set.Len()}
	if len(views) == 0 {
		views = []augment.Transform{opt.Transform}
	}
	for _, view := range views {
		opt.Transform = view
		loader, err := data.NewLoader(set, opt)
		if err != nil {
			return nil, err
		}
		s.loaders = append(s.loaders, loader)
	}
	if len(views) > 1 {
		s.mean = make([]float64, opt.BatchSize*net.Arch.Classes)
	}
	var err error
	s.pass, err = NewPass(net, b, opt)
	return s, err
}

// Options are those that images are read with.
func (s *Sweep) Options() data.Options { return s.loaders[0].Options() }

// Skipped is the images that could not be used.
func (s *Sweep) Skipped() []data.Skipped { return s.loaders[0].Skipped() }

// DescribeSkipped says which they are; it is empty if there were none.
func (s *Sweep) DescribeSkipped() string {
	if skipped := s.Skipped(); len(skipped) > 0 {
		return data.DescribeSkipped(skipped)
	}
	return ""
}

// Each calls do with every image, in the set's order, with the network's present
// weights. What it is given does not depend on the batch size.
func (s *Sweep) Each(ctx context.Context, do func(Row) error) error {
	others := make([]func() (*data.Batch, error, bool), 0, len(s.loaders)-1)
	for _, l := range s.loaders[1:] {
		next, stop := iter.Pull2(l.Epoch(ctx, 0, 0))
		defer stop()
		others = append(others, next)
	}
	k := s.net.Arch.Classes
	return s.batches(ctx, func(batch *data.Batch) error {
		logits, err := s.pass.Logits()
		if err == nil && len(others) > 0 {
			err = s.average(batch, logits, others)
		}
		if err != nil {
			return err
		}
		for n := range batch.Count {
			if err := do(Row{batch.Index[n], batch.Labels[n], logits[n*k:][:k]}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Features computes what the classifier reads of each image, zeros of those that could
// not be used.
func (s *Sweep) Features(ctx context.Context) (*data.Memory, error) {
	n := s.net.Arch.Features()
	m := &data.Memory{Floats: n, Rows: make([]float32, s.images*n)}
	rows := make([]float32, s.batch*n)
	err := s.batches(ctx, func(batch *data.Batch) error {
		if err := s.pass.Features(rows); err != nil {
			return err
		}
		for i := range batch.Count {
			copy(m.Rows[batch.Index[i]*n:], rows[i*n:][:n])
		}
		return nil
	})
	return m, err
}

// batches runs the pass over all batches, of the first view, and calls do after each.
func (s *Sweep) batches(ctx context.Context, do func(*data.Batch) error) error {
	s.pass.Update()
	for batch, err := range s.loaders[0].Epoch(ctx, 0, 0) {
		if err == nil {
			err = s.pass.Run(batch)
		}
		if err == nil {
			err = do(batch)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// average makes the logits of a batch's first view the logarithms of the mean
// probabilities of all views.
func (s *Sweep) average(batch *data.Batch, logits []float32, others []func() (*data.Batch, error, bool)) error {
	k := s.net.Arch.Classes
	clear(s.mean)
	add := func() {
		for n := range batch.Count {
			for c, p := range metrics.Softmax(logits[n*k : (n+1)*k]) {
				s.mean[n*k+c] += p / float64(len(others)+1)
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
			return errors.New("predict: the views of an image do not agree on what can be read")
		}
		if err := s.pass.Run(view); err != nil {
			return err
		}
		if _, err := s.pass.Logits(); err != nil {
			return err
		}
		add()
	}
	for i, p := range s.mean {
		logits[i] = float32(math.Log(p))
	}
	return nil
}
