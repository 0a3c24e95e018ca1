// Package optim updates a network's weights: the rules, as backend Specs, the
// schedules of the learning rate, and running averages of the weights.
package optim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"effnet/internal/backend"
)

// Options picks an update rule and its constants.
type Options struct {
	Rule         string  // "rmsprop", "sgd" or "adam"
	Momentum     float64 // rmsprop, sgd
	Decay        float64 // rmsprop: share of the old mean square
	Beta1, Beta2 float64 // adam: shares of the old moments
	Eps          float64 // rmsprop: added to the mean square, inside the root; adam: to the root
	WeightDecay  float64 // of the weights that decay
	Decoupled    bool    // decay the weights themselves instead of L2 in the gradient; with adam, AdamW
	ClipNorm     float64 // greatest length of the gradient; 0 for any
	MicroBatches int     // whose gradients are averaged for a step; 0 is 1
}

// SlotCount is how many values a rule keeps for each weight.
func (o Options) SlotCount() int { return len(rules[o.Rule].slots) }

// A rule is an update rule: what its slots are called and start at, and the Spec
// of n weights.
type rule struct {
	slots   []string
	initial []float32
	spec    func(o Options, n int, d backend.Decay) backend.Spec
}

var rules = map[string]rule{
	// TensorFlow starts the mean square at one (tf.train.RMSPropOptimizer).
	"rmsprop": {[]string{"mean_square", "momentum"}, []float32{1, 0}, func(o Options, n int, d backend.Decay) backend.Spec {
		return backend.RMSProp{N: n, Rho: float32(o.Decay), Momentum: float32(o.Momentum), Eps: float32(o.Eps), Decay: d}
	}},
	"sgd": {[]string{"momentum"}, []float32{0}, func(o Options, n int, d backend.Decay) backend.Spec {
		return backend.SGD{N: n, Momentum: float32(o.Momentum), Decay: d}
	}},
	"adam": {[]string{"first_moment", "second_moment"}, []float32{0, 0}, func(o Options, n int, d backend.Decay) backend.Spec {
		return backend.Adam{N: n, Beta1: o.Beta1, Beta2: o.Beta2, Eps: float32(o.Eps), Decay: d}
	}},
}

// Optimizer updates one flat buffer of weights from one of gradients.
type Optimizer struct {
	opt     Options
	backend backend.Backend
	rates   backend.View // [4], as backend.Decay has them
	norm    backend.View // [1], of the gradient before it is clipped
	slots   []backend.View
	sum     backend.View // of the micro-batches' gradients; none for one
	add     backend.Program
	copy    backend.Program
	clip    *backend.Program
	updates []backend.Program
	specs   []backend.Spec // of updates
	steps   int
	added   int // micro-batches since the last step
}

// New compiles an update of weights from gradients, of which the first decayed
// values shrink by the weight decay.
func New(b backend.Backend, o Options, weights, gradients backend.View, decayed int) (*Optimizer, error) {
	r, ok := rules[o.Rule]
	if !ok {
		return nil, fmt.Errorf("optim: unknown rule %q (%s)", o.Rule, strings.Join(slices.Sorted(maps.Keys(rules)), ", "))
	}
	opt := &Optimizer{opt: o, backend: b}
	var err error
	if opt.rates, err = backend.NewView(b, 4); err != nil {
		return nil, err
	}
	if gradients, err = opt.accumulate(gradients); err != nil {
		return nil, err
	}
	if err := opt.clipping(gradients); err != nil {
		return nil, err
	}
	for _, start := range r.initial {
		slot, err := backend.NewView(b, weights.Len)
		if err == nil {
			err = b.Upload(slot, slices.Repeat([]float32{start}, weights.Len))
		}
		if err != nil {
			return nil, err
		}
		opt.slots = append(opt.slots, slot)
	}
	for _, part := range []struct {
		from, n int
		wd      float64
	}{{0, decayed, o.WeightDecay}, {decayed, weights.Len - decayed, 0}} {
		if part.n == 0 {
			continue
		}
		views := []backend.View{gradients.Slice(part.from, part.n), opt.rates, weights.Slice(part.from, part.n)}
		for _, s := range opt.slots {
			views = append(views, s.Slice(part.from, part.n))
		}
		spec := r.spec(o, part.n, backend.Decay{WeightDecay: float32(part.wd), Decoupled: o.Decoupled})
		program, err := b.Compile(spec, views...)
		if err != nil {
			return nil, err
		}
		opt.updates, opt.specs = append(opt.updates, program), append(opt.specs, spec)
	}
	return opt, nil
}

