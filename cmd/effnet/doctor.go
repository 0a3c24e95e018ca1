package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/backend/cuda"
	"effnet/internal/model"
	"effnet/internal/scale"

	"github.com/spf13/cobra"
)

type doctorOptions struct {
	Device string
	JSON   bool
}

func newDoctorCommand() *cobra.Command {
	var opts doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine has to compute with, and what to repair",
		Long: `Say what this machine has to compute with: the processor's features and the kernels
that use them, memory, the CUDA libraries and graphics cards that are found; time a
matrix product and a copy on each device, and compare a small network's logits and
gradients between them. With --device cuda it is an error if CUDA cannot be used.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd.Context(), cmd.OutOrStdout(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.Device, "device", "cpu", "what must be usable: cpu or cuda")
	cmd.Flags().BoolVar(&opts.JSON, "json", false, "print one JSON object")
	return cmd
}

// diagnosis is what the command prints; its JSON keys are an interface.
type diagnosis struct {
	Version string   `json:"version"`
	Memory  int64    `json:"memory"` // bytes; 0 if the system does not say
	Devices []device `json:"devices"`
	Found   []string `json:"found"`  // of CUDA, usable or not
	Repair  []string `json:"repair"` // what is wrong, and what to do
}

// device is one that computes.
type device struct {
	Name    string   `json:"name"`
	Has     []string `json:"has"`            // lines for people
	FLOPS   float64  `json:"flops"`          // of a matrix product, operations a second
	Copy    float64  `json:"copy_bytes_sec"` // read and written
	Parity  float64  `json:"parity"`         // distance to the CPU's of a small network's logits and gradients, over their length
	network []float32
}

func runDoctor(ctx context.Context, w io.Writer, opts doctorOptions) error {
	d := diagnosis{Version: versionName(), Memory: totalMemory(), Found: []string{}, Repair: []string{}}
	host, err := openBackend("cpu", "fp32", 0)
	if err != nil {
		return err
	}
	defer host.Close()
	if !kernel.Compiled {
		d.Repair = append(d.Repair, "this build has no SIMD kernels and is many times slower: build with GOEXPERIMENT=simd, or make build, on amd64")
	}
	set, err := kernel.Find(os.Getenv(cpu.KernelsEnv))
	if err != nil {
		return usageError{err}
	}
	c := device{Name: "cpu", Has: []string{fmt.Sprintf("%d cores, %s; kernels %s", runtime.GOMAXPROCS(0), strings.Join(kernel.Features(), " "), set.Name)}}
	if err := c.examine(ctx, host, nil); err != nil {
		return err
	}
	d.Devices = append(d.Devices, c)
	failed := d.addCUDA(ctx, c.network)
	if opts.JSON {
		err = json.NewEncoder(w).Encode(d)
	} else {
		err = d.print(w)
	}
	if err == nil && opts.Device == "cuda" {
		return failed
	}
	return err
}

// addCUDA examines the GPU, if there is one that can be used. The error is why not.
func (d *diagnosis) addCUDA(ctx context.Context, reference []float32) error {
	c := device{Name: "cuda"}
	var missing []string
	c.Has, missing = cuda.Found()
	d.Found = append(d.Found, c.Has...)
	d.Repair = append(d.Repair, missing...)
	b, err := cuda.Open("fp32")
	if err == nil {
		defer b.Close()
		var card string
		if card, err = b.Describe(); err == nil {
			c.Has = append(c.Has, fmt.Sprintf("using %s; EFFNET_CUDA_DEVICE names another", card))
			err = c.examine(ctx, b, reference)
		}
	}
	switch {
	case err == nil:
		d.Devices = append(d.Devices, c)
	case len(missing) == 0: // what is missing is said already
		d.Repair = append(d.Repair, err.Error())
	}
	return err
}

func (d diagnosis) print(w io.Writer) error {
	p := &printer{w: w}
	p.line("effnet %s (%s, %s/%s)", d.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if d.Memory > 0 {
		p.line("memory: %.1f GiB", float64(d.Memory)/(1<<30))
	}
	for _, v := range d.Devices {
		for _, line := range v.Has {
			p.line("%s: %s", v.Name, line)
		}
		p.line("%s: a matrix product at %.0f GFLOP/s, a copy at %.0f GB/s", v.Name, v.FLOPS/1e9, v.Copy/1e9)
		if v.Name != "cpu" {
			p.line("%s: a small network's results differ from the CPU's by %.1e of their length", v.Name, v.Parity)
		}
	}
	if len(d.Devices) == 1 {
		for _, line := range d.Found {
			p.line("cuda: %s", line)
		}
	}
	for _, r := range d.Repair {
		p.line("to repair: %s", r)
	}
	return p.err
}

// What is timed: a product that fits no cache, and a copy of as many values.
const (
	productSide = 1536
	copyValues  = 16 << 20
	timedRuns   = 5
)

// examine times a backend and compares its small network with a reference's
// values, if there are any.
func (d *device) examine(ctx context.Context, b backend.Backend, reference []float32) error {
	n := productSide
	seconds, err := timeSpec(ctx, b, backend.MatMul{M: n, N: n, K: n}, make([]backend.DType, 3))
	if err != nil {
		return err
	}
	d.FLOPS = 2 * math.Pow(float64(n), 3) / seconds
	if seconds, err = timeSpec(ctx, b, backend.Copy{N: copyValues}, make([]backend.DType, 2)); err != nil {
		return err
	}
	d.Copy = 2 * 4 * copyValues / seconds
	if d.network, err = smallNetwork(b); err != nil {
		return err
	}
	var apart, length float64
	for i, want := range reference {
		apart += math.Pow(float64(d.network[i]-want), 2)
		length += math.Pow(float64(want), 2)
	}
	if length > 0 {
		d.Parity = math.Sqrt(apart / length)
	}
	return nil
}

// timeSpec is the fastest of a few runs, in seconds. types are its
// operands'.
func timeSpec(ctx context.Context, b backend.Backend, spec backend.Spec, types []backend.DType) (float64, error) {
	var operands []backend.View
	for i, n := range backend.Sizes(spec) {
		v, err := backend.NewViewOf(b, n, types[i])
		if err == nil {
			err = b.Upload(v, randomImages(n)) // memory that was never written is faster to read, and zeros to multiply
		}
		if err != nil {
			return 0, err
		}
		operands = append(operands, v)
	}
	program, err := b.Compile(spec, operands...)
	if err != nil {
		return 0, err
	}
	program.All()
	fastest := math.Inf(1)
	for range timedRuns {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		seconds, err := backend.Time(b, program.Run)
		if err != nil {
			return 0, err
		}
		fastest = min(fastest, seconds[0])
	}
	return fastest, nil
}

// smallNetwork is a training step of a small network: its logits, its loss and
// all gradients.
func smallNetwork(b backend.Backend) ([]float32, error) {
	const batch, seed = 8, 1
	baseline, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		return nil, err
	}
	baseline.Stages = baseline.Stages[:4]
	arch, err := baseline.Scale(1, 1, 64)
	if err != nil {
		return nil, err
	}
	arch.Classes, arch.Dropout = 10, 0
	net, err := model.New(arch, b)
	if err == nil {
		err = net.Initialise(seed)
	}
	if err != nil {
		return nil, err
	}
	gradients, err := backend.NewView(b, net.Weights.Len)
	if err != nil {
		return nil, err
	}
	training, err := net.TrainingAt(model.Pass{Resolution: arch.Resolution, Batch: batch, Seed: seed}, gradients)
	if err != nil {
		return nil, err
	}
	images, targets := make([]float32, training.Images.Len), make([]float32, training.Targets.Len)
	for i := range images {
		images[i] = 2*backend.Random{Seed: seed}.Uniform(0, i) - 1
	}
	for i := range batch {
		targets[i*arch.Classes+i] = 1
	}
	if err := b.Upload(training.Images, images); err != nil {
		return nil, err
	}
	if err := b.Upload(training.Targets, targets); err != nil {
		return nil, err
	}
	if err := training.Run(0); err != nil {
		return nil, err
	}
	logits := batch * arch.Classes
	values := make([]float32, logits+1+gradients.Len)
	if err := training.Logits(values[:logits]); err != nil {
		return nil, err
	}
	loss, err := training.Loss()
	if err != nil {
		return nil, err
	}
	values[logits] = float32(loss)
	return values, b.Download(values[logits+1:], gradients)
}
