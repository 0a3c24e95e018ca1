package train

import (
	"context"
	"fmt"

	"effnet/internal/backend"
	"effnet/internal/data"
	"effnet/internal/metrics"
	"effnet/internal/model"
	"effnet/internal/predict"
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
	sweep   *predict.Sweep

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

// DescribeSkipped says which images Run could not use; it is empty if there were none.
func (e *Evaluator) DescribeSkipped() string { return e.sweep.DescribeSkipped() }

// Run evaluates every image once, with the present weights. The result does not
// depend on the batch size.
func (e *Evaluator) Run(ctx context.Context) (Metrics, error) {
	collector := metrics.NewCollector(e.classes, worstShown)
	err := e.sweep.Each(ctx, func(r predict.Row) error {
		collector.Add(r.Logits, r.Label, r.Index)
		if e.Each != nil {
			return e.Each(r)
		}
		return nil
	})
	if err != nil {
		return Metrics{}, err
	}
	r := collector.Result()
	return Metrics{Top1: r.Top1, Top5: r.Top5, Loss: r.Loss, Images: r.Images, Skipped: len(e.sweep.Skipped()), Details: r}, nil
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
