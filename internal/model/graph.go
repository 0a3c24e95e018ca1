// Package model builds an EfficientNet as a Gorgonia graph and holds its
// parameters on a backend.
package model

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"effnet/internal/backend"
	"effnet/internal/ops"
	"effnet/internal/scale"
)

// graph is a network as Gorgonia nodes. Training and inference are two graphs.
type graph struct {
	g       *G.ExprGraph
	images  *G.Node // [N,R,R,3], normalised
	targets *G.Node // [N,classes], training only
	step    *G.Node // [2], training only: see backend.StepValues
	small   *G.Node // [N,H,W,C], the first map of the smallest size
	maps    *G.Node // [N,H,W,Features], what is pooled
	pooled  *G.Node // [N,Features], what the classifier reads
	logits  *G.Node // [N,classes]
	loss    *G.Node // scalar, training only

	params []Param
	nodes  []*G.Node // of params
	grads  []*G.Node // of params, training only; nil of frozen ones
	norms  []Norm
	stats  []*G.Node // of norms, [2,C]: the running ones (inputs), or in training the batch's (results)
}

// build makes the graph of an architecture for batches of n images. In training
// it normalises by the batch's statistics, drops, and has a loss and gradients.
// seed seeds what is dropped.
func build(arch scale.Arch, n int, training bool, seed uint64) (*graph, error) {
	return buildFrozen(arch, n, training, seed, Frozen{})
}

// buildFrozen is build where training leaves some layers as they are.
func buildFrozen(arch scale.Arch, n int, training bool, seed uint64, frozen Frozen) (*graph, error) {
	b := &builder{graph: &graph{g: G.NewGraph()}, arch: arch, training: training, seed: seed, frozen: frozen}
	b.images = b.input("images", n, arch.Resolution, arch.Resolution, 3)
	if training {
		b.targets = b.input("targets", n, arch.Classes)
		b.step = b.input("step", 2)
	}
	b.small = b.front(b.images)
	b.pooled = b.back(b.small)
	b.logits = b.classifier(b.pooled)
	if training {
		b.loss = b.node(ops.SoftmaxCrossEntropy(b.logits, b.targets))
		b.gradients()
	}
	return b.graph, b.err
}

// The parts of a network, for inference: each has inputs of its own where the one
// before ends.

func buildFront(arch scale.Arch, n int) (*graph, error) {
	b := &builder{graph: &graph{g: G.NewGraph()}, arch: arch}
	b.images = b.input("images", n, arch.Resolution, arch.Resolution, 3)
	b.small = b.front(b.images)
	return b.graph, b.err
}

// buildBack is for n maps of a front's.
func buildBack(arch scale.Arch, n int, front *graph) (*graph, error) {
	b := &builder{graph: &graph{g: G.NewGraph()}, arch: arch}
	shape := front.small.Shape().Clone()
	shape[0] = n
	b.small = b.input("small", shape...)
	b.pooled = b.back(b.small)
	return b.graph, b.err
}

func buildClassifier(arch scale.Arch, n int) (*graph, error) {
	b := &builder{graph: &graph{g: G.NewGraph()}, arch: arch}
	b.pooled = b.input("pooled", n, arch.Features())
	b.logits = b.classifier(b.pooled)
	return b.graph, b.err
}

// buildHead is the training of a classifier alone, on what it reads.
func buildHead(arch scale.Arch, n int, seed uint64) (*graph, error) {
	b := &builder{graph: &graph{g: G.NewGraph()}, arch: arch, training: true, seed: seed}
	b.targets = b.input("targets", n, arch.Classes)
	b.step = b.input("step", 2)
	b.pooled = b.input("pooled", n, arch.Features())
	b.logits = b.classifier(b.pooled)
	b.loss = b.node(ops.SoftmaxCrossEntropy(b.logits, b.targets))
	b.gradients()
	return b.graph, b.err
}

// builder adds layers to a graph. After an error it adds nothing more.
type builder struct {
	*graph
	arch     scale.Arch
	training bool
	frozen   Frozen
	seed     uint64
	layer    uint32 // counts the layers that draw random numbers
	err      error
}

