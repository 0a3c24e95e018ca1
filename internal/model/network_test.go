package model

import (
	"math"
	"slices"
	"strings"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/named"
	"effnet/internal/scale"
)

// tinyArch is a small network with all that the large ones have, and blocks
// with and without squeeze-and-excitation; it drops much.
func tinyArch() scale.Arch {
	return scale.Arch{
		Name: "tiny", Resolution: 33, Stem: 8, Head: 40, Classes: 7,
		Stages: []scale.Stage{
			{Block: scale.MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 8, Repeats: 2, SERatio: .25},
			{Block: scale.MBConv, Kernel: 5, Stride: 2, Expansion: 6, Channels: 16, Repeats: 3, SERatio: .25},
			{Block: scale.MBConv, Kernel: 3, Stride: 2, Expansion: 4, Channels: 24, Repeats: 2},
		},
		Activation: scale.Swish, Padding: scale.Same, Dropout: .4, StochasticDepth: .6, BNEps: 1e-3, BNMomentum: .01,
	}
}

// tinyMobileNet and tinyResNet are MobileNetV1's and ResNet's blocks in small; they
// drop much too.
func tinyMobileNet() scale.Arch {
	a := tinyArch()
	a.Name, a.Head, a.Activation = "tiny MobileNetV1", 0, scale.ReLU6
	a.Stages = []scale.Stage{
		{Block: scale.Separable, Kernel: 3, Stride: 1, Expansion: 1, Channels: 16, Repeats: 1},
		{Block: scale.Separable, Kernel: 5, Stride: 2, Expansion: 1, Channels: 24, Repeats: 2},
		{Block: scale.Separable, Kernel: 3, Stride: 2, Expansion: 1, Channels: 40, Repeats: 1},
	}
	return a
}

func tinyResNet() scale.Arch {
	a := tinyArch()
	a.Name, a.Head, a.Activation, a.StemKernel, a.StemPool = "tiny ResNet", 0, scale.ReLU, 7, true
	a.Stages = []scale.Stage{
		{Block: scale.Bottleneck, Kernel: 3, Stride: 1, Expansion: 4, Channels: 32, Repeats: 2},
		{Block: scale.Bottleneck, Kernel: 3, Stride: 2, Expansion: 2, Channels: 40, Repeats: 2},
		{Block: scale.Bottleneck, Kernel: 5, Stride: 2, Expansion: 1, Channels: 24, Repeats: 1},
	}
	return a
}

// tinyMobileNetV3 is MobileNetV3's blocks in small, with its head after the pooling.
func tinyMobileNetV3() scale.Arch {
	a := tinyArch()
	a.Name, a.Activation, a.HeadPooled = "tiny MobileNetV3", scale.HardSwish, true
	a.SE = scale.SE{OfInner: true, Activation: scale.ReLU, Gate: scale.HardSigmoid}
	a.Stages = []scale.Stage{
		{Block: scale.MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 8, Repeats: 1, SERatio: .25, Activation: scale.ReLU},
		{Block: scale.MBConv, Kernel: 5, Stride: 2, Expansion: 4.5, Channels: 16, Repeats: 1},
		{Block: scale.MBConv, Kernel: 3, Stride: 1, Expansion: 2.3, Channels: 16, Repeats: 2, SERatio: .25, Joined: true},
		{Block: scale.MBConv, Kernel: 3, Stride: 2, Expansion: 4, Channels: 24, Repeats: 2, SERatio: .25},
		{Block: scale.Fused, Kernel: 1, Stride: 1, Expansion: 1, Channels: 48, Repeats: 1},
	}
	return a
}

// tinyArchs have every kind of block.
func tinyArchs() []scale.Arch {
	return []scale.Arch{tinyArch(), tinyMobileNet(), tinyResNet(), tinyMobileNetV3()}
}

func newCPU(t *testing.T, threads int) *cpu.Backend {
	t.Helper()
	b := cpu.NewWith(kernel.Available()[0], threads)
	t.Cleanup(func() { b.Close() })
	return b
}

