package model

import (
	G "gorgonia.org/gorgonia"

	"effnet/internal/backend"
	"effnet/internal/vm"
)

// Inference is a compiled forward pass over a batch, normalised by the running
// statistics. Logits do not depend on the batch an image is in.
//
// On a backend that can be split, and with images enough, its threads take a few
// images each, one lot after the other: they wait for each other once a pass, and
// what a thread works on stays in its cache. The classifier, most of whose time
// goes to read its weights, then runs once for the batch. Otherwise all threads
// share every launch.
type Inference struct {
	Images backend.View // [N,R,R,3], the input

	workers []*worker
	splits  backend.Splitter // nil if there is one worker, which does all
	lots    int
	each    func(worker, lot int)

	classifier *vm.Machine // nil if the workers' machines have it in them
	last       *graph      // of the classifier, or of all
	arena      int64
}

// worker computes what the classifier reads for a lot of images, or the logits.
type worker struct {
	backend backend.Backend
	graph   *graph
	machine *vm.Machine
	load    []backend.Program // of each lot: its images to the machine
	store   []backend.Program // of each lot: the results from the machine
	err     error
}

// lotRows is how many rows the products of the last, smallest maps should have.
const lotRows = 48

// lotSize is how many images a worker takes at once.
func lotSize(resolution int) int {
	side := (resolution + 31) / 32
	return max(1, lotRows/(side*side))
}

// Inference compiles the network's forward pass for batches of n images, with
// its present weights.
func (n *Network) Inference(batch int) (*Inference, error) {
	f := &Inference{}
	lot := min(lotSize(n.Arch.Resolution), batch)
	f.lots = (batch + lot - 1) / lot
	var err error
	if s, ok := n.backend.(backend.Splitter); ok && batch > lot && f.lots >= s.Threads() {
		f.splits = s
		err = n.split(f, batch, lot)
	} else {
		err = n.whole(f, batch)
	}
	if err != nil {
		return nil, err
	}
	f.Update()
	return f, nil
}

// whole makes one machine for the batch.
func (n *Network) whole(f *Inference, batch int) error {
	w, err := n.newWorker(n.backend, batch, true)
	if err != nil {
		return err
	}
	f.workers, f.last = []*worker{w}, w.graph
	f.Images, f.arena = w.machine.View(w.graph.images), w.machine.ArenaBytes()
	return nil
}

// split makes a machine for each worker and one for the classifier.
func (n *Network) split(f *Inference, batch, lot int) error {
	var err error
	if f.Images, err = backend.NewView(n.backend, batch*n.imageSize()); err != nil {
		return err
	}
	pooled, err := backend.NewView(n.backend, batch*n.Arch.Head)
	if err != nil {
		return err
	}
	if f.last, err = buildClassifier(n.Arch, batch); err != nil {
		return err
	}
	bind := n.bindParams(f.last)
	bind[f.last.pooled] = pooled
	if f.classifier, err = vm.New(f.last.g, G.Nodes{f.last.logits}, n.backend, bind); err != nil {
		return err
	}
	f.arena = f.classifier.ArenaBytes() + int64(pooled.Len)*4
	for _, b := range f.splits.Split(f.splits.Threads()) {
		w, err := n.newWorker(b, lot, false)
		if err != nil {
			return err
		}
		if err := w.connect(f.Images, pooled, f.lots); err != nil {
			return err
		}
		f.workers = append(f.workers, w)
		f.arena += w.machine.ArenaBytes() + int64(w.machine.View(w.graph.images).Len+w.machine.View(w.graph.pooled).Len)*4
	}
	f.each = func(i, lot int) { f.workers[i].run(lot) }
	return nil
}

func (n *Network) imageSize() int { return n.Arch.Resolution * n.Arch.Resolution * 3 }

// newWorker compiles a pass over so many images, with the classifier or without.
func (n *Network) newWorker(b backend.Backend, images int, classifier bool) (*worker, error) {
	g, err := build(n.Arch, images, false, 0)
	if err != nil {
		return nil, err
	}
	bind := n.bindParams(g)
	for i, node := range g.stats {
		bind[node] = n.Running.Slice(n.Norms[i].Offset, 2*n.Norms[i].C)
	}
	output := g.pooled
	if classifier {
		output = g.logits
	}
	m, err := vm.New(g.g, G.Nodes{output}, b, bind)
	return &worker{backend: b, graph: g, machine: m}, err
}

// connect compiles what brings each lot's images to the machine and its results
// from there. The last lot, if it is not full, has images of the one before it
// once more, whose results are not taken.
func (w *worker) connect(images, pooled backend.View, lots int) error {
	from, to := w.machine.View(w.graph.images), w.machine.View(w.graph.pooled)
	lot := w.graph.images.Shape()[0]
	image, result := from.Len/lot, to.Len/lot
	batch := images.Len / image
	for i := range lots {
		first := min(i*lot, batch-lot)
		skip := i*lot - first
		load, err := w.backend.Compile(backend.Copy{N: from.Len}, images.Slice(first*image, from.Len), from)
		if err != nil {
			return err
		}
		size := (lot - skip) * result
		store, err := w.backend.Compile(backend.Copy{N: size}, to.Slice(skip*result, size), pooled.Slice(i*lot*result, size))
		if err != nil {
			return err
		}
		w.load, w.store = append(w.load, load), append(w.store, store)
	}
	return nil
}

// run computes a lot.
func (w *worker) run(lot int) {
	w.load[lot].Run()
	if err := w.machine.RunPrepared(); err != nil {
		w.err = err
	}
	w.store[lot].Run()
}

// Update takes the network's present weights and statistics; Run sees no later
// change of them.
func (f *Inference) Update() {
	f.workers[0].machine.Prepare()
	if f.classifier != nil {
		f.classifier.Prepare()
	}
}

// Run computes the logits from Images.
func (f *Inference) Run() error {
	if f.splits == nil {
		return f.workers[0].machine.RunPrepared()
	}
	f.splits.Each(f.lots, f.each)
	for _, w := range f.workers {
		if w.err != nil {
			return w.err
		}
	}
	return f.classifier.RunPrepared()
}

// Logits copies the last Run's, [N,classes].
func (f *Inference) Logits(dst []float32) error {
	if f.classifier != nil {
		return f.classifier.Read(f.last.logits, dst)
	}
	return f.workers[0].machine.Read(f.last.logits, dst)
}

// ArenaBytes is the memory of the intermediate values, of all workers.
func (f *Inference) ArenaBytes() int64 { return f.arena }

// Worker is what runs a pass: the backend, how many of its kind work side by
// side, and how many images each takes at once.
func (f *Inference) Worker() (b backend.Backend, workers, images int) {
	w := f.workers[0]
	return w.backend, len(f.workers), w.graph.images.Shape()[0]
}

// Profile does so many passes of one worker, and of the classifier, and returns
// the fastest run of every launch.
func (f *Inference) Profile(runs int) ([]Timing, error) {
	w := f.workers[0]
	timings, err := profile(w.machine, w.graph, runs)
	if err != nil || f.classifier == nil {
		return timings, err
	}
	more, err := profile(f.classifier, f.last, runs)
	return append(timings, more...), err
}

// Specs are the operations that Profile times.
func (f *Inference) Specs() []backend.Spec {
	specs := f.workers[0].machine.Specs()
	if f.classifier != nil {
		specs = append(specs, f.classifier.Specs()...)
	}
	return specs
}
