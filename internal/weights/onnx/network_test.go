package onnx

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/checkpoint"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/scale"
)

// tiny is a small network with all that the large ones have.
func tiny() scale.Arch {
	return scale.Arch{
		Name: "tiny", Resolution: 32, Stem: 8, Head: 24, Classes: 5,
		Stages: []scale.Stage{
			{Block: scale.MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 8, Repeats: 2, SERatio: .25},
			{Block: scale.MBConv, Kernel: 5, Stride: 2, Expansion: 6, Channels: 16, Repeats: 2, SERatio: .25},
			{Block: scale.MBConv, Kernel: 3, Stride: 2, Expansion: 4, Channels: 24, Repeats: 2},
		},
		Activation: scale.Swish, Padding: scale.Same, BNEps: 1e-3, BNMomentum: .01,
	}
}

// mobileNet is MobileNetV1's blocks in small.
func mobileNet() scale.Arch {
	a := tiny()
	a.Name, a.Head, a.Activation = "mobilenet", 0, scale.ReLU6
	a.Stages = []scale.Stage{
		{Block: scale.Separable, Kernel: 3, Stride: 1, Expansion: 1, Channels: 16, Repeats: 2},
		{Block: scale.Separable, Kernel: 5, Stride: 2, Expansion: 1, Channels: 24, Repeats: 1},
	}
	return a
}

// mobileNetV3 is MobileNetV3's blocks in small.
func mobileNetV3() scale.Arch {
	a := tiny()
	a.Name, a.Activation, a.HeadPooled = "mobilenetv3", scale.HardSwish, true
	a.SE = scale.SE{OfInner: true, Activation: scale.ReLU, Gate: scale.HardSigmoid}
	a.Stages = []scale.Stage{
		{Block: scale.MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 8, Repeats: 1, SERatio: .25, Activation: scale.ReLU},
		{Block: scale.MBConv, Kernel: 3, Stride: 2, Expansion: 4.5, Channels: 16, Repeats: 1},
		{Block: scale.MBConv, Kernel: 5, Stride: 1, Expansion: 2.3, Channels: 16, Repeats: 1, SERatio: .25, Joined: true},
		{Block: scale.Fused, Kernel: 1, Stride: 1, Expansion: 1, Channels: 24, Repeats: 1},
	}
	return a
}

// resNet is ResNet's blocks in small.
func resNet() scale.Arch {
	a := tiny()
	a.Name, a.Head, a.Activation, a.StemKernel, a.StemPool = "resnet", 0, scale.ReLU, 7, true
	a.Stages = []scale.Stage{
		{Block: scale.Bottleneck, Kernel: 3, Stride: 1, Expansion: 4, Channels: 16, Repeats: 2},
		{Block: scale.Bottleneck, Kernel: 3, Stride: 2, Expansion: 2, Channels: 24, Repeats: 1},
	}
	return a
}

// changed is tiny or another network with something else.
func changed(a scale.Arch, change func(*scale.Arch)) scale.Arch {
	change(&a)
	return a
}

// network is an architecture with random weights, in our own implementation.
type network struct {
	meta    checkpoint.Meta
	tensors []named.Tensor
	net     *model.Network
	backend *cpu.Backend
}

func newNetwork(t *testing.T, arch scale.Arch) *network {
	t.Helper()
	b := cpu.NewWith(kernel.Available()[0], 2)
	t.Cleanup(func() { b.Close() })
	net, err := model.New(arch, b)
	if err != nil {
		t.Fatal(err)
	}
	n := &network{net: net, backend: b, meta: checkpoint.Meta{
		Arch: arch, Classes: make([]string, arch.Classes),
		Preprocess: checkpoint.Preprocess{Resolution: arch.Resolution, Mean: [3]float64{120, 115, 105}, Std: [3]float64{58, 57, 59}},
	}}
	tensors, err := net.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tensors {
		random(x.Name, x.Shape, x.Data, gains[arch.Activation])
		adjust(arch, x.Name, x.Data)
	}
	if err := net.Load(tensors); err != nil {
		t.Fatal(err)
	}
	n.tensors = tensors
	return n
}

