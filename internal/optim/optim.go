// Package optim updates a network's weights: the rules, as backend Specs, the
// schedules of the learning rate, and running averages of the weights.
package optim

import (
	"cmp"
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
	MicroBatches int     // most batches whose gradients are averaged for an update; 0 is 1
}

// A Group is a run of weights that are updated alike. Weights in no group stay as
// they are.
type Group struct {
	From, N int
	Decay   bool    // by the weight decay
	Scale   float64 // of the learning rate; 0 is 1
	Since   int     // updates before its first, which its moments have not seen
}

// Same says whether another group is updated alike.
func (g Group) Same(o Group) bool { return g.Decay == o.Decay && g.rate() == o.rate() }

// A rate is what decides a row of Optimizer.rates.
type rate struct {
	scale float64
	since int
}

func (g Group) rate() rate { return rate{cmp.Or(g.Scale, 1), g.Since} }

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
	opt      Options
	backend  backend.Backend
	each     []rate            // of the groups, each once
	rates    backend.View      // [len(each),4], rows as backend.Decay has them
	spread   []backend.Program // the factor that clipping gave the first row, to the others
	norm     backend.View      // [1], of the gradient before it is clipped
	slots    []backend.View
	sum      *sum // of the micro-batches' gradients; nil for one
	clip     *backend.Program
	loss     backend.View // see Guard; none if it was not called
	guard    *backend.Program
	updates  []backend.Program
	launches *backend.Sequence // guard, clip, spread and updates
	buffers  [2]backend.View   // weights, and the gradients that updates read
	specs    []backend.Spec    // of updates
	updated  int
	added    int // micro-batches since the last step
}

// New compiles an update of groups of weights from gradients, which are zero where
// no group is.
func New(b backend.Backend, o Options, weights, gradients backend.View, groups []Group) (*Optimizer, error) {
	r, ok := rules[o.Rule]
	if !ok {
		return nil, fmt.Errorf("optim: unknown rule %q (%s)", o.Rule, strings.Join(slices.Sorted(maps.Keys(rules)), ", "))
	}
	opt := &Optimizer{opt: o, backend: b}
	var err error
	if o.MicroBatches > 1 {
		if opt.sum, err = newSum(b, gradients, o.MicroBatches); err != nil {
			return nil, err
		}
		gradients = opt.sum.view()
	}
	opt.buffers = [2]backend.View{weights, gradients}
	for _, start := range r.initial {
		slot, err := backend.NewView(b, weights.Len)
		if err == nil {
			err = fill(b, slot, start)
		}
		if err != nil {
			return nil, err
		}
		opt.slots = append(opt.slots, slot)
	}
	return opt, opt.Regroup(groups)
}

// fill makes every value of v the same. It sends pieces, so that a plan for a large
// network, on a backend that only counts, needs no memory of the network's size.
func fill(b backend.Backend, v backend.View, value float32) error {
	const piece = 1 << 16
	values := slices.Repeat([]float32{value}, min(v.Len, piece))
	for at := 0; at < v.Len; at += piece {
		n := min(v.Len-at, piece)
		if err := b.Upload(v.Slice(at, n), values[:n]); err != nil {
			return err
		}
	}
	return nil
}

// Regroup changes which weights are updated and how, from the next step on.
func (o *Optimizer) Regroup(groups []Group) (err error) {
	o.each, o.updates, o.specs, o.spread = nil, nil, nil, nil
	o.launches = backend.NewSequence(o.backend, o.launch)
	for _, g := range groups {
		if !slices.Contains(o.each, g.rate()) {
			o.each = append(o.each, g.rate())
		}
	}
	if o.rates, err = backend.NewView(o.backend, 4*len(o.each)); err != nil {
		return err
	}
	if err := o.clipping(o.buffers[1]); err != nil {
		return err
	}
	if err := o.guarding(); err != nil {
		return err
	}
	for _, g := range groups {
		if g.N == 0 {
			continue
		}
		if err := o.update(g); err != nil {
			return err
		}
	}
	return nil
}

// Guard makes steps change nothing where a loss, which lies there, is not finite.
func (o *Optimizer) Guard(loss backend.View) error {
	o.loss = loss
	return o.guarding()
}

func (o *Optimizer) guarding() (err error) {
	if o.loss.Buffer == nil {
		return nil
	}
	program, err := o.backend.Compile(backend.Guard{Groups: len(o.each)}, o.loss, o.rates)
	o.guard, o.launches = &program, backend.NewSequence(o.backend, o.launch)
	return err
}

