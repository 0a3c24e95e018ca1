package config

import (
	"fmt"
	"slices"
	"strings"
)

// Validate reports every value that is not allowed, as an Error.
func (c Config) Validate() error {
	problems := c.network()
	for _, check := range c.checks() {
		if !check.ok {
			problems = append(problems, fmt.Sprintf("%s: %v is not allowed (want %s)", check.key, check.value, check.want))
		}
	}
	if problems == nil { // the rest of the network's numbers are good
		if c.HasBudget() {
			c = c.WithPhi(0)
		}
		if _, err := c.Arch(1); err != nil {
			problems = strings.Split(err.Error(), "\n")
		}
	}
	if problems == nil {
		return nil
	}
	return problems
}

// network reports settings that contradict or do nothing.
func (c Config) network() Error {
	var problems Error
	if c.Variant != "" && c.Phi != nil {
		problems = append(problems, "variant and phi: both are set (a variant is a published network, phi scales a baseline by the formula: choose one)")
	}
	if c.Variant != "" && !c.Baseline.IsZero() {
		problems = append(problems, "variant and baseline: both are set (a variant has its own baseline: choose one)")
	}
	if c.CacheFeatures && (c.Freeze != "head-only" || c.UnfreezeEpoch > 0) {
		problems = append(problems, "cache-features: wants freeze: head-only, and unfreeze-epoch: 0")
	}
	if c.CacheFeatures && (c.Mixup > 0 || c.CutMix > 0) {
		problems = append(problems, "cache-features: images are not mixed (leave mixup and cutmix at 0)")
	}
	problems = append(problems, c.budgets()...)
	d := Default()
	if c.Phi == nil && !c.HasBudget() && (c.Alpha != d.Alpha || c.Beta != d.Beta || c.Gamma != d.Gamma) {
		problems = append(problems, "alpha, beta, gamma: do nothing without phi (set it, to 1 for the coefficients as they are)")
	}
	return problems
}

// budgets reports texts that are none, and what contradicts them.
func (c Config) budgets() (problems Error) {
	if _, _, err := c.Budgets(); err != nil {
		problems = append(problems, err.Error())
	}
	for _, b := range [][2]string{{"flops-budget", c.FLOPsBudget}, {"params-budget", c.ParamsBudget}, {"latency-budget", c.LatencyBudget}} {
		if b[1] != "" && c.Variant != "" {
			problems = append(problems, fmt.Sprintf("variant and %s: both are set (a variant is a published network, a budget chooses phi for a baseline: choose one)", b[0]))
		}
		if b[1] != "" && c.Phi != nil {
			problems = append(problems, fmt.Sprintf("phi and %s: both are set (a budget chooses phi: choose one)", b[0]))
		}
	}
	return problems
}

// check is one setting against what it may be.
type check struct {
	key   string
	value any
	ok    bool
	want  string
}