// accumulate returns the gradient that updates read: that of the one batch, or
// the sum of the micro-batches'.
func (o *Optimizer) accumulate(gradients backend.View) (backend.View, error) {
	if o.opt.MicroBatches <= 1 {
		return gradients, nil
	}
	var err error
	if o.sum, err = backend.NewView(o.backend, gradients.Len); err != nil {
		return gradients, err
	}
	if o.copy, err = o.backend.Compile(backend.Copy{N: gradients.Len}, gradients, o.sum); err != nil {
		return gradients, err
	}
	o.add, err = o.backend.Compile(backend.Add{N: gradients.Len}, o.sum, gradients, o.sum)
	return o.sum, err
}

func (o *Optimizer) clipping(gradients backend.View) (err error) {
	if o.opt.ClipNorm <= 0 {
		return nil
	}
	if o.norm, err = backend.NewView(o.backend, 1); err != nil {
		return err
	}
	program, err := o.backend.Compile(backend.ClipNorm{N: gradients.Len, Max: float32(o.opt.ClipNorm)}, gradients, o.rates, o.norm)
	o.clip = &program
	return err
}

// Specs are the operations of an update.
func (o *Optimizer) Specs() []backend.Spec { return o.specs }

// Steps is how many updates were made.
func (o *Optimizer) Steps() int { return o.steps }

// Micro is how many micro-batches were added since the last update.
func (o *Optimizer) Micro() int { return o.added }

// Step takes the gradients of a batch. Of several micro-batches it adds up the
// gradients, in order, and with those of the last updates the weights by their
// mean: sum, then one multiplication by 1/MicroBatches. It reports whether the
// weights have changed.
func (o *Optimizer) Step(lr float64) (updated bool, err error) {
	micro := max(o.opt.MicroBatches, 1)
	if micro > 1 {
		if o.added == 0 {
			o.copy.All()
		} else {
			o.add.All()
		}
		if o.added++; o.added < micro {
			return false, nil
		}
		o.added = 0
	}
	o.steps++
	rates := [4]float32{float32(lr), 1 / float32(micro),
		float32(1 / (1 - math.Pow(o.opt.Beta1, float64(o.steps)))), float32(1 / math.Sqrt(1-math.Pow(o.opt.Beta2, float64(o.steps))))}
	if err := o.backend.Upload(o.rates, rates[:]); err != nil {
		return false, err
	}
	if o.clip != nil {
		o.clip.All()
	}
	for _, update := range o.updates {
		update.All()
	}
	return true, nil
}

// GradientNorm is the length of the last step's gradient before it was clipped;
// 0 where nothing clips.
func (o *Optimizer) GradientNorm() (float64, error) {
	if o.clip == nil {
		return 0, nil
	}
	var norm [1]float32
	err := o.backend.Download(norm[:], o.norm)
	return float64(norm[0]), err
}

// Slot is a buffer of the optimizer's state.
type Slot struct {
	Name string
	View backend.View
}

// Slots are the buffers that a run needs to go on, beside Steps. Between two
// micro-batches of a step there is also the sum.
func (o *Optimizer) Slots() []Slot {
	var all []Slot
	for i, name := range rules[o.opt.Rule].slots {
		all = append(all, Slot{name, o.slots[i]})
	}
	if o.opt.MicroBatches > 1 {
		all = append(all, Slot{"gradient_sum", o.sum})
	}
	return all
}

// Resume says that the slots hold what they had after a number of updates and,
// of the next one, micro-batches.
func (o *Optimizer) Resume(steps, microBatches int) { o.steps, o.added = steps, microBatches }
