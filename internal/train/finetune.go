package train

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"effnet/internal/data"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/optim"
	"effnet/internal/predict"
	"effnet/internal/scale"
	"effnet/internal/words"
)

// FineTune is how pretrained weights are trained. The zero value is as any others.
type FineTune struct {
	Frozen        model.Frozen
	UnfreezeEpoch int     // the first, from 0, that trains all but Frozen.Norms; 0 for never
	LayerDecay    float64 // the learning rate of a layer as a share of the next one's; 0 is 1
	HeadLR        float64 // the classifier's learning rate as a multiple; 0 is 1
	// CacheFeatures computes once what the classifier reads of each image, prepared
	// as in evaluation, and trains on that. Frozen.Body must be set.
	CacheFeatures bool
}

// frozen is what stays as it is in an epoch.
func (f FineTune) frozen(epoch int) model.Frozen {
	if f.UnfreezeEpoch > 0 && epoch >= f.UnfreezeEpoch {
		return model.Frozen{Norms: f.Frozen.Norms}
	}
	return f.Frozen
}

const classifier = scale.Classifier + "."

// initialise gives a network random weights, or those of Start and, where that has
// no classifier, one of zeros: random logits would send gradients into the body
// that have nothing to do with the images (Kolesnikov et al. 2020, "Big Transfer",
// begins so too).
func (r *run) initialise(net *model.Network) error {
	if r.rehearsal == counting {
		return nil
	}
	if err := net.Initialise(r.Seed); err != nil || r.Start == nil {
		return err
	}
	tensors, err := net.Tensors()
	if err != nil {
		return err
	}
	start := slices.Clone(r.Start)
	if !r.hasHead() {
		for _, t := range tensors {
			if strings.HasPrefix(t.Name, classifier) {
				clear(t.Data)
				start = append(start, t)
			}
		}
	}
	return net.Load(start)
}

// hasHead says whether Start has a classifier.
func (o Options) hasHead() bool {
	return slices.ContainsFunc(o.Start, func(t named.Tensor) bool { return strings.HasPrefix(t.Name, classifier) })
}

// beginning says what training of pretrained weights begins with.
func (r *run) beginning() string {
	text := "pretrained weights with a new classifier"
	if r.hasHead() {
		text = "pretrained weights with their classifier"
	}
	f := r.FineTune
	switch {
	case f.CacheFeatures:
		text += "; only the classifier is trained, on features"
	case f.Frozen.Body:
		text += "; only the classifier is trained"
	case f.Frozen.Stages > 0:
		text += fmt.Sprintf("; the stem and blocks.0 to blocks.%d are frozen", f.Frozen.Stages-1)
	}
	if f.Frozen.Norms {
		text += "; normalisations are frozen"
	}
	if f.UnfreezeEpoch > 0 {
		text += fmt.Sprintf(", for %s", words.Count(f.UnfreezeEpoch, "epoch"))
	}
	return text
}

// HeadFor returns a network's tensors for other classes: with its classifier if the names
// are the same, its rows moved to their places if the order is another, else without.
func HeadFor(tensors []named.Tensor, from, to []string) (head []named.Tensor, moved bool) {
	if slices.Equal(from, to) {
		return tensors, false
	}
	row := make(map[string]int, len(from))
	for i, name := range from {
		row[data.SameName(name)] = i
	}
	rows, taken := make([]int, 0, len(to)), make([]bool, len(from))
	for _, name := range to {
		if i, ok := row[data.SameName(name)]; ok && !taken[i] {
			rows, taken[i] = append(rows, i), true
		}
	}
	if len(rows) != len(to) || len(to) != len(from) {
		return slices.DeleteFunc(slices.Clone(tensors), func(t named.Tensor) bool { return strings.HasPrefix(t.Name, classifier) }), false
	}
	head = slices.Clone(tensors)
	for i, t := range head {
		if !strings.HasPrefix(t.Name, classifier) {
			continue
		}
		n := len(t.Data) / len(from)
		head[i].Data = make([]float32, 0, len(t.Data))
		for _, row := range rows {
			head[i].Data = append(head[i].Data, t.Data[row*n:][:n]...)
		}
	}
	return head, !slices.IsSorted(rows)
}

