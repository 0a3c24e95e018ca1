// Command lockstep trains by configs/small.yaml, with dropout and stochastic depth off, and
// writes all that another program needs to take the same steps and compare itself:
// tools/lockstep.py takes them with PyTorch.
//
//	go run ./tools/lockstep [-epochs 2] [-seed 1] DIR OUT
//
// DIR is a folder of images as effnet train takes it; OUT is made. The schedule is the
// recipe's own, of which these are the first epochs. Steps count from 1, so that step 0
// is the start. OUT receives
//
//	batch-N.safetensors    images [32,64,64,3], normalised, and labels [32] of step N
//	weights-N.safetensors  the network after step N
//	ema-N.safetensors      its running average after step N
//	eval.safetensors       images and labels of evaluation, and of the last step's network
//	                       and average weights.logits and ema.logits
//	run/                   the run folder; metrics.jsonl has each step's loss, learning
//	                       rate and length of the gradient
//
// It takes 34 MB a step, and 65 more until the run is over.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"

	"effnet/configs"
	"effnet/internal/backend"
	"effnet/internal/checkpoint"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/device"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/predict"
	"effnet/internal/report"
	"effnet/internal/setup"
	"effnet/internal/train"

	"go.yaml.in/yaml/v3"
)

func main() {
	epochs := flag.Int("epochs", 2, "epochs to train")
	seed := flag.Int("seed", 1, "seed of the weights, the order of images and the crops")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: lockstep [-epochs N] [-seed N] DIR OUT")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := lockstep(ctx, flag.Arg(0), flag.Arg(1), *epochs, *seed)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lockstep:", err)
		os.Exit(1)
	}
}

// A job is a run that is written step by step.
type job struct {
	out               string
	options           train.Options
	backend           backend.Backend
	net               *model.Network // any state of the run
	trainSet, evalSet *data.Set
}

func lockstep(ctx context.Context, dir, out string, epochs, seed int) error {
	j, err := newJob(dir, out, epochs, seed)
	if err != nil {
		return err
	}
	defer j.backend.Close()
	if err := j.net.Initialise(j.options.Seed); err != nil {
		return err
	}
	if err := j.writeNetwork("weights", 0); err != nil {
		return err
	}
	if err := j.writeBatches(ctx); err != nil {
		return err
	}
	if _, err := train.Run(ctx, j.backend, j.options, j.trainSet, j.evalSet, report.NewLog(os.Stderr, nil, 10, false)); err != nil {
		return err
	}
	last, err := j.writeStates()
	if err != nil {
		return err
	}
	return j.writeEvaluation(ctx, last)
}

func newJob(dir, out string, epochs, seed int) (*job, error) {
	cfg, err := settings(seed, filepath.Join(out, "run"))
	if err != nil {
		return nil, err
	}
	j := &job{out: out}
	if j.trainSet, j.evalSet, err = setup.Images(dir, cfg); err != nil {
		return nil, err
	}
	if j.evalSet == nil {
		return nil, fmt.Errorf("%s has no images to evaluate", dir)
	}
	arch, err := cfg.Arch(len(j.trainSet.Classes))
	if err != nil {
		return nil, err
	}
	if j.options, err = setup.Options(cfg, arch, j.trainSet); err != nil {
		return nil, err
	}
	if most := kept / (j.trainSet.Len() / cfg.BatchSize); epochs < 1 || epochs > most {
		return nil, fmt.Errorf("-epochs %d: want 1 to %d", epochs, most)
	}
	j.options.Until = epochs
	if err := os.Mkdir(out, 0o777); err != nil {
		return nil, err
	}
	if err := os.Mkdir(j.options.Out, 0o777); err != nil {
		return nil, err
	}
	d, err := device.Lookup(cfg.Device)
	if err != nil {
		return nil, err
	}
	if j.backend, err = d.Open(cfg.Precision, cfg.Kernels, cfg.Threads); err != nil {
		return nil, err
	}
	j.net, err = model.New(arch, j.backend)
	return j, err
}

// kept is how many states a run may keep.
const kept = 1000

// settings are the recipe's, but for what is drawn in the network, and with the state
// after every step kept.
func settings(seed int, out string) (config.Config, error) {
	text, err := configs.Read("small")
	if err != nil {
		return config.Config{}, err
	}
	recipe := config.Layer{Source: "recipe small"}
	if err := yaml.Unmarshal(text, &recipe.Values); err != nil {
		return config.Config{}, err
	}
	merged, err := config.Merge(recipe, config.Layer{Source: "lockstep", Values: map[string]any{
		"seed": seed, "out": out, "drop": 0, "drop-path": 0, "log-interval": 1, "checkpoint-every": "1steps", "checkpoint-keep": kept,
	}})
	if err != nil {
		return config.Config{}, err
	}
	return merged.Config, merged.Validate()
}

