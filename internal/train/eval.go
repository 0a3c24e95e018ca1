package train

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"effnet/internal/backend"
	"effnet/internal/data"
	"effnet/internal/metrics"
	"effnet/internal/model"
	"effnet/internal/predict"
	"effnet/internal/ranks"
	"effnet/internal/words"
)

// Metrics is how a network does on a set of images.
type Metrics struct {
	Top1   float64 `json:"top1"` // share of images whose class has the highest logit
	Top5   float64 `json:"top5"` // share whose class is among the five highest
	Loss   float64 `json:"loss"` // mean cross-entropy
	Images int     `json:"images"`

	Skipped int `json:"left_out,omitempty"` // unusable images, not among Images

	Details *metrics.Evaluation `json:"-"`
}

func (m Metrics) String() string {
	skipped := ""
	if m.Skipped > 0 {
		skipped = fmt.Sprintf(", %d skipped", m.Skipped)
	}
	return fmt.Sprintf("top-1 %.2f%%  top-5 %.2f%%  loss %.4f  (%s%s)", 100*m.Top1, 100*m.Top5, m.Loss, words.Count(m.Images, "image"), skipped)
}

// Evaluator evaluates a network's present weights on a set.
type Evaluator struct {
	classes int
	sweep   *predict.Sweep // nil where a rank has no image of the set
	ranks   *ranks.Group   // that share the set; nil for one
	first   int            // index in the set of the first image of the sweep
	skipped []data.Skipped // in the last Run, by all ranks

	// Each, if set, is called with every image that is evaluated.
	Each func(predict.Row) error
}

// NewEvaluator compiles the network's forward pass over a set, whose images are read
// as opt says.
func NewEvaluator(net *model.Network, b backend.Backend, set *data.Set, opt data.Options) (*Evaluator, error) {
	sweep, err := predict.NewSweep(net, b, set, opt)
	return &Evaluator{classes: net.Arch.Classes, sweep: sweep}, err
}

// EvaluatorOf evaluates by a network's sweep over a set.
func EvaluatorOf(n *predict.Network, sweep *predict.Sweep) *Evaluator {
	return &Evaluator{classes: n.Meta.Arch.Classes, sweep: sweep}
}

// newSharedEvaluator is NewEvaluator where ranks share the set: each evaluates a part, and
// Run returns the same on all.
func newSharedEvaluator(g *ranks.Group, net *model.Network, b backend.Backend, set *data.Set, opt data.Options) (*Evaluator, error) {
	part, from := partOf(g, set)
	e := &Evaluator{classes: net.Arch.Classes, ranks: g, first: from}
	to := from + part.Len()
	if from == to {
		return e, nil
	}
	if m := opt.Memory; m != nil {
		opt.Memory = &data.Memory{Floats: m.Floats, Rows: m.Rows[from*m.Floats : to*m.Floats]}
	}
	skipped := opt.Skipped
	opt.Skipped = nil
	for _, s := range skipped {
		if from <= s.Index && s.Index < to {
			s.Index -= from
			opt.Skipped = append(opt.Skipped, s)
		}
	}
	var err error
	e.sweep, err = predict.NewSweep(net, b, part, opt)
	return e, err
}

// partOf is a rank's part of a set, and the index of its first image there.
func partOf(g *ranks.Group, set *data.Set) (part *data.Set, from int) {
	from, to := g.Share(set.Len())
	keep := make([]int, to-from)
	for i := range keep {
		keep[i] = from + i
	}
	return set.Select(keep), from
}

// DescribeSkipped says which images Run could not use; it is empty if there were none.
func (e *Evaluator) DescribeSkipped() string {
	if len(e.skipped) == 0 {
		return ""
	}
	return data.DescribeSkipped(e.skipped)
}

// Run evaluates every image once, with the present weights. The result does not depend on
// the batch size, nor on how many ranks share the images.
func (e *Evaluator) Run(ctx context.Context) (Metrics, error) {
	all, err := e.judge(ctx)
	if err != nil {
		return Metrics{}, err
	}
	slices.SortFunc(all, func(a, b metrics.Judgement) int { return a.Index - b.Index })
	collector := metrics.NewCollector(e.classes, worstShown)
	for _, j := range all {
		collector.Count(j)
	}
	r := collector.Result()
	return Metrics{Top1: r.Top1, Top5: r.Top5, Loss: r.Loss, Images: r.Images, Skipped: len(e.skipped), Details: r}, nil
}

// judge judges every image, those of other ranks too.
func (e *Evaluator) judge(ctx context.Context) (all []metrics.Judgement, err error) {
	if e.sweep != nil {
		err = e.sweep.Each(ctx, func(r predict.Row) error {
			all = append(all, metrics.Judge(r.Logits, r.Label, e.first+r.Index))
			if e.Each != nil {
				return e.Each(r)
			}
			return nil
		})
		e.skipped = e.sweep.Skipped()
	}
	if e.ranks.Size() > 1 {
		return e.exchange(ctx, all, err)
	}
	return all, err
}

// evaluated is what a rank tells the others of its part of an evaluation.
type evaluated struct {
	Images  []metrics.Judgement
	Skipped []skipped
	Stopped bool // before all images were evaluated
}

// exchange puts the parts of all ranks together. err is what this one's ended with.
func (e *Evaluator) exchange(ctx context.Context, mine []metrics.Judgement, err error) (all []metrics.Judgement, _ error) {
	ended := err != nil && errors.Is(err, ctx.Err())
	if err != nil && !ended {
		return nil, err
	}
	parts, err := ranks.Gather(e.ranks, "evaluating", evaluated{mine, describe(e.skipped, e.first), ended})
	if err != nil {
		return nil, err
	}
	e.skipped = nil
	for rank, part := range parts {
		if part.Stopped {
			return nil, &ranks.Stopped{Rank: rank}
		}
		all = append(all, part.Images...)
		e.skipped = append(e.skipped, restored(part.Skipped)...)
	}
	return all, nil
}

// rank is how many classes come before label: those with a higher logit, and of
// those with an equal one the lower-numbered. A NaN logit comes first, so that a
// broken network is never right.
func rank(logits []float32, label int) int {
	n := 0
	for c, z := range logits {
		if z > logits[label] || z != z || z == logits[label] && c < label {
			n++
		}
	}
	return n
}