func initialised(t *testing.T, arch scale.Arch, b backend.Backend, seed uint64) *Network {
	t.Helper()
	n, err := New(arch, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Initialise(seed); err != nil {
		t.Fatal(err)
	}
	return n
}

func tensorsOf(t *testing.T, n *Network) []named.Tensor {
	t.Helper()
	all, err := n.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// gradientsOf are a training pass's gradients as Tensors has the parameters.
func gradientsOf(t *testing.T, train *Training) []named.Tensor {
	t.Helper()
	g := make([]float32, train.gradients.Len)
	if err := train.net.backend.Download(g, train.gradients); err != nil {
		t.Fatal(err)
	}
	var all []named.Tensor
	for _, p := range train.net.Params {
		data := make([]float32, p.Len())
		p.toTorch(data, g[p.Offset:])
		all = append(all, named.Tensor{Name: p.Name, Shape: p.TorchShape(), Data: data})
	}
	return all
}

func equalBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func variant(t *testing.T, name string) scale.Arch {
	t.Helper()
	arch, err := scale.Variant(name)
	if err != nil {
		t.Fatal(err)
	}
	return arch
}

// A fresh B0's tensors follow the reference's rule (tensorflow/tpu
// efficientnet_model.py), here worked out from PyTorch's shapes: convolutions
// normal with variance 2/(area*out), depthwise ones 2/area, the classifier
// uniform within 1/sqrt(classes).
func TestInitialise(t *testing.T) {
	n := initialised(t, variant(t, "b0"), newCPU(t, 1), 1)
	for _, x := range tensorsOf(t, n) {
		constant := float32(math.NaN())
		var std float64
		switch {
		case x.Name == "classifier.weight":
			limit := 1 / math.Sqrt(1000)
			std = limit / math.Sqrt(3)
			if low, high := float64(slices.Min(x.Data)), float64(slices.Max(x.Data)); low < -limit || high > limit || high < .99*limit || low > -.99*limit {
				t.Errorf("%s lies in %g...%g, want within %g", x.Name, low, high, limit)
			}
		case strings.HasSuffix(x.Name, "conv_dw.weight"):
			std = math.Sqrt(2 / float64(x.Shape[2]*x.Shape[3]))
		case len(x.Shape) == 4:
			std = math.Sqrt(2 / float64(x.Shape[0]*x.Shape[2]*x.Shape[3]))
		case strings.HasSuffix(x.Name, ".bias"), strings.HasSuffix(x.Name, ".running_mean"):
			constant = 0
		case strings.Contains(x.Name, "bn") && (strings.HasSuffix(x.Name, ".weight") || strings.HasSuffix(x.Name, ".running_var")):
			constant = 1
		default:
			t.Errorf("%s: no rule for it", x.Name)
		}
		if std == 0 {
			if slices.ContainsFunc(x.Data, func(v float32) bool { return v != constant }) {
				t.Errorf("%s is not %g everywhere", x.Name, constant)
			}
			continue
		}
		var sum, squares float64
		for _, v := range x.Data {
			sum, squares = sum+float64(v), squares+float64(v)*float64(v)
		}
		count := float64(len(x.Data))
		mean, got := sum/count, math.Sqrt(squares/count)
		// Five standard errors of a normal sample, which 80 tensors keep within.
		if math.Abs(mean) > 5*std/math.Sqrt(count) || math.Abs(got/std-1) > 5/math.Sqrt(2*count) {
			t.Errorf("%s %v: mean %.3g, std %.4g, want 0 and %.4g", x.Name, x.Shape, mean, got, std)
		}
	}
}

func TestInitialiseIsSeeded(t *testing.T) {
	b := newCPU(t, 1)
	first, again := tensorsOf(t, initialised(t, tinyArch(), b, 1)), tensorsOf(t, initialised(t, tinyArch(), b, 1))
	other := tensorsOf(t, initialised(t, tinyArch(), b, 2))
	drawn := map[float32]string{} // first values: no two tensors share a stream
	for i, x := range first {
		if !equalBits(x.Data, again[i].Data) {
			t.Errorf("%s differs between two networks of one seed", x.Name)
		}
		if len(x.Shape) == 1 {
			continue // constant
		}
		if equalBits(x.Data, other[i].Data) {
			t.Errorf("%s is the same for another seed", x.Name)
		}
		if twin, ok := drawn[x.Data[0]]; ok && len(x.Data) > 1 {
			t.Errorf("%s begins like %s", x.Name, twin)
		}
		drawn[x.Data[0]] = x.Name
	}
	// A head of another size leaves the other tensors as they were.
	arch := tinyArch()
	arch.Classes = 9
	for i, x := range tensorsOf(t, initialised(t, arch, b, 1)) {
		if !strings.HasPrefix(x.Name, "classifier.") && !equalBits(x.Data, first[i].Data) {
			t.Errorf("%s depends on the number of classes", x.Name)
		}
	}
}

// counting gives every tensor values of its own, as a file would.
func counting(tensors []named.Tensor) []named.Tensor {
	next := float32(0)
	for i := range tensors {
		data := make([]float32, len(tensors[i].Data))
		for j := range data {
			next++
			data[j] = next
		}
		tensors[i].Data = data
	}
	return tensors
}

func TestLoadRoundTrip(t *testing.T) {
	n := initialised(t, tinyArch(), newCPU(t, 1), 1)
	want := counting(tensorsOf(t, n))
	shuffled := slices.Clone(want)
	slices.Reverse(shuffled) // the order is the file's
	if err := n.Load(shuffled); err != nil {
		t.Fatal(err)
	}
	got := tensorsOf(t, n)
	for i, x := range want {
		if got[i].Name != x.Name || !slices.Equal(got[i].Shape, x.Shape) || !equalBits(got[i].Data, x.Data) {
			t.Errorf("%s %v came back as %s %v or with other values", x.Name, x.Shape, got[i].Name, got[i].Shape)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	n := initialised(t, tinyArch(), newCPU(t, 1), 1)
	before := tensorsOf(t, n)
	at := func(all []named.Tensor, name string) int {
		return slices.IndexFunc(all, func(x named.Tensor) bool { return x.Name == name })
	}
	const weight, mean = "blocks.1.0.conv_dw.weight", "bn1.running_mean"
	for _, c := range []struct {
		name, want string
		change     func(all []named.Tensor) []named.Tensor
	}{
		{"missing parameter", weight + " is missing", func(all []named.Tensor) []named.Tensor { i := at(all, weight); return slices.Delete(all, i, i+1) }},
		{"missing statistics", mean + " is missing", func(all []named.Tensor) []named.Tensor { i := at(all, mean); return slices.Delete(all, i, i+1) }},
		{"transposed", weight + " has shape [5 5 1 48], want [48 1 5 5]", func(all []named.Tensor) []named.Tensor {
			all[at(all, weight)].Shape = []int{5, 5, 1, 48}
			return all
		}},
		{"other classes", "classifier.weight has shape [8 40], want [7 40]", func(all []named.Tensor) []named.Tensor {
			i := at(all, "classifier.weight")
			all[i].Shape, all[i].Data = []int{8, 40}, make([]float32, 320)
			return all
		}},
		{"wrong statistics", mean + " has shape [9], want [8]", func(all []named.Tensor) []named.Tensor {
			i := at(all, mean)
			all[i].Shape, all[i].Data = []int{9}, make([]float32, 9)
			return all
		}},
		{"too few values", weight + " has 3 values", func(all []named.Tensor) []named.Tensor {
			i := at(all, weight)
			all[i].Data = all[i].Data[:3]
			return all
		}},
		{"extra", "blocks.9.9.conv_dw.weight does not belong", func(all []named.Tensor) []named.Tensor {
			return append(all, named.Tensor{Name: "blocks.9.9.conv_dw.weight", Shape: []int{1}, Data: []float32{1}})
		}},
		{"twice", "bn1.weight appears twice", func(all []named.Tensor) []named.Tensor { return append(all, all[at(all, "bn1.weight")]) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := n.Load(c.change(counting(tensorsOf(t, n))))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			for i, x := range tensorsOf(t, n) {
				if !equalBits(x.Data, before[i].Data) {
					t.Errorf("%s changed all the same", x.Name)
				}
			}
		})
	}
}

// A fresh B0 has the tensors of timm's, by name and shape.
func TestNamesOfB0(t *testing.T) {
	want := map[string][]int{}
	for _, x := range readGolden(t, "testdata/b0_same.json").Tensors {
		if !strings.HasSuffix(x.Name, "num_batches_tracked") {
			want[x.Name] = x.Shape
		}
	}
	n, err := New(variant(t, "b0"), newCPU(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	got := tensorsOf(t, n)
	seen := map[string]bool{}
	for _, x := range got {
		if shape, ok := want[x.Name]; !ok || !slices.Equal(shape, x.Shape) {
			t.Errorf("%s has shape %v, want %v", x.Name, x.Shape, shape)
		}
		if seen[x.Name] {
			t.Errorf("%s appears twice", x.Name)
		}
		seen[x.Name] = true
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

// ResNet's layers: torchvision's names within a block, and no head.
func TestNamesOfResNet(t *testing.T) {
	shapes := map[string][]int{}
	for _, x := range tinyResNet().Tensors() {
		shapes[x.Name()] = x.Shape
		if strings.HasPrefix(x.Name(), "conv_head") || strings.HasPrefix(x.Name(), "bn2") {
			t.Errorf("there is a %s", x.Name())
		}
	}
	for name, want := range map[string][]int{
		"conv_stem.weight": {8, 3, 7, 7}, "blocks.0.0.conv1.weight": {8, 8, 1, 1}, "blocks.0.0.conv2.weight": {8, 8, 3, 3},
		"blocks.0.0.conv3.weight": {32, 8, 1, 1}, "blocks.0.0.bn3.running_var": {32}, "blocks.0.0.downsample.0.weight": {32, 8, 1, 1},
		"blocks.0.0.downsample.1.bias": {32}, "blocks.0.1.conv1.weight": {8, 32, 1, 1}, "blocks.0.1.downsample.0.weight": nil,
		"blocks.1.0.conv2.weight": {20, 20, 3, 3}, "blocks.1.0.downsample.1.running_mean": {40}, "classifier.weight": {7, 24},
	} {
		if !slices.Equal(shapes[name], want) {
			t.Errorf("%s has the shape %v, want %v", name, shapes[name], want)
		}
	}
}

// Every gradient is written where it is kept.
func TestNoGradientIsCopied(t *testing.T) {
	for _, arch := range tinyArchs() {
		n, err := New(arch, newCPU(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		training, err := n.Training(2, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range training.Listed() {
			if _, copies := l.Spec.(backend.Copy); copies {
				t.Errorf("%s: %s of %s is copied", arch.Name, l.Op, l.Layer)
			}
		}
	}
}

// What the scale package counts is what gets built.
func TestParameterCount(t *testing.T) {
	archs := tinyArchs()
	for _, name := range []string{"b0", "b1", "lite0"} {
		archs = append(archs, variant(t, name))
	}
	for _, arch := range archs {
		n, err := New(arch, newCPU(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		// The buffer has those that decay, then the others, each on a line, but for a scale,
		// which is right behind its shift.
		values, used := 0, make([]bool, n.Weights.Len)
		for _, p := range n.Params {
			values += p.Len()
			if p.Kind == Scale {
				if shift := n.param(p.Layer.Name + ".bias"); p.Offset != shift.Offset+shift.Len() {
					t.Errorf("%s: %s begins at %d, its shift at %d", arch.Name, p.Name, p.Offset, shift.Offset)
				}
			} else if p.Offset%16 != 0 {
				t.Errorf("%s: %s begins at %d", arch.Name, p.Name, p.Offset)
			}
			if p.Decayed() != (p.Offset < n.Decayed) || p.Decayed() != (p.Offset+p.Len() <= n.Decayed) {
				t.Errorf("%s: %s lies at %d, %d values decay", arch.Name, p.Name, p.Offset, n.Decayed)
			}
			for i := p.Offset; i < p.Offset+p.Len(); i++ {
				if used[i] {
					t.Fatalf("%s: %s overlaps another", arch.Name, p.Name)
				}
				used[i] = true
			}
		}
		if want := scale.Count(arch).Params; values != int(want) || n.Weights.Len > values+15*len(n.Params) {
			t.Errorf("%s: %d values in the room of %d, want %d", arch.Name, values, n.Weights.Len, want)
		}
	}
}

// toTorch and fromTorch undo one another, and a dense kernel's index moves as
// the shapes say.
func TestTorchLayout(t *testing.T) {
	p := Param{Kind: Conv, Shape: []int{2, 2, 3, 4}}
	ours, torch, back := make([]float32, 48), make([]float32, 48), make([]float32, 48)
	for i := range ours {
		ours[i] = float32(i)
	}
	p.toTorch(torch, ours)
	for o := range 4 {
		for i := range 3 {
			for h := range 2 {
				for w := range 2 {
					if got, want := torch[((o*3+i)*2+h)*2+w], ours[((h*2+w)*3+i)*4+o]; got != want {
						t.Errorf("[%d,%d,%d,%d] is %g, want %g", o, i, h, w, got, want)
					}
				}
			}
		}
	}
	p.fromTorch(back, torch)
	if !slices.Equal(back, ours) {
		t.Errorf("came back as %v", back)
	}
}
