package vm

import (
	"fmt"
	"math"
	"reflect"
	"slices"

	G "gorgonia.org/gorgonia"

	"effnet/internal/backend"
	"effnet/internal/ops"
)

// Timing is the time of one launch.
type Timing struct {
	Op      string // the op's name, or the Spec's where that is not the op's own
	Spec    backend.Spec
	Types   []backend.DType // of its operands
	Node    *G.Node         // what the launch computes
	Inputs  []*G.Node       // what it reads
	Seconds float64         // of the fastest run

	Launched []backend.Launched // on a device of its own
}

// Listed are the launches of RunAll in order, which are not run: their times are 0.
func (m *Machine) Listed() []Timing {
	all := make([]Timing, len(m.steps))
	for i, s := range m.steps {
		all[i] = Timing{Op: opName(s), Spec: s.spec, Types: s.types(), Node: s.out[0].node, Inputs: nodesOf(s.in), Launched: m.programs[i].Launched}
	}
	return all
}

// Profile runs all launches runs times, in order as RunAll does, and returns
// the fastest run of each. The outputs are RunAll's.
func (m *Machine) Profile(runs int) ([]Timing, error) {
	if runs < 1 {
		return nil, fmt.Errorf("vm: %d runs to profile, want 1 or more", runs)
	}
	timings := m.Listed()
	for i := range timings {
		timings[i].Seconds = math.Inf(1)
	}
	launches := make([]backend.Launch, len(m.programs))
	for i, p := range m.programs {
		launches[i] = p.Run
	}
	for run := range runs {
		if err := m.upload(); err != nil {
			return nil, err
		}
		if run == 0 {
			m.Prepare()
		}
		seconds, err := backend.Time(m.backend, launches...)
		if err != nil {
			return nil, err
		}
		for i, s := range seconds {
			timings[i].Seconds = min(timings[i].Seconds, s)
		}
	}
	return timings, nil
}

// types are those of the operands.
func (s *step) types() (types []backend.DType) {
	for _, v := range slices.Concat(s.in, s.out) {
		types = append(types, v.view.DType)
	}
	return types
}

// FirstNotFinite runs the launches one by one and returns the first that leaves a
// value which is not finite in an output, nil if none does.
func (m *Machine) FirstNotFinite() (*Timing, error) {
	if err := m.upload(); err != nil {
		return nil, err
	}
	for i, s := range m.steps {
		m.programs[i].All()
		for _, out := range s.out {
			values := make([]float32, out.view.Len)
			if err := m.backend.Sync(); err != nil {
				return nil, err
			}
			if err := m.backend.Download(values, out.view); err != nil {
				return nil, err
			}
			for _, v := range values {
				if v-v != 0 { // of NaN and infinities
					return &Timing{Op: opName(s), Spec: s.spec, Node: out.node, Inputs: nodesOf(s.in)}, nil
				}
			}
		}
	}
	return nil, nil
}

// Specs are the operations of RunAll, in order.
func (m *Machine) Specs() []backend.Spec {
	specs := make([]backend.Spec, len(m.steps))
	for i, s := range m.steps {
		specs[i] = s.spec
	}
	return specs
}

// opName says what a step does: two ops may share a Spec's type, and a step may
// have a Spec that is no op's.
func opName(s *step) string {
	spec := reflect.TypeOf(s.spec)
	if op, ok := s.out[0].node.Op().(*ops.Op); ok && reflect.TypeOf(op.Spec()) == spec {
		return op.String()
	}
	return spec.Name()
}

// nodesOf are the nodes of values; a part of a value has none.
func nodesOf(values []*value) []*G.Node {
	var nodes []*G.Node
	for _, v := range values {
		if v.node != nil {
			nodes = append(nodes, v.node)
		}
	}
	return nodes
}
