package classify

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"effnet/internal/checkpoint"
	"effnet/internal/device"
	"effnet/internal/hub"
	"effnet/internal/predict"
	"effnet/internal/version"
	"effnet/internal/weights"
)

// Options of a Classifier. The zero value computes in float32 on all cores.
type Options struct {
	Device    string // "cpu" or "cuda"; "" is "cpu"
	Precision string // "fp32", or "bf16": faster, with half the memory; "" is "fp32"
	Kernels   string // the set of kernels, as the setting of that name; "" is this processor's
	Threads   int    // that compute, on a CPU; 0 is one a core

	Batch   int           // images that are computed together, at most; 0 is 4 for each thread, 16 on a card
	Wait    time.Duration // how long an image waits for others that are being decoded; 0 is 3 ms, less than 0 not at all
	Queue   int           // images that are accepted and not yet answered, at most; 0 is 4 times Batch, at least 64
	Workers int           // images that are decoded at once; 0 is one a core
	Refuse  bool          // where the queue is full: ErrFull at once, rather than wait for room
}

// A Classifier classifies images by a network. It is safe for concurrent use.
type Classifier struct {
	predictor *predict.Predictor
	meta      *checkpoint.Meta
}

// Open opens a network: a checkpoint, another file of weights, or published weights by
// name.
func Open(network string, o Options) (*Classifier, error) {
	return OpenContext(context.Background(), network, o)
}

// OpenContext is Open, in which ctx ends a download.
func OpenContext(ctx context.Context, network string, o Options) (*Classifier, error) {
	n, err := o.load(ctx, network)
	if err != nil {
		return nil, public(err)
	}
	p, err := predict.New(n, predict.Options{Batch: o.Batch, Wait: o.Wait, Queue: o.Queue, Workers: o.Workers, Refuse: o.Refuse})
	if err != nil {
		return nil, public(errors.Join(&OptionError{err}, n.Close()))
	}
	return &Classifier{p, &n.Meta}, nil
}

func (o Options) load(ctx context.Context, network string) (*predict.Network, error) {
	d, precision, err := o.device()
	if err != nil {
		return nil, err
	}
	settings := hub.FromEnvironment(os.Getenv)
	settings.UserAgent = "effnet/" + version.Number
	h := hub.New(settings)
	found, err := h.Resolve(ctx, network)
	if err != nil {
		return nil, err
	}
	w, err := h.Open(found, weights.Overrides{})
	if err != nil {
		return nil, err
	}
	b, err := d.Open(precision, cmp.Or(o.Kernels, device.AutoKernels), o.Threads)
	if errors.As(err, new(*device.SettingError)) {
		return nil, optionError("kernels %q are not among this processor's", o.Kernels)
	}
	if err != nil {
		return nil, err
	}
	return predict.Load(w, network, b)
}

// device finds the device and the precision that it will compute in.
func (o Options) device() (*device.Device, string, error) {
	d, err := device.Lookup(cmp.Or(o.Device, device.Host().Name))
	if err != nil {
		return nil, "", optionError("device %q: want %s", o.Device, device.Names())
	}
	precision := cmp.Or(o.Precision, d.Precisions[0])
	switch {
	case d.Check(precision) != nil:
		return nil, "", optionError("precision %q: %s has %s", precision, d.Name, strings.Join(d.Precisions, ", "))
	case o.Threads < 0:
		return nil, "", optionError("%d threads: want 0 or more", o.Threads)
	}
	return d, precision, nil
}

// Close closes the Classifier. Images that are not answered yet get ErrClosed.
func (c *Classifier) Close() error { return public(c.predictor.Close()) }

// Shutdown accepts no more images, answers those that were accepted, and closes the
// Classifier. When ctx ends first, the rest get ErrClosed and Shutdown returns ctx's error.
func (c *Classifier) Shutdown(ctx context.Context) error { return public(c.predictor.Shutdown(ctx)) }

