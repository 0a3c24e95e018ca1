package onnx

import (
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
	"effnet/internal/scale"
)

// A model that is read back and run by the operators' definitions gives our own
// logits.
func TestModelsComputeTheNetwork(t *testing.T) {
	archs := map[string]scale.Arch{
		"same":      tiny(),
		"odd":       changed(tiny(), func(a *scale.Arch) { a.Resolution = 37 }),
		"symmetric": changed(tiny(), func(a *scale.Arch) { a.Padding = scale.Symmetric }),
		"fused": changed(tiny(), func(a *scale.Arch) {
			for i := range a.Stages[:2] {
				a.Stages[i].Block, a.Stages[i].SERatio = scale.Fused, 0
			}
		}),
		"relu6":             changed(tiny(), func(a *scale.Arch) { a.Activation = scale.ReLU6 }),
		"mobilenet":         mobileNet(),
		"mobilenetv3":       mobileNetV3(),
		"resnet":            resNet(),
		"resnet, symmetric": changed(resNet(), func(a *scale.Arch) { a.Padding, a.Resolution = scale.Symmetric, 37 }),
	}
	for _, kind := range scale.BlockKinds() {
		archs[kind] = changed(tiny(), func(a *scale.Arch) {
			for i := range a.Stages {
				a.Stages[i].Block, a.Stages[i].Expansion, a.Stages[i].SERatio = kind, 1, 0
			}
		})
	}
	for name, arch := range archs {
		n := newNetwork(t, arch)
		pixels := images(2, arch.Resolution)
		want := n.logits(t, pixels, 2)
		for how, opt := range options {
			input, x := "input", array{[]int{2, 3, arch.Resolution, arch.Resolution}, nil}
			for _, v := range n.channelsFirst(n.normalised(pixels)) {
				x.v = append(x.v, float64(v))
			}
			if opt.Preprocess {
				input, x = "pixels", array{[]int{2, arch.Resolution, arch.Resolution, 3}, nil}
				for _, v := range pixels {
					x.v = append(x.v, float64(v))
				}
			}
			got := interpret(parse(n.export(t, opt)), input, x)["logits"]
			if !slices.Equal(got.dims, []int{2, arch.Classes}) {
				t.Fatalf("%s, %s: logits of shape %v", name, how, got.dims)
			}
			if e := difference(got.v, want); !(e < 3e-6) {
				t.Errorf("%s, %s: logits differ by %.2g of the largest: %.4v, want %.4v", name, how, e, got.v, want)
			}
		}
	}
}

// difference is the largest, over the largest value.
func difference(got []float64, want []float32) float64 {
	var most, largest float64
	for i := range want {
		most = math.Max(most, math.Abs(got[i]-float64(want[i])))
		largest = math.Max(largest, math.Abs(float64(want[i])))
	}
	return most / largest
}

// fusedTensors are a network's whose blocks are EfficientNetV2's: stem, one block
// that does not expand, one that does, head.
func fusedTensors() []named.Tensor {
	var all []named.Tensor
	add := func(name string, shape ...int) {
		x := newArray(shape...)
		data := make([]float32, len(x.v))
		random(name, shape, data, 2)
		all = append(all, named.Tensor{Name: name, Shape: shape, Data: data})
	}
	conv := func(conv, norm string, shape ...int) {
		add(conv+".weight", shape...)
		for _, part := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
			add(norm+part, shape[0])
		}
	}
	conv("conv_stem", "bn1", 4, 3, 3, 3)
	conv("blocks.0.0.conv", "blocks.0.0.bn1", 4, 4, 3, 3)
	conv("blocks.1.0.conv_exp", "blocks.1.0.bn1", 16, 4, 3, 3)
	conv("blocks.1.0.conv_pwl", "blocks.1.0.bn2", 6, 16, 1, 1)
	conv("conv_head", "bn2", 10, 6, 1, 1)
	add("classifier.weight", 5, 10)
	add("classifier.bias", 5)
	return all
}