// change enters a phase and says so.
func (r *run) change(p phase) error {
	if p.frozen != r.phase.frozen {
		if r.epoch == r.FineTune.UnfreezeEpoch && r.batch == 0 {
			r.unfrozen = r.optimizer.Updates()
		}
		if err := r.optimizer.Regroup(r.groups(p.frozen)); err != nil {
			return err
		}
		r.log.Printf("from epoch %d on, all layers are trained", r.FineTune.UnfreezeEpoch+1)
	}
	if p.stage != r.phase.stage {
		s := r.Stages[p.stage]
		r.log.Printf("stage %d of %d: %d px, dropout %.2g", p.stage+1, len(r.Stages), s.Resolution, s.Dropout)
	}
	return r.enter(p)
}

// groups are the weights that are trained, with their share of the learning rate:
// LayerDecay to the power of the layers that follow, where the stem, each block
// and the classifier are layers, and the last convolution belongs to the last block, or
// where it comes after the pooling to the classifier
// (timm.optim.param_groups_layer_decay).
func (r *run) groups(frozen model.Frozen) []optim.Group {
	last := len(r.Arch.Blocks()) + 1 // the classifier's
	params := slices.Clone(r.net.Params)
	slices.SortFunc(params, func(a, b model.Param) int { return a.Offset - b.Offset })
	var groups []optim.Group
	previous := -1 // index of the parameter that is last in the last group
	for i, p := range params {
		if frozen.Param(p) {
			continue
		}
		g := optim.Group{From: p.Offset, N: p.Len(), Decay: p.Decayed(), Scale: 1}
		at := depth(p.Layer, last)
		if d := r.FineTune.LayerDecay; d > 0 {
			g.Scale = math.Pow(d, float64(last-at))
		}
		if h := r.FineTune.HeadLR; h > 0 && p.Layer.Role == scale.ClassifierRole {
			g.Scale *= h
		}
		if r.FineTune.Frozen.Param(p) {
			g.Since = r.unfrozen
		}
		if n := len(groups) - 1; n >= 0 && previous == i-1 && groups[n].Same(g) {
			groups[n].N = g.From + g.N - groups[n].From
		} else {
			groups = append(groups, g)
		}
		previous = i
	}
	return groups
}

// depth is a layer's number for LayerDecay, where the classifier's is last.
func depth(l scale.Layer, last int) int {
	switch {
	case l.InBlock():
		return 1 + l.Block.Global
	case l.Role == scale.StemRole:
		return 0
	case l.Role == scale.HeadRole && l.Op != scale.Pointwise:
		return last - 1
	}
	return last
}

// cacheFeatures computes the features of all images.
func (r *run) cacheFeatures(ctx context.Context, trainSet, evalSet *data.Set) (err error) {
	if r.features, r.TrainLoader.Skipped, err = r.featuresOf(ctx, trainSet); err != nil || evalSet == nil {
		return err
	}
	r.evalFeatures, r.EvalLoader.Skipped, err = r.featuresOf(ctx, evalSet)
	return err
}

// featuresOf computes what the classifier reads of each image of a set, and which
// images could not be used.
func (r *run) featuresOf(ctx context.Context, set *data.Set) (*data.Memory, []data.Skipped, error) {
	if r.rehearsal != performed {
		return &data.Memory{Floats: r.Arch.Features()}, nil, nil
	}
	part, first := partOf(r.Ranks, set)
	m, skipped := &data.Memory{Floats: r.Arch.Features()}, []data.Skipped(nil)
	var err error
	if part.Len() > 0 {
		var sweep *predict.Sweep
		if sweep, err = r.featureSweep(part); err == nil {
			m, err = sweep.Features(ctx)
			skipped = sweep.Skipped()
		}
	}
	if r.Ranks.Size() > 1 {
		m, skipped, err = r.exchangeFeatures(ctx, m, describe(skipped, first), err)
	}
	if err == nil {
		r.log.Printf("computed the features of %s", words.Count(set.Len(), "image"))
	}
	return m, skipped, err
}

// featureSweep is the way over a set's images to their features.
func (r *run) featureSweep(set *data.Set) (*predict.Sweep, error) {
	return predict.NewSweep(r.net, r.backend, set, r.EvalLoader)
}

// newEvaluator evaluates a network on images, or on their features.
func (r *run) newEvaluator(net *model.Network, set *data.Set) (*Evaluator, error) {
	opt := r.EvalLoader
	opt.Memory = r.evalFeatures
	if r.Ranks.Size() > 1 {
		return newSharedEvaluator(r.Ranks, net, r.backend, set, opt)
	}
	return NewEvaluator(net, r.backend, set, opt)
}