// write writes tensors to NAME.safetensors.
func (j *job) write(name string, tensors []named.Tensor) error {
	meta := checkpoint.Meta{Arch: j.options.Arch, Classes: j.trainSet.Classes, Preprocess: j.options.Preprocess}
	return checkpoint.Write(filepath.Join(j.out, name+".safetensors"), meta, tensors)
}

// writeNetwork writes the network as it is after a step.
func (j *job) writeNetwork(name string, step int) error {
	tensors, err := j.net.Tensors()
	if err != nil {
		return err
	}
	return j.write(fmt.Sprintf("%s-%d", name, step), tensors)
}

// writeBatches writes the batches of all steps.
func (j *job) writeBatches(ctx context.Context) error {
	loader, err := data.NewLoader(j.trainSet, j.options.TrainLoader)
	if err != nil {
		return err
	}
	step := 0
	for epoch := range j.options.Until {
		for batch, err := range loader.Epoch(ctx, epoch, 0) {
			if err != nil {
				return err
			}
			step++
			if err := j.write(fmt.Sprintf("batch-%d", step), []named.Tensor{j.images(batch.Images), vector("labels", batch.Labels)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// images are images as a tensor.
func (j *job) images(values []float32) named.Tensor {
	side := j.options.Arch.Resolution
	return named.Tensor{Name: "images", Shape: []int{len(values) / (3 * side * side), side, side, 3}, Data: values}
}

func vector(name string, values []int) named.Tensor {
	t := named.Tensor{Name: name, Shape: []int{len(values)}}
	for _, v := range values {
		t.Data = append(t.Data, float32(v))
	}
	return t
}

// writeStates writes the networks of the run's states, which it removes, and returns the
// last state.
func (j *job) writeStates() (last []named.Tensor, err error) {
	paths, err := filepath.Glob(filepath.Join(j.options.Out, "state-*.safetensors"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	for i, path := range paths {
		file, err := checkpoint.Read(path)
		if err != nil {
			return nil, err
		}
		last = file.Tensors
		for name, prefix := range prefixes {
			if err := j.restore(last, prefix); err != nil {
				return nil, err
			}
			if err := j.writeNetwork(name, i+1); err != nil {
				return nil, err
			}
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// prefixes are what a state's buffers of a network begin with.
var prefixes = map[string]string{"weights": "", "ema": "ema."}

// restore makes the network one of a state's.
func (j *job) restore(state []named.Tensor, prefix string) error {
	lookup, err := named.NewLookup(state)
	if err != nil {
		return err
	}
	weights, err := lookup.Take(prefix+"weights", j.net.Weights.Len)
	if err != nil {
		return err
	}
	running, err := lookup.Take(prefix+"running", j.net.Running.Len)
	if err != nil {
		return err
	}
	return errors.Join(j.backend.Upload(j.net.Weights, weights), j.backend.Upload(j.net.Running, running))
}

// writeEvaluation writes what the networks of a state make of the images of evaluation.
func (j *job) writeEvaluation(ctx context.Context, state []named.Tensor) error {
	var pixels []float32
	var labels []int
	loader, err := data.NewLoader(j.evalSet, j.options.EvalLoader)
	if err != nil {
		return err
	}
	for batch, err := range loader.Epoch(ctx, 0, 0) {
		if err != nil {
			return err
		}
		pixels = append(pixels, batch.Images[:len(batch.Images)/len(batch.Labels)*batch.Count]...)
		labels = append(labels, batch.Labels[:batch.Count]...)
	}
	tensors := []named.Tensor{j.images(pixels), vector("labels", labels)}
	sweep, err := predict.NewSweep(j.net, j.backend, j.evalSet, j.options.EvalLoader)
	if err != nil {
		return err
	}
	classes := j.options.Arch.Classes
	for name, prefix := range prefixes {
		if err := j.restore(state, prefix); err != nil {
			return err
		}
		logits := named.Tensor{Name: name + ".logits", Shape: []int{len(labels), classes}}
		if err := sweep.Each(ctx, func(r predict.Row) error {
			logits.Data = append(logits.Data, r.Logits...)
			return nil
		}); err != nil {
			return err
		}
		tensors = append(tensors, logits)
	}
	return j.write("eval", tensors)
}