// The fused blocks: a map's channels and size after each, and folding changes
// nothing.
func TestFusedBlocks(t *testing.T) {
	meta := &checkpoint.Meta{Arch: changed(tiny(), func(a *scale.Arch) {
		a.Resolution, a.Stem, a.Head = 10, 4, 10
		a.Stages = []scale.Stage{
			{Block: "fused", Kernel: 3, Stride: 1, Expansion: 1, Channels: 4, Repeats: 1},
			{Block: "fused", Kernel: 3, Stride: 2, Expansion: 4, Channels: 6, Repeats: 1},
		}
	})}
	x := newArray(1, 3, 10, 10)
	for i := range x.v {
		x.v[i] = math.Sin(float64(i))
	}
	values := map[bool]map[string]array{}
	for _, keep := range []bool{false, true} {
		var file strings.Builder
		if err := Write(&file, meta, fusedTensors(), Options{KeepBN: keep}); err != nil {
			t.Fatal(err)
		}
		values[keep] = interpret(parse([]byte(file.String())), "input", x)
	}
	for name, want := range map[string][]int{
		"blocks.0.0": {1, 4, 5, 5}, "blocks.1.0.conv_exp.swish": {1, 16, 3, 3}, "blocks.1.0.conv_pwl": {1, 6, 3, 3}, "logits": {1, 5},
	} {
		if got := values[false][name].dims; !slices.Equal(got, want) {
			t.Errorf("%s has shape %v, want %v", name, got, want)
		}
	}
	for i, v := range values[true]["logits"].v {
		if d := v - values[false]["logits"].v[i]; math.Abs(d) > 1e-5 {
			t.Errorf("logit %d differs by %g", i, d)
		}
	}
}

// What programs read of a model besides the graph.
func TestMetadata(t *testing.T) {
	n := newNetwork(t, tiny())
	n.meta.Classes = []string{"a", "b", "c", "é", "e"}
	m := parse(n.export(t, Options{Version: "v1"}))
	if got := m.numbers(modelIRVersion); !slices.Equal(got, []int{8}) {
		t.Errorf("IR version %v", got)
	}
	if got := m.messages(modelOpset); len(got) != 1 || !slices.Equal(got[0].numbers(opsetVersion), []int{17}) {
		t.Errorf("operators %v", got)
	}
	if m.text(modelProducer) != "effnet" || m.text(modelProducerVersion) != "v1" {
		t.Errorf("producer %q, %q", m.text(modelProducer), m.text(modelProducerVersion))
	}
	props := map[string]string{}
	for _, p := range m.messages(modelMetadata) {
		props[p.text(entryKey)] = p.text(entryValue)
	}
	for key, want := range map[string]string{
		"classes": `["a","b","c","é","e"]`, "preprocess": `"mean":[120,115,105]`, "arch": `"name":"tiny"`,
	} {
		if !strings.Contains(props[key], want) {
			t.Errorf("%s is %q, want %s in it", key, props[key], want)
		}
	}
	if len(props) != 3 {
		t.Errorf("metadata %v", props)
	}
}

func TestErrors(t *testing.T) {
	n := newNetwork(t, tiny())
	find := func(name string) int {
		return slices.IndexFunc(n.tensors, func(x named.Tensor) bool { return x.Name == name })
	}
	for want, change := range map[string]func([]named.Tensor) []named.Tensor{
		"tensor bn1.running_var is missing": func(all []named.Tensor) []named.Tensor {
			i := find("bn1.running_var")
			return slices.Delete(all, i, i+1)
		},
		"tensor other does not belong to the network": func(all []named.Tensor) []named.Tensor {
			return append(all, named.Tensor{Name: "other"})
		},
		"tensor bn1.bias appears twice": func(all []named.Tensor) []named.Tensor {
			return append(all, all[find("bn1.bias")])
		},
		"tensor classifier.bias has shape [3], want [5]": func(all []named.Tensor) []named.Tensor {
			all[find("classifier.bias")] = named.Tensor{Name: "classifier.bias", Shape: []int{3}, Data: make([]float32, 3)}
			return all
		},
	} {
		err := Write(io.Discard, &n.meta, change(slices.Clone(n.tensors)), Options{})
		if e := (*named.Mismatch)(nil); !errors.As(err, &e) || e.Reason != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	n.meta.Arch.Stages = slices.Clone(n.meta.Arch.Stages)
	n.meta.Arch.Stages[1].Block = "other"
	err := Write(io.Discard, &n.meta, n.tensors, Options{})
	if err == nil || !strings.Contains(err.Error(), `network "tiny": stage 2: block: "other" is unknown`) {
		t.Error(err)
	}
}

// Files of 2 GiB and more, which no reader takes, are refused before they are
// written.
func TestTooLarge(t *testing.T) {
	b := &builder{arch: tiny()}
	b.add(initializer{name: "w", dims: []int{1 << 20, 1 << 9}})
	var w strings.Builder
	err := b.write(&w, nil)
	if err == nil || !strings.Contains(err.Error(), "an ONNX file with its weights inside can have 2147483647") || w.Len() > 0 {
		t.Errorf("%v, %d bytes written", err, w.Len())
	}
}
