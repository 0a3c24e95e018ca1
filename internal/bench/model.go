package bench

import (
	"cmp"
	"slices"

	"effnet/internal/backend"
	"effnet/internal/config"
	"effnet/internal/device"
	"effnet/internal/model"
	"effnet/internal/scale"
)

// Modelled is what a device is thought to do in a step; its JSON keys are an interface.
type Modelled struct {
	Variant      string       `json:"variant"`
	Mode         string       `json:"mode"`
	Precision    string       `json:"precision"`
	Batch        int          `json:"batch"`
	Size         int          `json:"size"` // pixels
	Card         *device.Card `json:"card"`
	DeviceMemory float64      `json:"device_memory_mb"` // MiB that are allocated there
	Step         Work         `json:"step"`
	ByOp         []Work       `json:"by_op"` // the longest first, as the others
	ByLayer      []Work       `json:"by_layer"`
	ByKernel     []Work       `json:"by_kernel"`
}

// Model counts what a step launches on a device that has a Card, which need not be there,
// and how long the card would take.
func Model(d *device.Device, cfg config.Config, arch scale.Arch, opts Options) (*Modelled, error) {
	b, err := d.Counter(opts.Precision, opts.Threads)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	s, err := newBenchmark(b, cfg, arch, opts)
	if err != nil {
		return nil, err
	}
	r := &Modelled{Variant: arch.Name, Mode: opts.Mode, Precision: opts.Precision, Batch: opts.Batch, Size: arch.Resolution,
		Card: d.Card(), DeviceMemory: mib(b.Bytes())}
	ops, layers, kernels := map[string]*Work{}, map[string]*Work{}, map[string]*Work{}
	add := func(op, layer string, u Work, launched []backend.Launched) {
		u.model(r.Card, opts.Precision, launched...)
		r.Step.Add(u)
		count(ops, op, u)
		count(layers, layer, u)
		for _, l := range launched {
			k := Work{Count: 1, FLOPs: l.FLOPs}
			k.model(r.Card, opts.Precision, l)
			count(kernels, l.Name, k)
		}
	}
	for _, t := range s.listed() {
		add(t.Op, t.Layer, cost(t.Spec, t.Types), t.Launched)
	}
	if s.training != nil {
		var u Work
		for _, spec := range s.update.Specs() {
			u.Add(cost(spec, nil))
		}
		add(kind(s.update.Specs()[0]), "optimizer", u, s.update.Launched())
	}
	r.Step.Name = "step"
	r.ByOp, r.ByLayer, r.ByKernel = longestFirst(ops), longestFirst(layers), longestFirst(kernels)
	return r, nil
}

// listed are the launches of a step but for the optimizer's.
func (s *benchmark) listed() []model.Timing {
	if s.training != nil {
		return s.training.Listed()
	}
	return s.inference.Listed()
}

// longestFirst orders by the modelled time.
func longestFirst(sums map[string]*Work) []Work {
	all := slowestFirst(sums)
	slices.SortStableFunc(all, func(a, b Work) int { return cmp.Compare(b.Model, a.Model) })
	return all
}
