// Package config is the whole configuration of a run: its keys, defaults,
// strict decoding and validation.
//
// A key has one spelling. The tags of Config give it: the flag --img-size, the
// environment variable EFFNET_IMG_SIZE and the line "img-size:" of a YAML file
// are the same setting.
package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"effnet/internal/scale"

	"go.yaml.in/yaml/v3"
)

// Config holds every setting. The network is either a published Variant, or a
// Baseline scaled by the formula with Phi, Alpha, Beta and Gamma; a budget is
// what chooses Phi.
type Config struct {
	Name string `yaml:"name,omitempty" help:"name of the run (default: the network's)"`
	Out  string `yaml:"out,omitempty" help:"folder of the run (default: runs/NAME)"`

	Variant    string     `yaml:"variant,omitempty" help:"published network: b0 to b8, l2, lite0 to lite4, v2-s, v2-m, v2-l (default: b0)"`
	Phi        *float64   `yaml:"phi,omitempty" help:"instead of a variant: scale the baseline's depth by alpha^phi, width by beta^phi, resolution by gamma^phi"`
	Alpha      float64    `yaml:"alpha" help:"base of the depth"`
	Beta       float64    `yaml:"beta" help:"base of the width"`
	Gamma      float64    `yaml:"gamma" help:"base of the resolution"`
	Baseline   Baseline   `yaml:"baseline,omitempty" help:"what phi scales: efficientnet-b0, efficientnet-lite0, efficientnetv2-s, -m or -l, mobilenetv1, mobilenetv2, resnet50; in YAML also a stage table (default: efficientnet-b0)"`
	ImgSize    int        `yaml:"img-size" help:"side of the input in pixels; 0 for the network's own"`
	Drop       float64    `yaml:"drop" help:"dropout before the classifier; -1 for the network's own"`
	DropPath   float64    `yaml:"drop-path" help:"stochastic depth: the share of the last blocks that a step drops"`
	BNMomentum float64    `yaml:"bn-momentum" help:"share of a batch's statistics in the running ones"`
	BNEps      float64    `yaml:"bn-eps" help:"added to the variance in batch normalisation"`
	Padding    string     `yaml:"padding" help:"same (TensorFlow's) or symmetric (PyTorch's)"`
	Mean       [3]float64 `yaml:"mean,flow" help:"subtracted from red, green, blue of 0 to 255"`
	Std        [3]float64 `yaml:"std,flow" help:"red, green and blue are divided by these after that"`

	// What chooses Phi.
	FLOPsBudget   string `yaml:"flops-budget,omitempty" help:"instead of phi: the largest with at most so many multiply-adds of one image, counted as effnet summary does; such as 1.5G, with K, M or G"`
	ParamsBudget  string `yaml:"params-budget,omitempty" help:"instead of phi: the largest with at most so many parameters, such as 10M"`
	LatencyBudget string `yaml:"latency-budget,omitempty" help:"instead of phi: the largest whose forward pass of one image takes at most this long, such as 20ms, as measured here and now"`

	Interpolation string     `yaml:"interpolation" help:"of the resize to img-size: bicubic or bilinear"`
	Crop          string     `yaml:"crop" help:"rule of the evaluation's centre crop: tf, timm or torchvision"`
	CropPct       float64    `yaml:"crop-pct" help:"share of the resized image that the crops of timm and torchvision keep"`
	Progressive   int        `yaml:"progressive" help:"stages in which image size, dropout and RandAugment's magnitude grow to their values; 1 for none"`
	SizeStart     int        `yaml:"img-size-start" help:"progressive: side of the first stage's images in pixels"`
	DropStart     float64    `yaml:"drop-start" help:"progressive: dropout of the first stage"`
	MagStart      float64    `yaml:"magnitude-start" help:"progressive: RandAugment's magnitude in the first stage"`
	Scale         [2]float64 `yaml:"scale,flow" help:"random resized crop: least and greatest share of the image's area"`
	Ratio         [2]float64 `yaml:"ratio,flow" help:"random resized crop: least and greatest width/height"`
	HFlip         float64    `yaml:"hflip" help:"probability of a mirrored image"`
	AA            string     `yaml:"aa" help:"augmentation policy: none, v0 (AutoAugment for ImageNet), or RandAugment as rand-m9-n2-mstd0.5-p1"`
	REProb        float64    `yaml:"reprob" help:"random erasing: probability that an image loses a rectangle"`
	REMode        string     `yaml:"remode" help:"random erasing: pixel (noise) or const (the mean colour)"`
	RECount       int        `yaml:"recount" help:"random erasing: most rectangles an image may lose"`
	Mixup         float64    `yaml:"mixup" help:"alpha of mixup; 0 for none"`
	CutMix        float64    `yaml:"cutmix" help:"alpha of CutMix; 0 for none"`
	MixProb       float64    `yaml:"mixup-prob" help:"probability that a batch is mixed"`
	MixSwitch     float64    `yaml:"mixup-switch-prob" help:"probability of CutMix where both are on"`
	Orientation   bool       `yaml:"exif-orientation" help:"turn photographs upright by their EXIF tag, in evaluation too; the published networks do not"`

	OnCorrupt    string  `yaml:"on-corrupt" help:"what to do with an image that cannot be decoded: error or skip"`
	Exclude      string  `yaml:"exclude,omitempty" help:"text file of images to leave out, one a line"`
	Subset       float64 `yaml:"subset" help:"train on some of the images: a share up to 1, or a number; 0 for all"`
	Sampler      string  `yaml:"sampler" help:"how images are drawn: uniform, or balanced (all classes as likely)"`
	Repeats      int     `yaml:"aug-repeats" help:"how often an image comes in turn, each time augmented anew; the epoch stays as long"`
	ClassWeights string  `yaml:"class-weights" help:"weights of the loss: none, or balanced (inverse to the class's images)"`

	Epochs       int     `yaml:"epochs" help:"passes over the training images"`
	BatchSize    int     `yaml:"batch-size" help:"images of a batch; auto (or 0) for as many as fit memory"`
	Memory       float64 `yaml:"memory" help:"GiB that batch-size auto may fill; 0 for three quarters of the machine's"`
	GradAccum    int     `yaml:"grad-accum" help:"batches whose gradients are averaged for a step; each normalises by its own statistics"`
	Opt          string  `yaml:"opt" help:"optimizer: rmsprop, sgd, adam or adamw (adam with decoupled decay)"`
	LR           float64 `yaml:"lr" help:"learning rate after the warm-up; 0 for 0.016 per 256 images of a step"`
	Momentum     float64 `yaml:"momentum" help:"of the optimizer"`
	Decay        float64 `yaml:"decay" help:"rmsprop: share of the old mean square (rho)"`
	Beta1        float64 `yaml:"beta1" help:"adam: share of the old first moment"`
	Beta2        float64 `yaml:"beta2" help:"adam: share of the old second moment"`
	OptEps       float64 `yaml:"opt-eps" help:"rmsprop: added to the mean square; adam: to its root"`
	WeightDecay  float64 `yaml:"weight-decay" help:"on all but batch normalisation: L2 in the gradient"`
	Decoupled    bool    `yaml:"decoupled-decay" help:"shrink the weights themselves instead of L2 in the gradient"`
	ClipGrad     float64 `yaml:"clip-grad" help:"greatest length of the gradient; 0 for any"`
	EMA          float64 `yaml:"model-ema-decay" help:"decay of running averages of weights and statistics, which are evaluated too; 0 for none"`
	Sched        string  `yaml:"sched" help:"learning rate schedule: exponential, cosine or constant"`
	DecayEpochs  float64 `yaml:"decay-epochs" help:"exponential: epochs between two decays"`
	DecayRate    float64 `yaml:"decay-rate" help:"exponential: factor of one decay"`
	WarmupEpochs float64 `yaml:"warmup-epochs" help:"epochs over which the learning rate rises from warmup-lr"`
	WarmupLR     float64 `yaml:"warmup-lr" help:"learning rate that the warm-up begins with"`
	MinLR        float64 `yaml:"min-lr" help:"least learning rate of the exponential and cosine schedules"`
	Patience     int     `yaml:"patience" help:"end the training after so many epochs without a better top-1; 0 for never"`
	Minival      float64 `yaml:"minival" help:"evaluate on a share (up to 1) or number of the training images, which are not trained on; 0 for the evaluation folder"`
	Smoothing    float64 `yaml:"smoothing" help:"label smoothing: share of the target spread over all classes"`

	// Of finetune.
	Freeze        string  `yaml:"freeze" help:"layers that stay as they are: none, head-only (all but the classifier) or stages:N (the stem and N stages); they normalise by the running statistics"`
	FreezeBN      bool    `yaml:"freeze-bn" help:"keep every batch normalisation, statistics and parameters, as it is"`
	UnfreezeEpoch int     `yaml:"unfreeze-epoch" help:"epochs after which all layers are trained; 0 for never"`
	LayerDecay    float64 `yaml:"layer-decay" help:"learning rate of a layer as a share of the next one's"`
	HeadLR        float64 `yaml:"head-lr" help:"learning rate of the classifier as a multiple of the others'"`
	CacheFeatures bool    `yaml:"cache-features" help:"with head-only: compute once what the classifier reads of each image, without augmentation"`
	Shots         int     `yaml:"shots" help:"train on so many images of each class; 0 for all"`

	Seed        int    `yaml:"seed" help:"of every random number"`
	Device      string `yaml:"device" help:"cpu or cuda"`
	Precision   string `yaml:"precision" help:"on cuda: fp32, tf32 (of matrix products) or bf16 (of maps too); weights, statistics and sums are float32"`
	Workers     int    `yaml:"workers" help:"goroutines that read images; 0 for one a core"`
	Prefetch    int    `yaml:"prefetch" help:"batches that are read while one is computed"`
	Threads     int    `yaml:"threads" help:"threads that compute; 0 for one a core"`
	LogInterval int    `yaml:"log-interval" help:"steps between two lines of the log"`
	SaveEvery   string `yaml:"checkpoint-every" help:"how often the run's state is saved, to go on from: 1epoch, 500steps, 10m"`
	Keep        int    `yaml:"checkpoint-keep" help:"how many states are kept"`
}