// gains are of weights: with less, a deep network computes the same for every
// image, and with more, it multiplies rounding from block to block, as no trained
// network does.
var gains = map[scale.Activation]float64{scale.Swish: 2, scale.ReLU: 1.5, scale.ReLU6: 1.5, scale.HardSwish: 1.5}

// adjust makes blocks add less to their shortcuts the more there are in a stage,
// for the same reason, and lets some values of ReLU6 pass 6, and of hard-swish 3.
func adjust(arch scale.Arch, name string, data []float32) {
	factor := 1.
	var stage, index int
	if _, err := fmt.Sscanf(name, "blocks.%d.%d.bn3.weight", &stage, &index); err == nil && index > 0 {
		factor = 1 / float64(arch.Stages[stage].Repeats)
	}
	if name == "bn1.weight" && (arch.Activation == scale.ReLU6 || arch.Activation == scale.HardSwish) {
		factor = 5
	}
	for i := range data {
		data[i] *= float32(factor)
	}
}

// random fills a tensor; the scales are tools/golden/network.py's.
func random(name string, shape []int, data []float32, gain float64) {
	center, spread := 0., .2 // a normalisation's shift or running mean
	norm := strings.Contains(name, "bn") || strings.Contains(name, "downsample.1")
	switch {
	case norm && (strings.HasSuffix(name, ".weight") || strings.HasSuffix(name, ".running_var")):
		center, spread = 1, .3
	case !norm && strings.HasSuffix(name, ".bias"):
		spread = .1
	case !norm:
		spread = math.Sqrt(3 * gain * float64(shape[0]) / float64(len(data)))
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	r := rand.New(rand.NewPCG(1, h.Sum64()))
	for i := range data {
		data[i] = float32(center + spread*(2*r.Float64()-1))
	}
}

// images are random waves in colours with some noise, [N,R,R,3].
func images(batch, resolution int) []byte {
	r := rand.New(rand.NewPCG(2, uint64(batch)))
	pixels := make([]byte, 0, batch*resolution*resolution*3)
	for range batch {
		var waves [3][3]float64
		for c := range waves {
			waves[c] = [3]float64{20 * r.NormFloat64(), 20 * r.NormFloat64(), 7 * r.Float64()}
		}
		for i := range resolution * resolution * 3 {
			w, x, y := waves[i%3], float64(i/3%resolution)/float64(resolution), float64(i/3/resolution)/float64(resolution)
			pixels = append(pixels, byte(128+90*math.Sin(w[0]*x+w[1]*y+w[2])+30*(r.Float64()-.5)))
		}
	}
	return pixels
}

// normalised is pixels as the network wants them, [N,R,R,3].
func (n *network) normalised(pixels []byte) []float32 {
	x, p := make([]float32, len(pixels)), n.meta.Preprocess
	for i, v := range pixels {
		x[i] = float32((float64(v) - p.Mean[i%3]) / p.Std[i%3])
	}
	return x
}

// channelsFirst is [N,R,R,3] as [N,3,R,R].
func (n *network) channelsFirst(x []float32) []float32 {
	y, area := make([]float32, len(x)), n.meta.Arch.Resolution*n.meta.Arch.Resolution
	for i, v := range x {
		y[i/(3*area)*3*area+i%3*area+i/3%area] = v
	}
	return y
}

// logits are our own, [N,classes].
func (n *network) logits(t *testing.T, pixels []byte, batch int) []float32 {
	t.Helper()
	pass, err := n.net.Inference(batch)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.backend.Upload(pass.Images, n.normalised(pixels)); err != nil {
		t.Fatal(err)
	}
	if err := pass.Run(); err != nil {
		t.Fatal(err)
	}
	logits := make([]float32, batch*n.meta.Arch.Classes)
	if err := pass.Logits(logits); err != nil {
		t.Fatal(err)
	}
	return logits
}

func (n *network) export(t *testing.T, opt Options) []byte {
	t.Helper()
	var w bytes.Buffer
	if err := Write(&w, &n.meta, n.tensors, opt); err != nil {
		t.Fatal(err)
	}
	return w.Bytes()
}

// options are every kind of graph.
var options = map[string]Options{
	"folded": {}, "kept": {KeepBN: true}, "folded, pixels": {Preprocess: true}, "kept, pixels": {KeepBN: true, Preprocess: true},
}
