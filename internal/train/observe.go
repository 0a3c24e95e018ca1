package train

import (
	"bytes"
	"errors"
	"fmt"
	"image/jpeg"
	"math"
	"path/filepath"
	"strings"

	"effnet/internal/backend"
	"effnet/internal/data"
	"effnet/internal/metrics"
	"effnet/internal/report"
	"effnet/internal/words"
)

// observer writes what a run shows of itself to its folder: metrics.csv,
// metrics.jsonl, TensorBoard's events and report.html.
type observer struct {
	dir    string
	page   report.Page
	lines  *report.Lines
	events *report.Events
	set    *data.Set // of the evaluation; may be nil
	best   *metrics.Evaluation
}

// worstShown is how many badly classified images a report has.
const worstShown = 12

// newObserver opens the files. Those of a resumed run keep what was before
// its step.
func (r *run) newObserver(evalSet *data.Set) (*observer, error) {
	o := &observer{dir: r.Out, set: evalSet}
	o.page = report.Page{Title: filepath.Base(r.Out) + ": " + r.Arch.Name, Classes: r.classes, Settings: r.Settings, Machine: r.Machine}
	step := int64(r.optimizer.Updates())
	var err error
	if o.lines, err = report.OpenLines(filepath.Join(r.Out, "metrics.jsonl"), step); err != nil {
		return nil, err
	}
	if o.events, err = report.NewEvents(r.Out, step); err != nil {
		return nil, err
	}
	var table strings.Builder
	table.WriteString("| setting | value | from |\n|---|---|---|\n")
	for _, s := range r.Settings {
		fmt.Fprintf(&table, "| %s | %s | %s |\n", s.Key, s.Value, s.Source)
	}
	return o, o.events.Text("settings", table.String())
}

// close closes the files.
func (o *observer) close() error { return errors.Join(o.lines.Close(), o.events.Close()) }

// stepLine is a step's line of metrics.jsonl.
type stepLine struct {
	Kind         string  `json:"kind"` // "step"
	Epoch        int     `json:"epoch"`
	Step         int64   `json:"step"` // updates of the weights so far
	Loss         float64 `json:"loss"` // mean of the epoch so far
	Top1         float64 `json:"top1"`
	LR           float64 `json:"lr"`
	ImagesPerSec float64 `json:"images_per_sec"`
	GradientNorm float64 `json:"gradient_norm,omitempty"`
}

// epochLine is an epoch's.
type epochLine struct {
	Kind string `json:"kind"` // "epoch"
	report.Epoch
}

// observes says whether the step that was done last is to be written.
func (r *run) observes() bool {
	return r.observer != nil && r.LogInterval >= 1 && r.step%uint64(r.LogInterval) == 0
}

// observeStep writes a step, every LogInterval steps.
func (r *run) observeStep(s report.Step) error {
	if !r.observes() {
		return nil
	}
	norm, err := r.optimizer.GradientNorm()
	if err != nil {
		return err
	}
	if !finite(norm) { // clipped to nothing; JSON has no infinity
		norm = 0
	}
	at := int64(r.optimizer.Updates())
	scalars := map[string]float64{"train/loss": s.Loss, "train/top1": s.Top1, "train/lr": s.LR, "train/images_per_sec": s.ImagesPerSec, "train/data_wait": s.DataWait}
	if norm > 0 {
		scalars["train/gradient_norm"] = norm
	}
	if err := r.norms(scalars); err != nil {
		return err
	}
	if err := r.observer.events.Scalars(at, scalars); err != nil {
		return err
	}
	return r.observer.lines.Write(stepLine{"step", s.Epoch, at, s.Loss, s.Top1, s.LR, s.ImagesPerSec, norm})
}

// observeEpoch writes an epoch, with the evaluation of the better weights.
func (r *run) observeEpoch(e report.Epoch, evaluation *metrics.Evaluation, improved bool) error {
	o := r.observer
	if o == nil {
		return nil
	}
	if improved || o.best == nil {
		o.best = evaluation
	}
	at := e.Step
	scalars := map[string]float64{"epoch/train_loss": e.TrainLoss, "epoch/train_top1": e.TrainTop1, "epoch/lr": e.LR, "epoch/seconds": e.Seconds}
	if evaluation != nil {
		scalars["val/loss"], scalars["val/top1"], scalars["val/top5"] = e.ValLoss, e.ValTop1, e.ValTop5
		scalars["val/ece"] = evaluation.ECE
	}
	if r.average != nil && evaluation != nil {
		scalars["val/ema_loss"], scalars["val/ema_top1"] = e.EMALoss, e.EMATop1
	}
	if err := o.events.Scalars(at, scalars); err != nil {
		return err
	}
	if err := o.lines.Write(epochLine{"epoch", e}); err != nil {
		return err
	}
	if err := report.WriteCSV(filepath.Join(o.dir, "metrics.csv"), r.result.Epochs); err != nil {
		return err
	}
	return r.writePage()
}

// norms adds the lengths of each parameter and of its gradient in the last batch.
func (r *run) norms(scalars map[string]float64) error {
	values := make([]float32, r.net.Weights.Len)
	for prefix, view := range map[string]backend.View{"weights/": r.net.Weights, "gradients/": r.gradients} {
		if err := r.backend.Download(values, view); err != nil {
			return err
		}
		for _, p := range r.net.Params {
			scalars[prefix+p.Name] = length(values[p.Offset:][:p.Len()])
		}
	}
	return nil
}

func length(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// writePage writes report.html.
func (r *run) writePage() error {
	o := r.observer
	p := o.page
	p.Epochs, p.Evaluation = r.result.Epochs, o.best
	p.Verdict = fmt.Sprintf("%d of %s; not evaluated.", len(p.Epochs), words.Count(r.Epochs, "epoch"))
	if o.best != nil {
		p.Verdict = fmt.Sprintf("%d of %s; best top-1 %.2f%% on %s.", len(p.Epochs), words.Count(r.Epochs, "epoch"), 100*r.result.Best.Top1, words.Count(r.result.Best.Images, "image"))
		for _, m := range o.best.Worst[:min(worstShown, len(o.best.Worst))] {
			if t, err := r.thumbnail(m); err == nil { // a file that is gone by now is not shown
				p.Worst = append(p.Worst, t)
			}
		}
	}
	return p.Write(filepath.Join(o.dir, "report.html"))
}

// thumbnail is an image as the network sees it.
func (r *run) thumbnail(m metrics.Miss) (t report.Thumbnail, err error) {
	p := r.EvalLoader.Pipeline
	pixels, err := p.Read(r.observer.set, m.Index)
	if err != nil {
		return t, err
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, p.Picture(pixels), &jpeg.Options{Quality: 80}); err != nil {
		return t, fmt.Errorf("train: %w", err)
	}
	return report.Thumbnail{Path: r.observer.set.Path(m.Index), JPEG: file.Bytes(), Label: r.classes[m.Label], Predicted: r.classes[m.Predicted],
		Probability: m.Probability, Confidence: m.Confidence}, nil
}
