// Package config is the whole configuration of a run: the table of its settings,
// layers of them merged, strict decoding and validation.
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
)

// Config holds every setting, and its tags are the table of them: adding a setting is
// adding a field. See Setting for what the tags say; a field named _ begins a group.
//
// The network is either a published Variant, or a Baseline scaled by the formula with
// Phi, Alpha, Beta and Gamma; a budget is what chooses Phi.
//
// The defaults are the paper's recipe on B0 as the reference code has it
// (tensorflow/tpu, models/official/efficientnet/main.py and utils.py), the mean and
// std ImageNet's, and progressive learning's those of EfficientNetV2-S (Tan and Le
// 2021, table 6).
type Config struct {
	_    struct{} `group:"Run"`
	Name string   `yaml:"name,omitempty" effect:"free" want:"a name without slashes; out takes a folder" help:"name of the run (default: the network's)"`
	Out  string   `yaml:"out,omitempty" effect:"free" help:"folder of the run (default: runs/NAME)"`

	_          struct{} `group:"Network"`
	Variant    string   `yaml:"variant,omitempty" of:"network, import" effect:"network" help:"published network: b0 to b8, l2, lite0 to lite4, v2-s, v2-m, v2-l, v2-b0 to v2-b3, es, em, el, mnasnet-a1, mnasnet-b1, tinynet-a to tinynet-e, mobilenetv3-large, mobilenetv3-small (default: b0)"`
	Phi        *float64 `yaml:"phi,omitempty" of:"network, search-coefficients" effect:"network" help:"instead of a variant: scale the baseline's depth by alpha^phi, width by beta^phi, resolution by gamma^phi"`
	Alpha      float64  `yaml:"alpha" default:"1.2" of:"network, scale-study, coefficients" effect:"network" help:"base of the depth"`
	Beta       float64  `yaml:"beta" default:"1.1" of:"network, scale-study, coefficients" effect:"network" help:"base of the width"`
	Gamma      float64  `yaml:"gamma" default:"1.15" of:"network, scale-study, coefficients" effect:"network" help:"base of the resolution"`
	Rule       string   `yaml:"rule" default:"compound" want:"compound or fast" of:"network" effect:"network" help:"what phi does: compound (alpha, beta and gamma), or fast, by which Dollár et al. (2021) double the multiply-adds for each phi: depth times 2^0.1, width 2^0.4, resolution 2^0.05"`
	MaxImgSize int      `yaml:"max-img-size" default:"0" want:"0 or 8 to 4096" of:"network, scale-study" effect:"network" help:"with phi: largest width and height to which the resolution is scaled; 0 for any"`
	LateDepth  float64  `yaml:"late-depth" default:"1" want:"1 to 4" of:"network, scale-study" effect:"network" help:"with phi: base of an extra depth of the last two stages; 1 for none"`
	Baseline   Baseline `yaml:"baseline,omitempty" of:"network, search-baseline, search-coefficients, scale-study, coefficients" effect:"network" help:"what phi scales: efficientnet-b0, efficientnet-lite0, efficientnet-edgetpu-s, efficientnetv2-s, -m, -l or -b0, mnasnet-a1, mnasnet-b1, tinynet, mobilenetv1, mobilenetv2, mobilenetv3-large, -small, resnet50, or a file that search-baseline wrote; in YAML also a stage table (default: efficientnet-b0)"`
	ImgSize    int      `yaml:"img-size" default:"0" want:"0 to 4096" of:"network, finetune, search-baseline, search-coefficients, scale-study, import" effect:"network" help:"width and height of the input in pixels; 0 for the network's own"`
	Drop       float64  `yaml:"drop" default:"-1" want:"-1 or 0 to 0.99" effect:"network" help:"dropout before the classifier; -1 for the network's own"`
	DropPath   float64  `yaml:"drop-path" default:"0.2" want:"0 to 0.99" effect:"network" help:"stochastic depth: block i of N, counted from 0, is dropped with this probability times i/N"`
	BNMomentum float64  `yaml:"bn-momentum" default:"0.01" want:"0 to 1" effect:"network" help:"weight of a batch's statistics in the running statistics"`
	BNEps      float64  `yaml:"bn-eps" default:"0.001" want:"1e-12 to 1" of:"scratch, import" effect:"network" help:"added to the variance in batch normalisation"`
	Padding    string   `yaml:"padding" default:"same" want:"same or symmetric" of:"scratch, import" effect:"network" help:"same (TensorFlow's) or symmetric (PyTorch's)"`

	_             struct{} `group:"Budget"`
	FLOPsBudget   string   `yaml:"flops-budget,omitempty" of:"budget" effect:"chooses phi" help:"instead of phi: the largest network with at most N multiply-adds per image, as effnet summary counts them; a number such as 1.5G, with K, M or G"`
	ParamsBudget  string   `yaml:"params-budget,omitempty" of:"budget" effect:"chooses phi" help:"instead of phi: the largest network with at most N parameters, such as 10M"`
	LatencyBudget string   `yaml:"latency-budget,omitempty" of:"budget" effect:"chooses phi" help:"instead of phi: the largest network whose forward pass of one image takes at most this long, such as 20ms; measured on this machine at the start"`

	_             struct{}   `group:"Images"`
	Mean          [3]float64 `yaml:"mean,flow" default:"123.675,116.28,103.53" want:"three numbers of 0 to 255" of:"scratch, import" help:"mean of red, green and blue, 0 to 255, which is subtracted from pixels; one number sets all three"`
	Std           [3]float64 `yaml:"std,flow" default:"58.395,57.12,57.375" want:"three numbers of 0.001 to 255" of:"scratch, import" help:"standard deviation of red, green and blue, by which pixels are then divided; one number sets all three"`
	Interpolation string     `yaml:"interpolation" default:"bicubic" want:"bicubic or bilinear" of:"scratch, import" help:"how images are resized to img-size: bicubic or bilinear"`
	Crop          string     `yaml:"crop" default:"tf" want:"tf or timm or torchvision" of:"scratch, import" help:"rule for the centre crop in evaluation: tf, timm or torchvision"`
	CropPct       float64    `yaml:"crop-pct" default:"0.875" want:"0.1 to 1" of:"scratch, import" help:"share of the resized image that the crops of timm and torchvision keep"`
	Orientation   bool       `yaml:"exif-orientation" default:"false" of:"scratch" help:"turn photographs upright by their EXIF tag, in evaluation too; published networks were trained without"`
	Transparency  string     `yaml:"transparency" default:"stored" before:"mean" want:"stored or mean" of:"scratch" help:"colour of transparent pixels: stored (what the file has there, as the published networks see it) or mean (laid over the mean colour)"`

	_           struct{}   `group:"Augmentation"`
	Progressive int        `yaml:"progressive" default:"1" want:"1 to 100" help:"progressive learning: number of stages over which image size, dropout and RandAugment's magnitude grow to their values; 1 for none"`
	SizeStart   int        `yaml:"img-size-start" default:"128" want:"8 to 4096" help:"progressive: width and height of the first stage's images in pixels"`
	DropStart   float64    `yaml:"drop-start" default:"0.1" want:"0 to 0.99" help:"progressive: dropout of the first stage"`
	MagStart    float64    `yaml:"magnitude-start" default:"5" want:"0 to 100" help:"progressive: RandAugment's magnitude in the first stage"`
	Scale       [2]float64 `yaml:"scale,flow" default:"0.08,1" want:"two rising numbers of 0.000001 to 1" help:"random resized crop: smallest and largest share of the image's area"`
	Ratio       [2]float64 `yaml:"ratio,flow" default:"0.75,1.3333333333333333" want:"two rising numbers of 0.01 to 100" help:"random resized crop: smallest and largest width/height"`
	HFlip       float64    `yaml:"hflip" default:"0.5" want:"0 to 1" help:"probability that an image is mirrored"`
	AA          string     `yaml:"aa" default:"none" help:"augmentation policy: none, v0 (AutoAugment for ImageNet), or RandAugment as rand-m9-n2-mstd0.5-p1"`
	REProb      float64    `yaml:"reprob" default:"0" want:"0 to 1" help:"random erasing: probability that part of an image is erased"`
	REMode      string     `yaml:"remode" default:"pixel" want:"pixel or const" help:"random erasing: pixel (noise) or const (the mean colour)"`
	RECount     int        `yaml:"recount" default:"1" want:"1 to 100" help:"random erasing: largest number of rectangles erased per image"`
	Mixup       float64    `yaml:"mixup" default:"0" want:"0 to 1000" help:"alpha of mixup; 0 for none"`
	CutMix      float64    `yaml:"cutmix" default:"0" want:"0 to 1000" help:"alpha of CutMix; 0 for none"`
	MixProb     float64    `yaml:"mixup-prob" default:"1" want:"0 to 1" help:"probability that a batch is mixed"`
	MixSwitch   float64    `yaml:"mixup-switch-prob" default:"0.5" want:"0 to 1" help:"probability of CutMix rather than mixup, if both are on"`

	_            struct{} `group:"Data set"`
	OnCorrupt    string   `yaml:"on-corrupt" default:"error" want:"error or skip" help:"what to do with an image that cannot be decoded: error or skip"`
	Exclude      string   `yaml:"exclude,omitempty" help:"text file of images to skip, one per line"`
	Subset       float64  `yaml:"subset" default:"0" want:"0 to 1000000000" help:"train on part of the images: a share up to 1, or a number; 0 for all"`
	Sampler      string   `yaml:"sampler" default:"uniform" want:"uniform or balanced" help:"how images are drawn: uniform, or balanced (all classes equally likely)"`
	Repeats      int      `yaml:"aug-repeats" default:"1" want:"1 to 1000" help:"how many times in a row each image is used, augmented differently each time; the epoch gets no longer"`
	ClassWeights string   `yaml:"class-weights" default:"none" want:"none or balanced" help:"class weights in the loss: none, or balanced (inversely proportional to the class's images)"`
	Minival      float64  `yaml:"minival" default:"0" want:"0 to 1000000000" help:"hold out a share (up to 1) or number of the training images and evaluate on those; 0 for the evaluation folder"`

	_            struct{} `group:"Training"`
	Epochs       int      `yaml:"epochs" default:"350" want:"1 to 1000000" help:"passes over the training images"`
	BatchSize    int      `yaml:"batch-size" short:"b" default:"128" auto:"0" want:"0 to 65536" help:"images per batch; auto (or 0) for as many as fit in memory"`
	Memory       float64  `yaml:"memory" default:"0" want:"0 to 1000000" effect:"chooses batch-size" help:"GiB that batch-size auto may fill; 0 for three quarters of the machine's"`
	GradAccum    int      `yaml:"grad-accum" default:"1" want:"1 to 65536" help:"batches per update, whose gradients are averaged; each batch is normalised by its own statistics; of several ranks, batches of each"`
	Opt          string   `yaml:"opt" default:"rmsprop" want:"rmsprop or sgd or adam or adamw" help:"optimizer: rmsprop, sgd, adam or adamw (adam with decoupled decay)"`
	LR           float64  `yaml:"lr" default:"0" want:"0 to 100" help:"learning rate after the warm-up; 0 for 0.016 per 256 images of an update"`
	Momentum     float64  `yaml:"momentum" default:"0.9" want:"0 to 0.9999" help:"momentum of the optimizer"`
	Decay        float64  `yaml:"decay" default:"0.9" want:"0 to 0.9999" help:"rmsprop: share of the old mean square (rho)"`
	Beta1        float64  `yaml:"beta1" default:"0.9" want:"0 to 0.9999" help:"adam: share of the old first moment"`
	Beta2        float64  `yaml:"beta2" default:"0.999" want:"0 to 0.999999" help:"adam: share of the old second moment"`
	OptEps       float64  `yaml:"opt-eps" default:"0.001" want:"1e-12 to 1" help:"rmsprop: added to the mean square; adam: added to its square root"`
	WeightDecay  float64  `yaml:"weight-decay" default:"1e-05" want:"0 to 1" help:"weight decay of all parameters except batch normalisation's: L2 in the gradient"`
	Decoupled    bool     `yaml:"decoupled-decay" default:"false" help:"shrink the weights themselves instead of L2 in the gradient"`
	ClipGrad     float64  `yaml:"clip-grad" default:"0" want:"0 to 1000000000" help:"largest norm of the gradient; 0 for no limit"`
	EMA          float64  `yaml:"model-ema-decay" default:"0" want:"0 to 0.9999999" help:"decay of the moving averages of weights and statistics, which are evaluated too; 0 for no averages"`
	Sched        string   `yaml:"sched" default:"exponential" want:"exponential or cosine or constant" help:"learning rate schedule: exponential, cosine or constant"`
	DecayEpochs  float64  `yaml:"decay-epochs" default:"2.4" want:"0.001 to 1000000" help:"exponential: epochs between decays"`
	DecayRate    float64  `yaml:"decay-rate" default:"0.97" want:"0.000001 to 1" help:"exponential: factor of each decay"`
	WarmupEpochs float64  `yaml:"warmup-epochs" default:"5" want:"0 to 1000000" help:"epochs over which the learning rate rises from warmup-lr"`
	WarmupLR     float64  `yaml:"warmup-lr" default:"0" want:"0 to 100" help:"learning rate at the start of the warm-up"`
	MinLR        float64  `yaml:"min-lr" default:"0" want:"0 to 100" help:"lowest learning rate of the exponential and cosine schedules"`
	Patience     int      `yaml:"patience" default:"0" want:"0 to 1000000" help:"stop after N epochs without a better top-1; 0 for never"`
	Smoothing    float64  `yaml:"smoothing" default:"0.1" want:"0 to 0.99" help:"label smoothing: share of the target spread over all classes"`
	Seed         int      `yaml:"seed" default:"42" want:"0 or more" help:"seed of all random numbers"`

	_             struct{} `group:"Fine-tuning" of:"finetune"`
	Freeze        string   `yaml:"freeze" default:"none" want:"none, head-only or stages:N" help:"layers to freeze: none, head-only (all but the classifier) or stages:N (the stem and the first N stages); frozen layers normalise by the running statistics"`
	FreezeBN      bool     `yaml:"freeze-bn" default:"false" help:"freeze the statistics and parameters of every batch normalisation"`
	UnfreezeEpoch int      `yaml:"unfreeze-epoch" default:"0" want:"0 to 1000000" help:"epochs after which all layers are trained; 0 for never"`
	LayerDecay    float64  `yaml:"layer-decay" default:"1" want:"0.01 to 1" help:"learning rate of each layer as a share of the next layer's"`
	HeadLR        float64  `yaml:"head-lr" default:"1" want:"0.001 to 1000" help:"learning rate of the classifier as a multiple of the other layers'"`
	CacheFeatures bool     `yaml:"cache-features" default:"false" help:"with head-only: compute each image's features, which the classifier reads, once and without augmentation"`
	Shots         int      `yaml:"shots" default:"0" want:"0 to 1000000" help:"train on N images of each class; 0 for all"`
	Weights       string   `yaml:"weights,omitempty" of:"record" effect:"free" help:"written by finetune into config.yaml: the weights that training began with"`
	WeightsSHA256 string   `yaml:"weights-sha256,omitempty" of:"record" effect:"free" help:"written by finetune into config.yaml: that file's checksum, in hexadecimal"`

	_           struct{} `group:"Machine"`
	Device      string   `yaml:"device" default:"cpu" want:"cpu or cuda" effect:"free" help:"what computes: cpu or cuda"`
	Precision   string   `yaml:"precision" default:"fp32" want:"fp32 or tf32 or bf16" effect:"free" help:"fp32; bf16, for the maps between layers, their gradients and the factors of products; or, on cuda, tf32, for products alone. Weights, statistics and sums stay float32"`
	Workers     int      `yaml:"workers" short:"j" default:"0" want:"0 to 1024" effect:"free" help:"goroutines that read images; 0 for one per core"`
	Prefetch    int      `yaml:"prefetch" default:"2" want:"0 to 1024" effect:"free" help:"batches to read ahead while one is computed"`
	Threads     int      `yaml:"threads" default:"0" want:"0 to 1024" effect:"free" help:"threads that compute; 0 for one per core"`
	Kernels     string   `yaml:"kernels" default:"auto" auto:"auto" want:"auto or avx512 or avx2 or neon or generic" of:"training, bench, summary, eval, predict, serve, doctor, version" help:"kernels that the CPU computes with: avx512, avx2, neon, generic (any CPU), or auto, the fastest as measured on CPUs of this kind. They differ in the last bits of results, so a run keeps its own"`
	RankTimeout int      `yaml:"rank-timeout" default:"30" want:"1 to 86400" effect:"free" help:"seconds that a rank of a job waits for the others before it ends the job; ten steps, where that is longer"`
	LogInterval int      `yaml:"log-interval" default:"50" want:"1 or more" effect:"free" help:"steps between lines of the log"`
	SaveEvery   string   `yaml:"checkpoint-every" default:"1epoch" effect:"free" help:"how often the run's state is saved, to resume from: 1epoch, 500steps, 10m"`
	Keep        int      `yaml:"checkpoint-keep" default:"1" want:"1 to 1000" effect:"free" help:"number of states to keep"`
}

// LearningRate is the peak of the schedule: LR, or the reference code's 0.016
// for each 256 images of an update.
func (c Config) LearningRate() float64 {
	if c.LR != 0 {
		return c.LR
	}
	return 0.016 * float64(c.BatchSize*c.GradAccum) / 256
}

// Scaling is the rule by which Phi scales the baseline. Without Phi, it leaves the
// baseline as it is.
func (c Config) Scaling() scale.Rule {
	r := scale.Rule{Coefficients: scale.Coefficients{Alpha: c.Alpha, Beta: c.Beta, Gamma: c.Gamma}, MaxResolution: c.MaxImgSize, LateDepth: c.LateDepth}
	if c.Rule == string(scale.Fast) {
		r.Coefficients = scale.FastRule(scale.FastShare)
	}
	r.Phi = 0
	if c.Phi != nil {
		r.Phi = *c.Phi
	}
	return r
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
	a, err := b.Enlarge(c.Scaling())
	if c.Phi != nil {
		a.Name = fmt.Sprintf("%s-phi%g", b.Name, *c.Phi)
	}
	return a, err
}

// FrozenStages is what Freeze says: everything but the classifier, or the stem and
// the first stages. An unknown text is an error.
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
