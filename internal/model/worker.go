package model

import "effnet/internal/backend"

// worker computes lots. Without a back, front is the whole network.
type worker struct {
	backend     backend.Backend
	front, back *part
	load        []backend.Program // of each group: its images to the front
	move        []backend.Program // of each group of a lot: from the front to the back
	store       []backend.Program // of each group: from the back to where the classifier reads
	err         error
}

// newWorker compiles the front for a group of images and the back for a lot of
// groups.
func (n *Network) newWorker(b backend.Backend, group, lot int) (*worker, error) {
	w := &worker{backend: b}
	front, err := buildFront(n.Arch, group)
	if err != nil {
		return nil, err
	}
	if w.front, err = n.newPart(b, front, nil, front.small); err != nil {
		return nil, err
	}
	back, err := buildBack(n.Arch, group*lot, front)
	if err != nil {
		return nil, err
	}
	if w.back, err = n.newPart(b, back, nil, back.pooled); err != nil {
		return nil, err
	}
	from, to := w.front.view(front.small), w.back.view(back.small)
	for i := range lot {
		move, err := b.Compile(backend.Copy{N: from.Len}, from, to.Slice(i*from.Len, from.Len))
		if err != nil {
			return nil, err
		}
		w.move = append(w.move, move)
	}
	return w, nil
}

// bytes is the memory of a worker's intermediate values.
func (w *worker) bytes() int64 {
	kept := 0
	for _, v := range []backend.View{
		w.front.view(w.front.graph.images), w.front.view(w.front.graph.small),
		w.back.view(w.back.graph.small), w.back.view(w.back.graph.pooled),
	} {
		kept += v.Len
	}
	return w.front.machine.ArenaBytes() + w.back.machine.ArenaBytes() + int64(kept)*4
}

// connect compiles what brings each group's images to the front and its results
// from the back. The last group, if it is not full, has images of the one before
// it once more, whose results are not taken.
func (w *worker) connect(images, pooled backend.View, groups int) error {
	from, to := w.front.view(w.front.graph.images), w.back.view(w.back.graph.pooled)
	group := w.front.graph.images.Shape()[0]
	image, result := from.Len/group, w.back.graph.pooled.Shape()[1]
	batch := images.Len / image
	for i := range groups {
		first := min(i*group, batch-group)
		skip := i*group - first
		load, err := w.backend.Compile(backend.Copy{N: from.Len}, images.Slice(first*image, from.Len), from)
		if err != nil {
			return err
		}
		at, size := i%len(w.move)*group+skip, (group-skip)*result
		store, err := w.backend.Compile(backend.Copy{N: size}, to.Slice(at*result, size), pooled.Slice(i*group*result, size))
		if err != nil {
			return err
		}
		w.load, w.store = append(w.load, load), append(w.store, store)
	}
	return nil
}

// run computes a lot. The last one may have fewer groups: what the back computes
// of the others is not taken.
func (w *worker) run(lot int) {
	first := lot * len(w.move)
	groups := min(len(w.move), len(w.load)-first)
	for i := range groups {
		w.load[first+i].Run()
		w.check(w.front.machine.RunPrepared())
		w.move[i].Run()
	}
	w.check(w.back.machine.RunPrepared())
	for i := range groups {
		w.store[first+i].Run()
	}
}

func (w *worker) check(err error) {
	if err != nil {
		w.err = err
	}
}
