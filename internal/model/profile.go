package model

import (
	"fmt"
	"math"
	"time"

	G "gorgonia.org/gorgonia"

	"effnet/internal/backend"
	"effnet/internal/scale"
	"effnet/internal/vm"
)

// Timing is the time of one launch of a pass.
type Timing struct {
	Op      string // what it does, such as Conv1x1GradWeight
	Layer   string // of the parameters it reads, such as blocks.2.0.conv_pw; else the op and the output's shape
	Spec    backend.Spec
	Types   []backend.DType // of its operands
	Seconds float64         // of the fastest run

	Launched []backend.Launched // on a device of its own
}

// Profile does runs training steps but for the optimizer's update, and
// returns the fastest run of every launch.
func (t *Training) Profile(runs int) ([]Timing, error) {
	timings, err := profile(t.machine, t.graph, runs)
	if err != nil {
		return nil, err
	}
	update := t.updateTiming()
	update.Seconds = math.Inf(1)
	for range runs {
		start := time.Now()
		t.update.All()
		if err := t.net.backend.Sync(); err != nil {
			return nil, err
		}
		update.Seconds = min(update.Seconds, time.Since(start).Seconds())
	}
	return append(timings, update), nil
}

func (t *Training) updateTiming() Timing {
	return Timing{Op: "RunningStats", Layer: "running statistics", Spec: t.updateSpec, Launched: t.update.Launched}
}

// Listed is what Profile times, which is not run: the times are 0.
func (t *Training) Listed() []Timing {
	return append(withLayers(t.machine.Listed(), t.graph), t.updateTiming())
}

// FirstNotFinite does the launches of a training step one by one and names the
// layer of the first whose output has a NaN or an infinity, or returns "".
func (t *Training) FirstNotFinite(step uint64) (string, error) {
	if err := t.setStep(step); err != nil {
		return "", err
	}
	l, err := t.machine.FirstNotFinite()
	if err != nil || l == nil {
		return "", err
	}
	return l.Op + " of " + layerOf(*l, t.graph.layers()), nil
}

// Specs are the operations of a training step but for the optimizer's.
func (t *Training) Specs() []backend.Spec { return append(t.machine.Specs(), t.updateSpec) }

// profile times the launches of a machine and names their layers.
func profile(m *vm.Machine, g *graph, runs int) ([]Timing, error) {
	launches, err := m.Profile(runs)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return withLayers(launches, g), nil
}

// withLayers gives a machine's launches their layers.
func withLayers(launches []vm.Timing, g *graph) []Timing {
	layers := g.layers()
	timings := make([]Timing, len(launches))
	for i, l := range launches {
		timings[i] = Timing{l.Op, layerOf(l, layers), l.Spec, l.Types, l.Seconds, l.Launched}
	}
	return timings
}

// layer is what a node belongs to.
type layer struct {
	name string
	norm bool // a normalisation
}

// layers names the nodes that belong to one layer: parameters, their gradients
// and normalisations' statistics.
func (g *graph) layers() map[*G.Node]layer {
	layers := map[*G.Node]layer{}
	for i, n := range g.nodes {
		p := g.params[i]
		layers[n] = layer{p.Layer.Name, p.Layer.Op == scale.Normalise}
		if g.grads != nil && g.grads[i] != nil {
			layers[g.grads[i]] = layers[n]
		}
	}
	for i, n := range g.stats {
		layers[n] = layer{g.norms[i].Name, true}
	}
	return layers
}

// layerOf is the layer of the first input that has one, or of the output, but a
// normalisation only if there is no other: a fused launch is its convolution's.
// Without any it is the op and the output's shape.
func layerOf(l vm.Timing, layers map[*G.Node]layer) string {
	norm := ""
	for _, n := range append(l.Inputs, l.Node) {
		switch of, ok := layers[n]; {
		case ok && !of.norm:
			return of.name
		case ok && norm == "":
			norm = of.name
		}
	}
	if norm != "" {
		return norm
	}
	return fmt.Sprint(l.Op, " ", l.Node.Shape())
}