// A Class is one that the network was trained to tell.
type Class struct {
	Name  string // that of its folder in the training images
	Label string // for people, such as "tabby cat"; the same as Name where nothing better is known
	Index int    // of the network's outputs, from 0
}

// Classes are the network's, by index.
func (c *Classifier) Classes() []Class {
	all := make([]Class, len(c.meta.Classes))
	for i, name := range c.meta.Classes {
		all[i] = Class{name, name, i}
		if c.meta.Labels != nil {
			all[i].Label = c.meta.Labels[i]
		}
	}
	return all
}

// Preprocessing is how an image becomes the network's input: cropped to a square, resized
// to Side, and each of its values, 0 to 255, less Mean and divided by Std.
type Preprocessing struct {
	Side          int     // pixels
	Crop          string  // the rule that a square is cut out by: "tf" or "timm", as in docs/settings.md
	CropPct       float64 // the part of the side that is kept, for rules that take it
	Interpolation string  // "bicubic" or "bilinear"
	Upright       bool    // images are turned as their EXIF tag says
	Mean, Std     [3]float64
}

// Preprocessing says how images become the network's input. It is done here already:
// only tensors have to be made so.
func (c *Classifier) Preprocessing() Preprocessing {
	p := c.meta.Preprocess
	return Preprocessing{p.Resolution, p.Crop, p.CropPct, p.Interpolation, p.Orientation, p.Mean, p.Std}
}

// Architecture is the network's name, such as "efficientnet-b0".
func (c *Classifier) Architecture() string { return c.meta.Arch.Name }

// Result is what the network says of an image.
type Result struct {
	Probabilities []float64 // by class index; their sum is 1
	Logits        []float32 // what the network computed, of which softmax makes Probabilities

	classes *predict.Head
}

// A Prediction is a class with its probability.
type Prediction struct {
	Class
	Probability float64 // 0 to 1
}

// Top returns the k likeliest classes, all for k = 0, the likeliest first.
func (r Result) Top(k int) []Prediction {
	top := r.scores().Top(k)
	all := make([]Prediction, len(top))
	for i, class := range top {
		all[i] = prediction(class)
	}
	return all
}

// Best is the likeliest class.
func (r Result) Best() Prediction { return prediction(r.scores().Best()) }

func (r Result) scores() predict.Scores {
	return predict.Scores{Head: r.classes, Values: r.Probabilities}
}

func prediction(c predict.Class) Prediction {
	label := c.Label
	if label == "" {
		label = c.Name
	}
	return Prediction{Class{c.Name, label, c.Index}, c.Score}
}

// Classify says what images show, in their order. The first image that cannot be used
// ends the call with an *ImageError. When ctx ends, Classify returns at once, and what was
// not computed yet never will be.
func (c *Classifier) Classify(ctx context.Context, images ...Image) ([]Result, error) {
	answers, err := c.ask(ctx, images, predict.Request{})
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(answers))
	for i, a := range answers {
		results[i] = result(a)
	}
	return results, nil
}

func result(a *predict.Answer) Result {
	head := a.Heads[0]
	return Result{head.Values, a.Logits, head.Head}
}

// Features are what the network's classifier reads of each image, in their order: numbers
// in which images that look alike are near each other, for search or for a classifier of
// one's own.
func (c *Classifier) Features(ctx context.Context, images ...Image) ([][]float32, error) {
	answers, err := c.ask(ctx, images, predict.Request{Features: true})
	if err != nil {
		return nil, err
	}
	all := make([][]float32, len(answers))
	for i, a := range answers {
		all[i] = a.Features
	}
	return all, nil
}

// ask asks the same of all images.
func (c *Classifier) ask(ctx context.Context, images []Image, r predict.Request) ([]*predict.Answer, error) {
	requests := slices.Repeat([]predict.Request{r}, len(images))
	for i, m := range images {
		requests[i].Image = m.image
	}
	answers, err := c.predictor.ClassifyAll(ctx, requests)
	return answers, public(err)
}
