package model

import (
	"maps"

	G "gorgonia.org/gorgonia"

	"effnet/internal/backend"
	"effnet/internal/vm"
)

// Inference is a compiled forward pass over a batch, normalised by the running
// statistics. Logits do not depend on the batch an image is in.
//
// On a backend that can be split, and with images enough, its threads take a lot
// of images each, one lot after the other: they wait for each other once a pass,
// and what a thread works on stays in its cache. Where maps are large the images
// of a lot go one by one; where they are small, and most of the time goes to read
// weights, all together; and the classifier runs once for the batch. Without
// images enough all threads share every launch.
type Inference struct {
	Images backend.View // [N,R,R,3], the input

	workers    []*worker
	splits     backend.Splitter // nil if there is one worker, which does all
	batch      int              // images
	group, lot int              // images of a group, groups of a lot at most
	groups     int              // of the pass under way
	lots       int              // of the pass under way
	each       func(worker, lot int)
	classifier *part
	pooled     backend.View // [N,Features], what the classifier reads
	arena      int64
}

// part is a machine for a part of the network.
type part struct {
	graph   *graph
	machine *vm.Machine
}

func (p *part) view(n *G.Node) backend.View { return p.machine.View(n) }

// groupRows is how many rows the products of the smallest maps should have in the
// front, where a group of images is done at once; maxGroups is how many groups a
// lot has at most.
const (
	groupRows = 48
	maxGroups = 4
)

// groupSize is how many images a group has.
func groupSize(resolution int) int {
	side := (resolution + 31) / 32
	return max(1, groupRows/(side*side))
}

// Inference compiles the network's forward pass for batches of n images, with
// its present weights.
func (n *Network) Inference(batch int) (*Inference, error) {
	f := &Inference{batch: batch}
	group, groups := n.groups(batch)
	var err error
	if n.Split(batch) > 0 {
		f.splits = n.backend.(backend.Splitter)
		err = n.split(f, batch, group, groups)
	} else {
		err = n.whole(f, batch)
	}
	if err != nil {
		return nil, err
	}
	f.Update()
	return f, nil
}

// groups is how many images a group of a batch has, and how many groups there are.
func (n *Network) groups(batch int) (group, groups int) {
	group = min(groupSize(n.Arch.Resolution), batch)
	return group, (batch + group - 1) / group
}

// Split is how many threads take lots of a batch's images each, so that RunFirst takes less
// time for fewer images; 0 where all share every launch.
func (n *Network) Split(batch int) (threads int) {
	_, groups := n.groups(batch)
	if s, ok := n.backend.(backend.Splitter); ok && groups > 1 && groups >= s.Threads() {
		return s.Threads()
	}
	return 0
}

// whole makes one machine for the batch.
func (n *Network) whole(f *Inference, batch int) error {
	g, err := build(n.Arch, batch, false, 0)
	if err != nil {
		return err
	}
	images, err := n.input(batch, n.Arch.Resolution)
	if err != nil {
		return err
	}
	p, err := n.newPart(n.backend, g, map[*G.Node]backend.View{g.images: images}, g.logits, g.pooled)
	if err != nil {
		return err
	}
	f.workers, f.classifier = []*worker{{backend: n.backend, front: p}}, p
	f.Images, f.pooled, f.arena = images, p.machine.View(g.pooled), p.machine.ArenaBytes()
	return nil
}

// HeadInference compiles the classifier alone, for batches of n images' features:
// they are Inference.Images, [N,Features].
func (n *Network) HeadInference(batch int) (*Inference, error) {
	g, err := buildClassifier(n.Arch, batch)
	if err != nil {
		return nil, err
	}
	p, err := n.newPart(n.backend, g, nil, g.logits)
	if err != nil {
		return nil, err
	}
	features := p.machine.View(g.pooled)
	f := &Inference{workers: []*worker{{backend: n.backend, front: p}}, batch: batch, classifier: p, Images: features, pooled: features, arena: p.machine.ArenaBytes()}
	f.Update()
	return f, nil
}