func (c Config) checks() []check {
	_, _, freezeErr := c.FrozenStages()
	return []check{
		{"name", c.Name, !strings.ContainsAny(c.Name, `/\`) && c.Name != "." && c.Name != "..", "a name without slashes; out takes a folder"},
		number("img-size", c.ImgSize, 0, 4096),
		{"drop", c.Drop, c.Drop == -1 || within(c.Drop, 0, 0.99), "-1 or 0 to 0.99"},
		number("drop-path", c.DropPath, 0, 0.99),
		number("bn-momentum", c.BNMomentum, 0, 1),
		number("bn-eps", c.BNEps, 1e-12, 1),
		name("padding", c.Padding, "same", "symmetric"),
		{"mean", c.Mean, all(c.Mean[:], 0, 255), "three numbers of 0 to 255"},
		{"std", c.Std, all(c.Std[:], 1e-3, 255), "three numbers of 0.001 to 255"},

		name("interpolation", c.Interpolation, "bicubic", "bilinear"),
		name("crop", c.Crop, "tf", "timm", "torchvision"),
		number("crop-pct", c.CropPct, 0.1, 1),
		number("progressive", c.Progressive, 1, 100),
		number("img-size-start", c.SizeStart, 8, 4096),
		number("drop-start", c.DropStart, 0, 0.99),
		number("magnitude-start", c.MagStart, 0, 100),
		{"scale", c.Scale, ordered(c.Scale, 1e-6, 1), "two rising numbers of 0.000001 to 1"},
		{"ratio", c.Ratio, ordered(c.Ratio, 0.01, 100), "two rising numbers of 0.01 to 100"},
		number("hflip", c.HFlip, 0, 1),
		number("reprob", c.REProb, 0, 1),
		name("remode", c.REMode, "pixel", "const"),
		number("recount", c.RECount, 1, 100),
		number("mixup", c.Mixup, 0, 1000),
		number("cutmix", c.CutMix, 0, 1000),
		number("mixup-prob", c.MixProb, 0, 1),
		number("mixup-switch-prob", c.MixSwitch, 0, 1),

		name("on-corrupt", c.OnCorrupt, "error", "skip"),
		number("subset", c.Subset, 0, 1e9),
		name("sampler", c.Sampler, "uniform", "balanced"),
		number("aug-repeats", c.Repeats, 1, 1000),
		name("class-weights", c.ClassWeights, "none", "balanced"),

		number("epochs", c.Epochs, 1, 1_000_000),
		number("batch-size", c.BatchSize, 0, 65536),
		number("memory", c.Memory, 0, 1e6),
		number("grad-accum", c.GradAccum, 1, 65536),
		name("opt", c.Opt, "rmsprop", "sgd", "adam", "adamw"),
		number("lr", c.LR, 0, 100),
		number("momentum", c.Momentum, 0, 0.9999),
		number("decay", c.Decay, 0, 0.9999),
		number("beta1", c.Beta1, 0, 0.9999),
		number("beta2", c.Beta2, 0, 0.999999),
		number("opt-eps", c.OptEps, 1e-12, 1),
		number("clip-grad", c.ClipGrad, 0, 1e9),
		number("model-ema-decay", c.EMA, 0, 0.9999999),
		number("weight-decay", c.WeightDecay, 0, 1),
		name("sched", c.Sched, "exponential", "cosine", "constant"),
		number("decay-epochs", c.DecayEpochs, 1e-3, 1e6),
		number("decay-rate", c.DecayRate, 1e-6, 1),
		number("warmup-epochs", c.WarmupEpochs, 0, 1e6),
		number("warmup-lr", c.WarmupLR, 0, 100),
		number("min-lr", c.MinLR, 0, 100),
		number("patience", c.Patience, 0, 1_000_000),
		number("minival", c.Minival, 0, 1e9),
		number("smoothing", c.Smoothing, 0, 0.99),

		{"freeze", c.Freeze, freezeErr == nil, "none, head-only or stages:N"},
		number("unfreeze-epoch", c.UnfreezeEpoch, 0, 1_000_000),
		number("layer-decay", c.LayerDecay, 0.01, 1),
		number("head-lr", c.HeadLR, 0.001, 1000),
		number("shots", c.Shots, 0, 1_000_000),

		{"seed", c.Seed, c.Seed >= 0, "0 or more"},
		name("device", c.Device, "cpu", "cuda"),
		name("precision", c.Precision, "fp32", "tf32", "bf16"),
		number("workers", c.Workers, 0, 1024),
		number("prefetch", c.Prefetch, 0, 1024),
		number("threads", c.Threads, 0, 1024),
		{"log-interval", c.LogInterval, c.LogInterval >= 1, "1 or more"},
		number("checkpoint-keep", c.Keep, 1, 1000),
	}
}

func number[T int | float64](key string, v, least, most T) check {
	return check{key, v, within(v, least, most), fmt.Sprintf("%v to %v", least, most)}
}

func name(key, v string, allowed ...string) check {
	return check{key, v, slices.Contains(allowed, v), strings.Join(allowed, " or ")}
}

// within is false for NaN.
func within[T int | float64](v, least, most T) bool { return v >= least && v <= most }

func all(v []float64, least, most float64) bool {
	return !slices.ContainsFunc(v, func(x float64) bool { return !within(x, least, most) })
}

func ordered(v [2]float64, least, most float64) bool {
	return all(v[:], least, most) && v[0] <= v[1]
}
