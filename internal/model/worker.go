package model

import "effnet/internal/backend"

// worker computes lots. Without backs, front is the whole network.
type worker struct {
	backend backend.Backend
	front   *part
	backs   []back            // of lots of one group, of two, and so on
	load    []backend.Program // of each group: its images to the front
	err     error
}

// back computes what follows the front, for a lot of groups.
type back struct {
	*part
	move  []backend.Program   // of each group of the lot: from the front
	store [][]backend.Program // of each group of the batch, at each place of the lot: to where the classifier reads
}

// newWorker compiles the front for a group of images and the backs for lots of up to so
// many groups.
func (n *Network) newWorker(b backend.Backend, group, lot int) (*worker, error) {
	w := &worker{backend: b, backs: make([]back, lot)}
	front, err := buildFront(n.Arch, group)
	if err != nil {
		return nil, err
	}
	if w.front, err = n.newPart(b, front, nil, front.small); err != nil {
		return nil, err
	}
	from := w.front.view(front.small)
	for i := range w.backs {
		k := &w.backs[i]
		g, err := buildBack(n.Arch, group*(i+1), front)
		if err != nil {
			return nil, err
		}
		if k.part, err = n.newPart(b, g, nil, g.pooled); err != nil {
			return nil, err
		}
		to := k.view(g.small)
		for place := range i + 1 {
			move, err := b.Compile(backend.Copy{N: from.Len}, from, to.Slice(place*from.Len, from.Len))
			if err != nil {
				return nil, err
			}
			k.move = append(k.move, move)
		}
	}
	return w, nil
}

// bytes is the memory of a worker's intermediate values.
func (w *worker) bytes() int64 {
	kept := w.front.view(w.front.graph.images).Len + w.front.view(w.front.graph.small).Len
	bytes := w.front.machine.ArenaBytes()
	for _, k := range w.backs {
		kept += k.view(k.graph.small).Len + k.view(k.graph.pooled).Len
		bytes += k.machine.ArenaBytes()
	}
	return bytes + int64(kept)*4
}

// connect compiles what brings each group's images to the front and its results
// from a back. The last group, if it is not full, has images of the one before
// it once more, whose results are not taken.
func (w *worker) connect(images, pooled backend.View, groups int) error {
	from := w.front.view(w.front.graph.images)
	group := w.front.graph.images.Shape()[0]
	image := from.Len / group
	batch := images.Len / image
	result := pooled.Len / batch
	for i := range groups {
		first := min(i*group, batch-group)
		skip := i*group - first
		load, err := w.backend.Compile(backend.Copy{N: from.Len}, images.Slice(first*image, from.Len), from)
		if err != nil {
			return err
		}
		w.load = append(w.load, load)
		size := (group - skip) * result
		for b := range w.backs {
			k := &w.backs[b]
			to := k.view(k.graph.pooled)
			places := make([]backend.Program, len(k.move))
			for place := range places {
				if places[place], err = w.backend.Compile(backend.Copy{N: size}, to.Slice((place*group+skip)*result, size), pooled.Slice(i*group*result, size)); err != nil {
					return err
				}
			}
			k.store = append(k.store, places)
		}
	}
	return nil
}

// run computes a lot: some groups from the first on.
func (w *worker) run(first, groups int) {
	k := &w.backs[groups-1]
	for i := range groups {
		w.load[first+i].Run()
		w.check(w.front.machine.RunPrepared())
		k.move[i].Run()
	}
	w.check(k.machine.RunPrepared())
	for i := range groups {
		k.store[first+i][i].Run()
	}
}

func (w *worker) check(err error) {
	if err != nil {
		w.err = err
	}
}