// split makes machines for each worker and one for the classifier.
func (n *Network) split(f *Inference, batch, group, groups int) error {
	var err error
	if f.Images, err = backend.NewView(n.backend, batch*n.Arch.Resolution*n.Arch.Resolution*3); err != nil {
		return err
	}
	pooled, err := backend.NewView(n.backend, batch*n.Arch.Features())
	if err != nil {
		return err
	}
	f.pooled = pooled
	g, err := buildClassifier(n.Arch, batch)
	if err != nil {
		return err
	}
	if f.classifier, err = n.newPart(n.backend, g, map[*G.Node]backend.View{g.pooled: pooled}, g.logits); err != nil {
		return err
	}
	f.arena = f.classifier.machine.ArenaBytes() + int64(pooled.Len)*4
	threads := f.splits.Threads()
	lot := min(max(groups/(2*threads), 1), maxGroups) // two lots for each worker, or more
	for _, b := range f.splits.Split(threads) {
		w, err := n.newWorker(b, group, lot)
		if err == nil {
			err = w.connect(f.Images, pooled, groups)
		}
		if err != nil {
			return err
		}
		f.workers = append(f.workers, w)
		f.arena += w.bytes()
	}
	f.group, f.lot = group, lot
	f.each = func(i, lot int) {
		first := lot * f.groups / f.lots
		f.workers[i].run(first, (lot+1)*f.groups/f.lots-first)
	}
	return nil
}

// newPart compiles a graph of some of the network's layers, with other nodes in
// the memory that bind gives.
func (n *Network) newPart(b backend.Backend, g *graph, bind map[*G.Node]backend.View, outputs ...*G.Node) (*part, error) {
	all := n.bindParams(g)
	for i, node := range g.stats {
		for _, norm := range n.Norms {
			if norm.Name == g.norms[i].Name {
				all[node] = n.Running.Slice(norm.Offset, 2*norm.C)
			}
		}
	}
	maps.Copy(all, bind)
	m, err := vm.New(g.g, outputs, b, all)
	return &part{g, m}, err
}

// parts are the machines that Profile times, one of each kind, in order.
func (f *Inference) parts() []*part {
	if f.splits == nil {
		return []*part{f.classifier}
	}
	w := f.workers[0]
	return []*part{w.front, w.backs[len(w.backs)-1].part, f.classifier}
}

// Update takes the network's present weights and statistics. It must be called after
// they change and before the next Run.
func (f *Inference) Update() {
	w := f.workers[0]
	w.front.machine.Prepare()
	for _, k := range w.backs {
		k.machine.Prepare()
	}
	if f.classifier != w.front {
		f.classifier.machine.Prepare()
	}
}

// Run computes the logits from Images.
func (f *Inference) Run() error { return f.RunFirst(f.batch) }

// RunFirst computes the logits of the first n images.
func (f *Inference) RunFirst(n int) error {
	if f.splits != nil {
		f.groups = (n + f.group - 1) / f.group
		f.lots = max((f.groups+f.lot-1)/f.lot, min(f.groups, 2*len(f.workers))) // lots of much the same size, two for each worker
		f.splits.Each(f.lots, f.each)
		for _, w := range f.workers {
			if w.err != nil {
				return w.err
			}
		}
	}
	return f.classifier.machine.RunPrepared()
}

// Logits copies the last Run's, [N,classes].
func (f *Inference) Logits(dst []float32) error {
	return f.classifier.machine.Read(f.classifier.graph.logits, dst)
}

// Features copies what the classifier read in the last Run, [N,Features].
func (f *Inference) Features(dst []float32) error {
	return f.workers[0].backend.Download(dst, f.pooled)
}

// ArenaBytes is the memory of the intermediate values, of all workers.
func (f *Inference) ArenaBytes() int64 { return f.arena }

// Work says who runs a pass: how many workers side by side, on backends like b,
// and how many images each does at once where maps are large, and where they are
// small.
func (f *Inference) Work() (b backend.Backend, workers, large, small int) {
	w := f.workers[0]
	large = w.front.graph.images.Shape()[0]
	return w.backend, len(f.workers), large, large * max(1, len(w.backs))
}

// Profile does runs passes of each part of one worker, and of the classifier,
// and returns the fastest run of every launch.
func (f *Inference) Profile(runs int) ([]Timing, error) {
	var all []Timing
	for _, p := range f.parts() {
		timings, err := profile(p.machine, p.graph, runs)
		if err != nil {
			return nil, err
		}
		all = append(all, timings...)
	}
	return all, nil
}

// Listed is what Profile times, which is not run: the times are 0.
func (f *Inference) Listed() (all []Timing) {
	for _, p := range f.parts() {
		all = append(all, withLayers(p.machine.Listed(), p.graph)...)
	}
	return all
}

// Specs are the operations that Profile times.
func (f *Inference) Specs() []backend.Spec {
	var all []backend.Spec
	for _, p := range f.parts() {
		all = append(all, p.machine.Specs()...)
	}
	return all
}
