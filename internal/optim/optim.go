// Package optim updates a network's weights: the rules, as backend Specs, and
// the schedules of the learning rate.
package optim

import (
	"fmt"

	"effnet/internal/backend"
)

// Options picks an update rule and its constants.
type Options struct {
	Rule        string  // "rmsprop" or "sgd"
	Momentum    float64 // of both
	Decay       float64 // rmsprop: share of the old mean square
	Eps         float64 // rmsprop: added to the mean square, inside the root
	WeightDecay float64 // L2 in the gradient, of the weights that decay
}

// Slots is how many values a rule keeps for each weight.
func (o Options) Slots() int { return len(rules[o.Rule].initial) }

// rule is an update rule: what its slots start at and the Spec of n weights.
type rule struct {
	initial []float32
	spec    func(o Options, n int, weightDecay float32) backend.Spec
}

var rules = map[string]rule{
	// TensorFlow starts the mean square at one (tf.train.RMSPropOptimizer).
	"rmsprop": {[]float32{1, 0}, func(o Options, n int, wd float32) backend.Spec {
		return backend.RMSProp{N: n, Decay: float32(o.Decay), Momentum: float32(o.Momentum), Eps: float32(o.Eps), WeightDecay: wd}
	}},
	"sgd": {[]float32{0}, func(o Options, n int, wd float32) backend.Spec {
		return backend.SGD{N: n, Momentum: float32(o.Momentum), WeightDecay: wd}
	}},
}

// Optimizer updates one flat buffer of weights from one of gradients.
type Optimizer struct {
	backend backend.Backend
	lr      backend.View
	updates []backend.Program
	specs   []backend.Spec // of updates
}

// New compiles an update of weights from gradients, of which the first decayed
// values shrink by the weight decay.
func New(b backend.Backend, o Options, weights, gradients backend.View, decayed int) (*Optimizer, error) {
	r, ok := rules[o.Rule]
	if !ok {
		return nil, fmt.Errorf("optim: unknown rule %q (rmsprop or sgd)", o.Rule)
	}
	opt := &Optimizer{backend: b}
	var err error
	if opt.lr, err = backend.NewView(b, 1); err != nil {
		return nil, err
	}
	var slots []backend.View
	for _, start := range r.initial {
		slot, err := backend.NewView(b, weights.Len)
		if err != nil {
			return nil, err
		}
		fill := make([]float32, weights.Len)
		for i := range fill {
			fill[i] = start
		}
		if err := b.Upload(slot, fill); err != nil {
			return nil, err
		}
		slots = append(slots, slot)
	}
	for _, part := range []struct {
		from, n int
		wd      float64
	}{{0, decayed, o.WeightDecay}, {decayed, weights.Len - decayed, 0}} {
		if part.n == 0 {
			continue
		}
		views := []backend.View{gradients.Slice(part.from, part.n), opt.lr, weights.Slice(part.from, part.n)}
		for _, s := range slots {
			views = append(views, s.Slice(part.from, part.n))
		}
		spec := r.spec(o, part.n, float32(part.wd))
		program, err := b.Compile(spec, views...)
		if err != nil {
			return nil, err
		}
		opt.updates, opt.specs = append(opt.updates, program), append(opt.specs, spec)
	}
	return opt, nil
}

// Specs are the operations of Step.
func (o *Optimizer) Specs() []backend.Spec { return o.specs }

// Step updates the weights once.
func (o *Optimizer) Step(lr float64) error {
	v := [1]float32{float32(lr)}
	if err := o.backend.Upload(o.lr, v[:]); err != nil {
		return err
	}
	for _, update := range o.updates {
		update.All()
	}
	return nil
}