// update compiles the update of a group.
func (o *Optimizer) update(g Group) error {
	wd := 0.0
	if g.Decay {
		wd = o.opt.WeightDecay
	}
	rates := o.rates.Slice(4*slices.Index(o.each, g.rate()), 4)
	views := append(make([]backend.View, 0, 5), o.buffers[1].Slice(g.From, g.N), rates, o.buffers[0].Slice(g.From, g.N))
	for _, s := range o.slots {
		views = append(views, s.Slice(g.From, g.N))
	}
	spec := rules[o.opt.Rule].spec(o.opt, g.N, backend.Decay{WeightDecay: float32(wd), Decoupled: o.opt.Decoupled})
	program, err := o.backend.Compile(spec, views...)
	o.updates, o.specs = append(o.updates, program), append(o.specs, spec)
	return err
}

func (o *Optimizer) clipping(gradients backend.View) (err error) {
	if o.opt.ClipNorm <= 0 {
		return nil
	}
	if o.norm, err = backend.NewView(o.backend, 1); err != nil {
		return err
	}
	program, err := o.backend.Compile(backend.ClipNorm{N: gradients.Len, Max: float32(o.opt.ClipNorm)}, gradients, o.rates.Slice(0, 4), o.norm)
	o.clip = &program
	for i := 1; i < len(o.each) && err == nil; i++ {
		var p backend.Program
		p, err = o.backend.Compile(backend.Copy{N: 1}, o.rates.Slice(1, 1), o.rates.Slice(4*i+1, 1))
		o.spread = append(o.spread, p)
	}
	return err
}

// Specs are the operations of an update.
func (o *Optimizer) Specs() []backend.Spec { return o.specs }

// Updates is how many updates were made.
func (o *Optimizer) Updates() int { return o.updated }

// Micro is how many micro-batches were added since the last update.
func (o *Optimizer) Micro() int { return o.added }

// Step takes the gradients of a batch. With those of the last micro-batch it updates the
// weights, and reports so.
func (o *Optimizer) Step(lr float64) (updated bool, err error) {
	o.Add()
	if o.added < max(o.opt.MicroBatches, 1) {
		return false, nil
	}
	o.Sum()
	return true, o.Update(lr, o.added)
}

// Add takes the gradients of a micro-batch: see Sum.
func (o *Optimizer) Add() {
	if o.added++; o.sum != nil {
		o.sum.add()
	}
}

// Sum adds up the gradients of the micro-batches since the last update, at least one, as
// a binary tree over them, and returns where the sum is. Update follows.
func (o *Optimizer) Sum() backend.View {
	if o.sum != nil {
		o.sum.finish()
	}
	return o.buffers[1]
}

// Update updates the weights by the mean of the gradients of some micro-batches, whose sum
// is where Sum says: one multiplication by 1/batches.
func (o *Optimizer) Update(lr float64, batches int) error {
	o.added = 0
	o.updated++
	rates := make([]float32, 0, 4*len(o.each))
	for _, r := range o.each {
		t := float64(o.updated - r.since)
		rates = append(rates, float32(r.scale*lr), 1/float32(batches),
			float32(1/(1-math.Pow(o.opt.Beta1, t))), float32(1/math.Sqrt(1-math.Pow(o.opt.Beta2, t))))
	}
	if err := o.backend.Upload(o.rates, rates); err != nil {
		return err
	}
	return o.launches.Run()
}

// launch is an update's launches.
func (o *Optimizer) launch() {
	if o.guard != nil {
		o.guard.All()
	}
	if o.clip != nil {
		o.clip.All()
	}
	for _, p := range o.spread {
		p.All()
	}
	for _, update := range o.updates {
		update.All()
	}
}

// Launched is what the operations of Specs launch on a device of its own.
func (o *Optimizer) Launched() (all []backend.Launched) {
	for _, p := range o.updates {
		all = append(all, p.Launched...)
	}
	return all
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

// Slots are the buffers that a run needs to resume, besides Updates, after an update.
func (o *Optimizer) Slots() []Slot {
	all := make([]Slot, len(o.slots))
	for i, name := range rules[o.opt.Rule].slots {
		all[i] = Slot{name, o.slots[i]}
	}
	return all
}

// Sums is how many values the sums of micro-batches take.
func (o *Optimizer) Sums() (values int) {
	if o.sum != nil {
		for _, block := range o.sum.blocks {
			values += block.Len
		}
	}
	return values
}

// Resume says that the slots hold what they had after a number of updates.
func (o *Optimizer) Resume(updates int) { o.updated, o.added = updates, 0 }