// Default is the paper's recipe on B0 as the reference code has it
// (tensorflow/tpu, models/official/efficientnet/main.py and utils.py).
func Default() Config {
	return Config{
		Alpha: scale.Paper.Alpha, Beta: scale.Paper.Beta, Gamma: scale.Paper.Gamma,
		Drop: -1, DropPath: 0.2, BNMomentum: 0.01, BNEps: 1e-3, Padding: string(scale.Same),
		Mean:          [3]float64{123.675, 116.28, 103.53}, // ImageNet's
		Std:           [3]float64{58.395, 57.12, 57.375},
		Interpolation: "bicubic", Crop: "tf", CropPct: 0.875,
		Progressive: 1, SizeStart: 128, DropStart: 0.1, MagStart: 5, // Tan and Le 2021, table 6, of EfficientNetV2-S
		Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3. / 4, 4. / 3}, HFlip: 0.5,
		AA: "none", REMode: "pixel", RECount: 1, MixProb: 1, MixSwitch: 0.5,
		OnCorrupt: "error", Sampler: "uniform", Repeats: 1, ClassWeights: "none",
		Epochs: 350, BatchSize: 128,
		GradAccum: 1, Opt: "rmsprop", Momentum: 0.9, Beta1: 0.9, Beta2: 0.999, Decay: 0.9, OptEps: 1e-3, WeightDecay: 1e-5,
		Sched: "exponential", DecayEpochs: 2.4, DecayRate: 0.97, WarmupEpochs: 5, Smoothing: 0.1,
		Freeze: "none", LayerDecay: 1, HeadLR: 1,
		Seed: 42, Device: "cpu", Precision: "fp32", Prefetch: 2, LogInterval: 50, SaveEvery: "1epoch", Keep: 1,
	}
}

