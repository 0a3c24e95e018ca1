package model

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"

	G "gorgonia.org/gorgonia"

	"effnet/internal/backend"
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

// Initialise draws every parameter anew. A parameter's values depend on the
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

// Tensor is a named array in PyTorch's layout.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// Tensors returns the whole network as timm's state_dict names it.
func (n *Network) Tensors() ([]Tensor, error) {
	w, running := make([]float32, n.Weights.Len), make([]float32, n.Running.Len)
	if err := n.backend.Download(w, n.Weights); err != nil {
		return nil, err
	}
	if err := n.backend.Download(running, n.Running); err != nil {
		return nil, err
	}
	return n.tensors(w, running), nil
}

// Gradients returns a Training's gradients as Tensors does the parameters.
func (t *Training) Gradients() ([]Tensor, error) {
	g := make([]float32, t.gradients.Len)
	if err := t.net.backend.Download(g, t.gradients); err != nil {
		return nil, err
	}
	return t.net.tensors(g, nil), nil
}

func (n *Network) tensors(w, running []float32) []Tensor {
	var all []Tensor
	for _, p := range n.Params {
		data := make([]float32, p.Len())
		p.toTorch(data, w[p.Offset:])
		all = append(all, Tensor{p.Name, p.TorchShape(), data})
	}
	if running == nil {
		return all
	}
	for _, norm := range n.Norms {
		mean, variance := running[norm.Offset:], running[norm.Offset+norm.C:]
		all = append(all,
			Tensor{norm.Name + ".running_mean", []int{norm.C}, mean[:norm.C:norm.C]},
			Tensor{norm.Name + ".running_var", []int{norm.C}, variance[:norm.C:norm.C]})
	}
	return all
}

// Load sets the whole network. Every tensor of the network must be there, with
// its shape, and no other; the error names the first that isn't.
func (n *Network) Load(tensors []Tensor) error {
	byName := map[string]Tensor{}
	for _, t := range tensors {
		if _, twice := byName[t.Name]; twice {
			return fmt.Errorf("tensor %s is there twice", t.Name)
		}
		byName[t.Name] = t
	}
	w, running := make([]float32, n.Weights.Len), make([]float32, n.Running.Len)
	find := func(name string, shape []int) ([]float32, error) {
		t, ok := byName[name]
		delete(byName, name)
		switch {
		case !ok:
			return nil, fmt.Errorf("tensor %s is missing", name)
		case !slices.Equal(t.Shape, shape):
			return nil, fmt.Errorf("tensor %s has shape %v, want %v", name, t.Shape, shape)
		case len(t.Data) != product(shape):
			return nil, fmt.Errorf("tensor %s has %d values for shape %v", name, len(t.Data), shape)
		}
		return t.Data, nil
	}
	for _, p := range n.Params {
		data, err := find(p.Name, p.TorchShape())
		if err != nil {
			return err
		}
		p.fromTorch(w[p.Offset:p.Offset+p.Len()], data)
	}
	for _, norm := range n.Norms {
		for i, name := range []string{".running_mean", ".running_var"} {
			data, err := find(norm.Name+name, []int{norm.C})
			if err != nil {
				return err
			}
			copy(running[norm.Offset+i*norm.C:], data)
		}
	}
	for _, t := range tensors { // in file order, for a stable message
		if _, left := byName[t.Name]; left {
			return fmt.Errorf("tensor %s does not belong to %s", t.Name, n.Arch.Name)
		}
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

	update     backend.Program // of the running statistics
	updateSpec backend.Spec
}

// Training compiles the network's training pass for batches of n images. seed
// seeds dropout and stochastic depth.
func (n *Network) Training(batch int, seed uint64) (*Training, error) {
	gradients, err := backend.NewView(n.backend, n.Weights.Len)
	if err != nil {
		return nil, err
	}
	return n.TrainingAt(n.Arch.Resolution, n.Arch.Dropout, batch, seed, gradients)
}

// TrainingAt is Training at another resolution and dropout, with the gradients in
// a buffer laid out as Weights.
func (n *Network) TrainingAt(resolution int, dropout float64, batch int, seed uint64, gradients backend.View) (*Training, error) {
	arch := n.Arch
	arch.Resolution, arch.Dropout = resolution, dropout
	g, err := build(arch, batch, true, seed)
	if err != nil {
		return nil, err
	}
	t := &Training{net: n, graph: g, gradients: gradients}
	stats, err := backend.NewView(n.backend, n.Running.Len)
	if err != nil {
		return nil, err
	}
	bind := n.bindParams(g)
	for i, node := range g.grads {
		bind[node] = t.gradients.Slice(n.Params[i].Offset, n.Params[i].Len())
	}
	for i, node := range g.stats {
		bind[node] = stats.Slice(n.Norms[i].Offset, 2*n.Norms[i].C)
	}
	outputs := append(append(G.Nodes{g.loss, g.logits}, g.grads...), g.stats...)
	if t.machine, err = vm.New(g.g, outputs, n.backend, bind); err != nil {
		return nil, err
	}
	t.Images, t.Targets, t.step = t.machine.View(g.images), t.machine.View(g.targets), t.machine.View(g.step)
	t.updateSpec = backend.RunningStats{N: n.Running.Len, Momentum: float32(n.Arch.BNMomentum)}
	t.update, err = n.runningUpdate(g.norms, t.updateSpec, stats)
	return t, err
}

// runningUpdate moves the running statistics towards a batch's, whose variances
// it makes unbiased first, as PyTorch and TensorFlow's fused normalisation do.
func (n *Network) runningUpdate(norms []Norm, spec backend.Spec, stats backend.View) (backend.Program, error) {
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
	return n.backend.Compile(spec, stats, view, n.Running)
}

// Run computes the loss, every gradient and the new running statistics from
// Images and Targets. step is the training step, which decides what is dropped.
func (t *Training) Run(step uint64) error {
	if err := t.setStep(step); err != nil {
		return err
	}
	if err := t.machine.RunAll(); err != nil {
		return err
	}
	t.update.All()
	return nil
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

// Memory is the bytes that training an architecture takes at a batch size: the
// intermediate values, and for each parameter its value, its gradient and
// slots optimizer values.
func Memory(arch scale.Arch, batch, slots int) (arena, params int64, err error) {
	g, err := build(arch, batch, true, 0)
	if err != nil {
		return 0, 0, err
	}
	outputs := append(append(G.Nodes{g.loss, g.logits}, g.grads...), g.stats...)
	bound := append(append(append(G.Nodes{}, g.nodes...), g.grads...), g.stats...)
	arena, err = vm.ArenaBytes(g.g, outputs, bound)
	if err != nil {
		return 0, 0, err
	}
	total, _ := layout(g.params)
	return arena, int64(total) * 4 * int64(2+slots), nil
}
