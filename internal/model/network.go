package model

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	G "gorgonia.org/gorgonia"

	"effnet/internal/backend"
	"effnet/internal/named"
	"effnet/internal/scale"
	"effnet/internal/vm"
)

// Network is an architecture's parameters and running statistics in a backend's
// memory. Training and inference graphs made from it share them.
type Network struct {
	Arch    scale.Arch
	Params  []Param
	Norms   []Norm
	Weights backend.View // all parameters, those that decay first
	Decayed int          // how many values of Weights decay
	Running backend.View // all running statistics

	backend backend.Backend
}

// New allocates a network: running means 0, running variances 1, and every
// parameter 0 until Initialise or Load.
func New(arch scale.Arch, b backend.Backend) (*Network, error) {
	if err := arch.Validate(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	g, err := build(arch, 1, false, 0)
	if err != nil {
		return nil, err
	}
	n := &Network{Arch: arch, Params: g.params, Norms: g.norms, backend: b}
	total, decayed := layout(n.Params)
	n.Decayed = decayed
	if n.Weights, err = backend.NewView(b, total); err != nil {
		return nil, err
	}
	stats := 0
	for i := range n.Norms {
		n.Norms[i].Offset = stats
		stats += 2 * n.Norms[i].C
	}
	if n.Running, err = backend.NewView(b, stats); err != nil {
		return nil, err
	}
	running := make([]float32, stats)
	for _, norm := range n.Norms {
		for i := norm.Offset + norm.C; i < norm.Offset+2*norm.C; i++ {
			running[i] = 1
		}
	}
	return n, b.Upload(n.Running, running)
}

// Initialise draws every parameter again. A parameter's values depend on the
// seed and its name, not on the others.
func (n *Network) Initialise(seed uint64) error {
	w := make([]float32, n.Weights.Len)
	for _, p := range n.Params {
		h := fnv.New64a()
		_, _ = h.Write([]byte(p.Name))
		p.initialise(w[p.Offset:p.Offset+p.Len()], rand.New(rand.NewPCG(seed, h.Sum64())))
	}
	return n.backend.Upload(n.Weights, w)
}

// Tensors returns the whole network as timm's state_dict names it, in PyTorch's layouts.
func (n *Network) Tensors() ([]named.Tensor, error) {
	w, running := make([]float32, n.Weights.Len), make([]float32, n.Running.Len)
	if err := n.backend.Download(w, n.Weights); err != nil {
		return nil, err
	}
	if err := n.backend.Download(running, n.Running); err != nil {
		return nil, err
	}
	var all []named.Tensor
	for _, p := range n.Params {
		data := make([]float32, p.Len())
		p.toTorch(data, w[p.Offset:])
		all = append(all, named.Tensor{Name: p.Name, Shape: p.TorchShape(), Data: data})
	}
	for _, norm := range n.Norms {
		mean, variance := running[norm.Offset:], running[norm.Offset+norm.C:]
		all = append(all,
			named.Tensor{Name: norm.Name + ".running_mean", Shape: []int{norm.C}, Data: mean[:norm.C:norm.C]},
			named.Tensor{Name: norm.Name + ".running_var", Shape: []int{norm.C}, Data: variance[:norm.C:norm.C]})
	}
	return all, nil
}

// Load sets the whole network. Every tensor of the network must be there, with
// its shape, and no other; the error, a *named.Mismatch, names the first that isn't.
func (n *Network) Load(tensors []named.Tensor) error {
	lookup, err := named.NewLookup(tensors)
	if err != nil {
		return err
	}
	w, running := make([]float32, n.Weights.Len), make([]float32, n.Running.Len)
	for _, p := range n.Params {
		data, err := lookup.Take(p.Name, p.TorchShape()...)
		if err != nil {
			return err
		}
		p.fromTorch(w[p.Offset:p.Offset+p.Len()], data)
	}
	for _, norm := range n.Norms {
		for i, name := range []string{".running_mean", ".running_var"} {
			data, err := lookup.Take(norm.Name+name, norm.C)
			if err != nil {
				return err
			}
			copy(running[norm.Offset+i*norm.C:], data)
		}
	}
	if err := lookup.Rest(); err != nil {
		return err
	}
	if err := n.backend.Upload(n.Weights, w); err != nil {
		return err
	}
	return n.backend.Upload(n.Running, running)
}

// Training is a compiled forward and backward pass over a batch.
type Training struct {
	Images  backend.View // [N,R,R,3], the input
	Targets backend.View // [N,classes], the input
	net     *Network
	graph   *graph
	machine *vm.Machine

	gradients backend.View
	step      backend.View // of values
	values    [2]float32   // see backend.StepValues

	// Moments is the means and variances that normalisations found in the last batch, laid
	// out as Network.Running from the first on that moves; empty where all are frozen.
	Moments backend.View
	Running backend.View // the running statistics that move: those of Network.Running

	update     backend.Program // of the running statistics, by Moments
	updateSpec backend.Spec
}

// Training compiles the network's training pass for batches of n images. seed
// seeds dropout and stochastic depth.
func (n *Network) Training(batch int, seed uint64) (*Training, error) {
	gradients, err := backend.NewView(n.backend, n.Weights.Len)
	if err != nil {
		return nil, err
	}
	return n.TrainingAt(Pass{Resolution: n.Arch.Resolution, Dropout: n.Arch.Dropout, Batch: batch, Seed: seed}, gradients)
}

// Pass is what may differ between the training passes of a network.
type Pass struct {
	Resolution int
	Dropout    float64
	Batch      int
	Seed       uint64 // of dropout and stochastic depth
	Frozen     Frozen
}

// TrainingAt compiles a training pass with the gradients in a buffer laid out as
// Weights, in which those of frozen parameters stay as they are.
func (n *Network) TrainingAt(p Pass, gradients backend.View) (*Training, error) {
	arch := n.Arch
	arch.Resolution, arch.Dropout = p.Resolution, p.Dropout
	g, err := buildFrozen(arch, p.Batch, true, p.Seed, p.Frozen)
	if err != nil {
		return nil, err
	}
	stats, err := backend.NewView(n.backend, n.Running.Len)
	if err != nil {
		return nil, err
	}
	bind := map[*G.Node]backend.View{}
	first := n.Running.Len // value of the statistics that move
	for i, node := range g.stats {
		offset, size := n.Norms[i].Offset, 2*n.Norms[i].C
		if node.IsVar() { // an input: frozen
			bind[node] = n.Running.Slice(offset, size)
			continue
		}
		bind[node] = stats.Slice(offset, size)
		first = min(first, offset)
	}
	if bind[g.images], err = n.input(p.Batch, p.Resolution); err != nil {
		return nil, err
	}
	t, err := n.compile(g, g.images, gradients, bind)
	if err != nil || first == n.Running.Len {
		return t, err
	}
	t.Moments, t.Running = stats.Slice(first, stats.Len-first), n.Running.Slice(first, n.Running.Len-first)
	t.updateSpec = backend.RunningStats{N: n.Running.Len - first, Momentum: float32(n.Arch.BNMomentum)}
	t.update, err = n.runningUpdate(g.norms, t, first)
	return t, err
}

// input makes the memory of a batch of images, as the backend keeps them.
func (n *Network) input(batch, resolution int) (backend.View, error) {
	spec := backend.Pixels{N: batch, Side: resolution}
	types := make([]backend.DType, 4)
	if t, ok := n.backend.(backend.Typer); ok {
		t.Types(spec, types)
	}
	return backend.NewViewOf(n.backend, backend.Sizes(spec)[3], types[3])
}

// HeadTraining compiles the training of the classifier alone, on features that
// Inference.Features gave: they are Training.Images, [N,Features].
func (n *Network) HeadTraining(p Pass, gradients backend.View) (*Training, error) {
	arch := n.Arch
	arch.Dropout = p.Dropout
	g, err := buildHead(arch, p.Batch, p.Seed)
	if err != nil {
		return nil, err
	}
	return n.compile(g, g.pooled, gradients, map[*G.Node]backend.View{})
}

// compile makes a training pass of a graph with some nodes bound.
func (n *Network) compile(g *graph, images *G.Node, gradients backend.View, bind map[*G.Node]backend.View) (*Training, error) {
	t := &Training{net: n, graph: g, gradients: gradients}
	maps.Copy(bind, n.bindParams(g))
	for i, node := range g.grads {
		if node != nil {
			p := n.param(g.params[i].Name)
			bind[node] = gradients.Slice(p.Offset, p.Len())
		}
	}
	var err error
	if t.machine, err = vm.New(g.g, g.results(), n.backend, bind); err != nil {
		return nil, err
	}
	t.Images, t.Targets, t.step = t.machine.View(images), t.machine.View(g.targets), t.machine.View(g.step)
	return t, nil
}

// param is the parameter of a name, which the network has.
func (n *Network) param(name string) Param {
	return n.Params[slices.IndexFunc(n.Params, func(p Param) bool { return p.Name == name })]
}

// runningUpdate moves the running statistics towards a batch's, whose variances
// it makes unbiased first, as PyTorch and TensorFlow's fused normalisation do. Those
// before value number first stay as they are.
func (n *Network) runningUpdate(norms []Norm, t *Training, first int) (backend.Program, error) {
	correction := make([]float32, n.Running.Len)
	for i, norm := range n.Norms {
		rows := float64(norms[i].Rows)
		for c := range norm.C {
			correction[norm.Offset+c] = 1
			correction[norm.Offset+norm.C+c] = float32(rows / math.Max(rows-1, 1))
		}
	}
	view, err := backend.NewView(n.backend, len(correction))
	if err != nil {
		return backend.Program{}, err
	}
	if err := n.backend.Upload(view, correction); err != nil {
		return backend.Program{}, err
	}
	return n.backend.Compile(t.updateSpec, t.Moments, view.Slice(first, view.Len-first), t.Running)
}

// Run computes the loss, every gradient and the new running statistics from
// Images and Targets. step is the training step, which decides what is dropped.
func (t *Training) Run(step uint64) error {
	err := t.Compute(step)
	if err == nil {
		t.MoveRunning()
	}
	return err
}

// Compute is Run without the running statistics, which MoveRunning moves.
func (t *Training) Compute(step uint64) error {
	if err := t.setStep(step); err != nil {
		return err
	}
	return t.machine.RunAll()
}

// MoveRunning moves the running statistics towards Moments: those of the last batch, or
// of another one that were copied there.
func (t *Training) MoveRunning() {
	if t.update.Run != nil { // nil where all statistics are frozen
		t.update.All()
	}
}

func (t *Training) setStep(step uint64) error {
	if t.step.Buffer == nil { // a network that drops nothing needs no step
		return nil
	}
	t.values = backend.StepValues(step)
	return t.net.backend.Upload(t.step, t.values[:])
}

// Loss is the last Run's.
func (t *Training) Loss() (float64, error) {
	var loss [1]float32
	err := t.machine.Read(t.graph.loss, loss[:])
	return float64(loss[0]), err
}

// Logits copies the last Run's, [N,classes].
func (t *Training) Logits(dst []float32) error { return t.machine.Read(t.graph.logits, dst) }

// LossView is where Run leaves the loss, [1].
func (t *Training) LossView() backend.View { return t.machine.View(t.graph.loss) }

// LogitsView is where Run leaves the logits, [N,classes].
func (t *Training) LogitsView() backend.View { return t.machine.View(t.graph.logits) }

// GradientView is the flat buffer of gradients, laid out as Weights.
func (t *Training) GradientView() backend.View { return t.gradients }

// ArenaBytes is the memory of the intermediate values.
func (t *Training) ArenaBytes() int64 { return t.machine.ArenaBytes() }

// bindParams says where the parameters of a graph are, which may have some of
// the network's only.
func (n *Network) bindParams(g *graph) map[*G.Node]backend.View {
	byName := map[string]Param{}
	for _, p := range n.Params {
		byName[p.Name] = p
	}
	bind := map[*G.Node]backend.View{}
	for i, node := range g.nodes {
		p := byName[g.params[i].Name]
		bind[node] = n.Weights.Slice(p.Offset, p.Len())
	}
	return bind
}