// Parse reads and validates the YAML of a configuration; what it does not name
// is Default's.
func Parse(text []byte) (Config, error) {
	var settings map[string]any
	if err := yaml.Unmarshal(text, &settings); err != nil {
		return Config{}, Error{err.Error()}
	}
	c, err := Decode(settings)
	if err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

// LearningRate is the peak of the schedule: LR, or the reference code's 0.016
// for each 256 images of a step.
func (c Config) LearningRate() float64 {
	if c.LR != 0 {
		return c.LR
	}
	return 0.016 * float64(c.BatchSize*c.GradAccum) / 256
}

// Coefficients are the formula's. Without Phi, they leave the baseline as it is.
func (c Config) Coefficients() scale.Coefficients {
	k := scale.Coefficients{Alpha: c.Alpha, Beta: c.Beta, Gamma: c.Gamma}
	if c.Phi != nil {
		k.Phi = *c.Phi
	}
	return k
}

// Published is the variant that the configuration names, b0 unless it asks for
// the formula; ok is false if it does.
func (c Config) Published() (name string, ok bool) {
	switch {
	case c.Variant != "":
		return c.Variant, true
	case c.Phi != nil || c.HasBudget() || !c.Baseline.IsZero():
		return "", false
	}
	return "b0", true
}

// Arch is the network, for a number of classes. A budget must have chosen Phi.
func (c Config) Arch(classes int) (scale.Arch, error) {
	a, err := c.scaled()
	if err != nil {
		return scale.Arch{}, err
	}
	if c.ImgSize != 0 {
		a.Resolution = c.ImgSize
	}
	return c.Apply(a, classes)
}

// Apply is a network for a number of classes, with the configuration's dropout,
// normalisation and padding.
func (c Config) Apply(a scale.Arch, classes int) (scale.Arch, error) {
	a.Classes = classes
	if c.Drop >= 0 {
		a.Dropout = c.Drop
	}
	a.StochasticDepth = c.DropPath
	a.BNMomentum, a.BNEps = c.BNMomentum, c.BNEps
	a.Padding = scale.Padding(c.Padding)
	return a, a.Validate()
}

func (c Config) scaled() (scale.Arch, error) {
	if c.HasBudget() {
		return scale.Arch{}, errors.New("scale: no phi was chosen for the budget")
	}
	if name, ok := c.Published(); ok {
		return scale.Variant(name)
	}
	b, err := c.Baseline.Table()
	if err != nil {
		return scale.Arch{}, err
	}
	a, err := b.Compound(c.Coefficients())
	if c.Phi != nil {
		a.Name = fmt.Sprintf("%s-phi%g", b.Name, *c.Phi)
	}
	return a, err
}

// FrozenStages is what Freeze says: everything but the classifier, or the stem and
// so many stages. An unknown text is an error.
func (c Config) FrozenStages() (headOnly bool, stages int, err error) {
	switch text, isStages := strings.CutPrefix(c.Freeze, "stages:"); {
	case c.Freeze == "none":
	case c.Freeze == "head-only":
		headOnly = true
	case isStages:
		if stages, err = strconv.Atoi(text); err == nil && stages >= 1 && stages <= 100 {
			break
		}
		fallthrough
	default:
		err = fmt.Errorf("%q is not allowed (want none or head-only or stages:N)", c.Freeze)
	}
	return headOnly, stages, err
}