// run adds some of the network's layers, the first of them number first, which read
// the results of each other and x, the result of the layer before. It returns the
// last's result.
func (b *builder) run(layers []scale.Layer, first int, x *G.Node) *G.Node {
	results := map[int]*G.Node{first - 1: x}
	for i, l := range layers {
		inputs := make([]*G.Node, len(l.Inputs))
		for k, n := range l.Inputs {
			inputs[k] = results[n]
		}
		if l.Op == scale.Mean && l.Role == scale.HeadRole {
			b.maps = x
		}
		x = b.do(func() (*G.Node, error) { return layerOps[l.Op](b, l, inputs) })
		results[first+i] = x
	}
	return x
}

// front is the network as far as maps get smaller.
func (b *builder) front(x *G.Node) *G.Node {
	layers := b.arch.Layers()
	return b.run(layers[:smallest(layers)], 0, x)
}

// back is what follows but for the classifier.
func (b *builder) back(x *G.Node) *G.Node {
	layers := b.arch.Layers()
	first := smallest(layers)
	return b.run(layers[first:len(layers)-1], first, x)
}

// smallest is how many layers it takes, whole blocks, until maps have their smallest
// size before they are pooled.
func smallest(layers []scale.Layer) (n int) {
	for i, l := range layers {
		if l.Stride > 1 {
			n = i
		}
	}
	last := layers[n]
	for layers[n].Block == last.Block && (last.InBlock() || layers[n].Role == last.Role) {
		n++
	}
	return n
}

// classifier is the last layer, with dropout before it.
func (b *builder) classifier(x *G.Node) *G.Node {
	if b.training && b.arch.Dropout > 0 {
		random := b.random()
		x = b.do(func() (*G.Node, error) { return ops.Dropout(x, b.step, b.arch.Dropout, random) })
	}
	layers := b.arch.Layers()
	last := len(layers) - 1
	return b.run(layers[last:], last, x)
}

var activations = map[scale.Activation]backend.Activation{
	scale.Identity: backend.Identity, scale.Swish: backend.Swish, scale.ReLU: backend.ReLU, scale.ReLU6: backend.ReLU6, scale.Sigmoid: backend.Sigmoid,
	scale.HardSwish: backend.HardSwish, scale.HardSigmoid: backend.HardSigmoid,
}

var paddings = map[scale.Padding]ops.Padding{scale.Same: ops.Same, scale.Symmetric: ops.Symmetric}

// gradients differentiates the loss.
func (b *builder) gradients() {
	if b.err != nil {
		return
	}
	var trained []int
	var nodes G.Nodes
	for i, p := range b.params {
		if !b.frozen.Param(p) {
			trained, nodes = append(trained, i), append(nodes, b.nodes[i])
		}
	}
	grads, err := G.Grad(b.loss, nodes...)
	if err != nil {
		b.err = fmt.Errorf("model: %w", err)
		return
	}
	b.grads = make([]*G.Node, len(b.nodes))
	seen := map[*G.Node]bool{}
	for k, n := range grads {
		i := trained[k]
		if seen[n] || !n.Shape().Eq(b.nodes[i].Shape()) {
			b.err = fmt.Errorf("model: wrong gradient node for %s", b.params[i].Name)
			return
		}
		seen[n], b.grads[i] = true, n
	}
}

// results are what a training pass computes: loss, logits, gradients, statistics.
func (g *graph) results() G.Nodes {
	all := G.Nodes{g.loss, g.logits}
	for _, n := range g.grads {
		if n != nil {
			all = append(all, n)
		}
	}
	for _, n := range g.stats {
		if !n.IsVar() {
			all = append(all, n)
		}
	}
	return all
}

// param adds a parameter of a layer.
func (b *builder) param(l scale.Layer, leaf string, kind Kind, shape ...int) *G.Node {
	name := l.Name + "." + leaf
	b.params = append(b.params, Param{Name: name, Layer: l, Kind: kind, Shape: shape})
	n := b.input(name, shape...)
	b.nodes = append(b.nodes, n)
	return n
}

func (b *builder) input(name string, shape ...int) *G.Node {
	return G.NewTensor(b.g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name))
}

// random is the stream of the next layer that drops something.
func (b *builder) random() backend.Random {
	b.layer++
	return backend.Random{Seed: b.seed, Layer: b.layer}
}

// do adds a node unless there was an error.
func (b *builder) do(add func() (*G.Node, error)) *G.Node {
	if b.err != nil {
		return nil
	}
	return b.node(add())
}

func (b *builder) node(n *G.Node, err error) *G.Node {
	if b.err == nil {
		b.err = err
	}
	return n
}
