// Package feed brings the batches of a loader to a device.
package feed

import (
	"effnet/internal/backend"
	"effnet/internal/data"
)

// An Input brings a loader's batches to a device, where a pass reads them. A training
// pass's has two places for them to arrive, so that a batch may come while the device
// computes with the one before it.
type Input struct {
	backend backend.Backend
	pixels  bool
	places  []arrival
	next    int // place of the next batch
}

// arrival is where a batch arrives, and how it goes from there to what the pass reads.
type arrival struct {
	images  backend.View // bytes, or float32
	mix     backend.View // backend.Pixels'
	targets backend.View
	load    []backend.Program
	loading *backend.Sequence // of load
}

// NewInput returns the Input of a pass that reads images and, in training, targets, in
// batches of a loader with these options.
func NewInput(b backend.Backend, opt data.Options, images, targets backend.View) (*Input, error) {
	in := &Input{backend: b, pixels: opt.Pixels, places: make([]arrival, 1)}
	training := targets.Buffer != nil
	if training {
		in.places = make([]arrival, 2)
	}
	var table backend.View
	if in.pixels {
		values, err := opt.Normalised()
		if err == nil {
			table, err = backend.NewView(b, len(values))
		}
		if err == nil {
			err = b.Upload(table, values)
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range in.places {
		p := &in.places[i]
		var err error
		if in.pixels {
			err = p.addPixels(b, backend.Pixels{N: opt.BatchSize, Side: opt.Size}, table, images)
		} else {
			p.images, err = p.addCopy(b, images)
		}
		if err == nil && training {
			p.targets, err = p.addCopy(b, targets)
		}
		if err != nil {
			return nil, err
		}
		p.loading = backend.NewSequence(b, p.run)
	}
	return in, b.Sync() // before anything is staged there
}

func (p *arrival) addPixels(b backend.Backend, spec backend.Pixels, table, images backend.View) (err error) {
	sizes := backend.Sizes(spec)
	if p.images, err = backend.NewView(b, sizes[0]); err != nil {
		return err
	}
	if p.mix, err = backend.NewView(b, sizes[2]); err != nil {
		return err
	}
	return p.add(b, spec, p.images, table, p.mix, images)
}

// addCopy makes a place for what goes to a view as it is.
func (p *arrival) addCopy(b backend.Backend, to backend.View) (from backend.View, err error) {
	if from, err = backend.NewView(b, to.Len); err != nil {
		return from, err
	}
	return from, p.add(b, backend.Copy{N: to.Len}, from, to)
}

func (p *arrival) run() {
	for _, program := range p.load {
		program.All()
	}
}

func (p *arrival) add(b backend.Backend, spec backend.Spec, operands ...backend.View) error {
	program, err := b.Compile(spec, operands...)
	p.load = append(p.load, program)
	return err
}

// Send brings a batch, and targets in training, to the device. What was sent as many
// batches ago as there are places must have been computed with.
func (in *Input) Send(batch *data.Batch, targets []float32) error {
	p := &in.places[in.next]
	bytes := batch.Pixels
	if !in.pixels {
		bytes = backend.Bytes(batch.Images)
	}
	if err := in.backend.Send(p.images, bytes); err != nil {
		return err
	}
	if in.pixels {
		m := batch.Mixed
		mix := [7]float32{float32(batch.Count), m.Own, m.Other, float32(m.Box.Min.X), float32(m.Box.Min.Y), float32(m.Box.Max.X), float32(m.Box.Max.Y)}
		if err := in.backend.Send(p.mix, backend.Bytes(mix[:])); err != nil {
			return err
		}
	}
	if p.targets.Buffer == nil {
		return nil
	}
	return in.backend.Send(p.targets, backend.Bytes(targets))
}

// Take makes the batch that was staged last what the pass reads.
func (in *Input) Take() error {
	err := in.places[in.next].loading.Run()
	in.next = (in.next + 1) % len(in.places)
	return err
}

// Retake makes the batch before the last that was taken what the pass reads.
func (in *Input) Retake() error { return in.places[in.next].loading.Run() }

// Load is Stage and Take, for a pass without targets whose last results were read.
func (in *Input) Load(batch *data.Batch) error {
	if err := in.Send(batch, nil); err != nil {
		return err
	}
	return in.Take()
}
