package optim

import "effnet/internal/backend"

// EMA keeps exponential running averages of buffers: of a network's weights and
// of its running statistics.
type EMA struct {
	decay   float64
	backend backend.Backend
	factor  backend.View // [1]
	updates *backend.Sequence
}

// NewEMA averages each of the buffers into the one of the same index of
// averages, which hold the start.
func NewEMA(b backend.Backend, decay float64, buffers, averages []backend.View) (*EMA, error) {
	e := &EMA{decay: decay, backend: b}
	var err error
	if e.factor, err = backend.NewView(b, 1); err != nil {
		return nil, err
	}
	var programs []backend.Program
	for i, x := range buffers {
		program, err := b.Compile(backend.Average{N: x.Len}, x, e.factor, averages[i])
		if err != nil {
			return nil, err
		}
		programs = append(programs, program)
	}
	e.updates = backend.NewSequence(b, func() {
		for _, p := range programs {
			p.All()
		}
	})
	return e, nil
}

// Decay is the share of the old average in update number t, from 0: less at
// first, so that the start is soon forgotten
// (tf.train.ExponentialMovingAverage with num_updates).
func (e *EMA) Decay(t int) float64 { return min(e.decay, (1+float64(t))/(10+float64(t))) }

// Update is update number t, from 0.
func (e *EMA) Update(t int) error {
	d := [1]float32{float32(e.Decay(t))}
	if err := e.backend.Upload(e.factor, d[:]); err != nil {
		return err
	}
	return e.updates.Run()
}
