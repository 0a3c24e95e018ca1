package onnx

import (
	"bytes"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/checkpoint"
	"effnet/internal/model"
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

// changed is tiny or another network with something else.
func changed(a scale.Arch, change func(*scale.Arch)) scale.Arch {
	change(&a)
	return a
}

// network is an architecture with the weights that random gives, in our own
// implementation.
type network struct {
	meta    checkpoint.Meta
	tensors []checkpoint.Tensor
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
	tensors, err := net.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	n := &network{net: net, backend: b, meta: checkpoint.Meta{
		Arch: arch, Classes: make([]string, arch.Classes),
		Preprocess: checkpoint.Preprocess{Resolution: arch.Resolution, Mean: [3]float64{120, 115, 105}, Std: [3]float64{58, 57, 59}},
	}}
	for _, x := range tensors {
		random(x.Name, x.Shape, x.Data)
		n.tensors = append(n.tensors, checkpoint.Tensor(x))
	}
	if err := net.Load(tensors); err != nil {
		t.Fatal(err)
	}
	return n
}

// random fills a tensor so that logits are about 1 and differ from image to image:
// the centres and scales are tools/golden/network.py's.
func random(name string, shape []int, data []float32) {
	center, spread := 0., .2 // a normalisation's shift or running mean
	norm := strings.Contains(name, "bn")
	switch {
	case norm && (strings.HasSuffix(name, ".weight") || strings.HasSuffix(name, ".running_var")):
		center, spread = 1, .3
	case !norm && strings.HasSuffix(name, ".bias"):
		spread = .1
	case !norm:
		spread = math.Sqrt(3 * 2.4 * float64(shape[0]) / float64(len(data)))
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	r := rand.New(rand.NewPCG(1, h.Sum64()))
	for i := range data {
		data[i] = float32(center + spread*(2*r.Float64()-1))
	}
}

// images are random pixels, [N,R,R,3].
func (n *network) images(batch int) []byte {
	r := rand.New(rand.NewPCG(2, uint64(batch)))
	pixels := make([]byte, batch*n.meta.Arch.Resolution*n.meta.Arch.Resolution*3)
	for i := range pixels {
		pixels[i] = byte(r.IntN(256))
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
