package weights

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
	"effnet/internal/scale"
	"effnet/internal/weights/names"
)

// readNames is tools/golden/weights.py's output: names by program and variant.
func readNames(t *testing.T) (names map[string]map[string][]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/names.json")
	if err == nil {
		err = json.Unmarshal(text, &names)
	}
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// programFile is a network by the names of a program and in its framework's
// layouts, whose tensor number i of order, timm's names, holds i and nothing else.
func programFile(t *testing.T, variant string, order, names []string, torch bool) *file {
	t.Helper()
	arch, err := scale.Variant(variant)
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int{}
	for _, x := range arch.Tensors() {
		shapes[x.Name()] = x.Shape
	}
	f := &file{path: "some.file", format: "a test"}
	for i, name := range order {
		shape := slices.Clone(shapes[name])
		n := 1
		for _, d := range shape {
			n *= d
		}
		if strings.HasPrefix(names[i], "classifier.") { // torchvision's MobileNetV3 has its head there
			shape = shape[:min(2, len(shape))]
		}
		if !torch {
			switch {
			case len(shape) == 2:
				slices.Reverse(shape)
			case strings.Contains(name, "conv_dw"):
				shape = []int{shape[2], shape[3], shape[0], shape[1]}
			case len(shape) == 4:
				shape = []int{shape[2], shape[3], shape[1], shape[0]}
			}
		}
		f.tensors = append(f.tensors, named.Tensor{Name: names[i], Shape: shape, Data: slices.Repeat([]float32{float32(i)}, n)})
	}
	return f
}

// Every program's names lead to timm's.
func TestNames(t *testing.T) {
	names := readNames(t)
	for program, variants := range names {
		for variant, theirs := range variants {
			order := names["timm"][variant]
			m, err := identify(programFile(t, variant, order, theirs, program != "Keras"), Overrides{})
			if err != nil {
				t.Fatalf("%s %s: %v", program, variant, err)
			}
			if m.Meta.Arch.Name != variant || len(m.Unused) > 0 || len(m.Tensors) != len(order) {
				t.Errorf("%s %s: %s of %d tensors, unused %v", program, variant, m.Meta.Arch.Name, len(m.Tensors), m.Unused)
			}
			for _, x := range m.Tensors {
				if i := slices.Index(order, x.Name); x.Data[0] != float32(i) || x.Data[len(x.Data)-1] != float32(i) {
					t.Errorf("%s %s: %s is tensor %v, %s; want %s", program, variant, x.Name, x.Data[0], theirs[int(x.Data[0])], theirs[i])
				}
			}
		}
	}
}

// A network by timm's names is known as what it is, though others share its stem.
func TestEveryNetworkIsKnown(t *testing.T) {
	for _, v := range scale.Variants() {
		a, err := v.Arch()
		if err != nil {
			t.Fatal(err)
		}
		if scale.Count(a).Params > 30e6 { // as much memory
			continue
		}
		f := bareFile(t, v.Name)
		if m, err := identify(f, Overrides{}); err != nil || m.Meta.Arch.Name != v.Name || len(m.Unused) > 0 {
			t.Errorf("%s: known as %s, unused %v, %v", v.Name, m.Meta.Arch.Name, m.Unused, err)
		}
	}
}

// bareFile is a network by timm's names, of ones.
func bareFile(t *testing.T, variant string) *file {
	t.Helper()
	a, err := scale.Variant(variant)
	if err != nil {
		t.Fatal(err)
	}
	f := &file{path: "some.file", format: "a test"}
	for _, x := range a.Tensors() {
		n := 1
		for _, d := range x.Shape {
			n *= d
		}
		f.tensors = append(f.tensors, named.Tensor{Name: x.Name(), Shape: x.Shape, Data: slices.Repeat([]float32{1}, n)})
	}
	return f
}

// What the file does not hold comes from the program's conventions.
func TestConventions(t *testing.T) {
	names := readNames(t)
	for _, c := range []struct {
		program, variant, path string
		padding                scale.Padding
		eps                    float64
		resolution             int
		crop                   string
		pct, mean              float64
		sure                   bool // of the padding
	}{
		{"torchvision", "b0", "x.pth", scale.Symmetric, 1e-5, 224, "torchvision", .875, 123.675, true},
		{"torchvision", "mnasnet-b1", "x.pth", scale.Symmetric, 1e-5, 224, "torchvision", .875, 123.675, true},
		{"timm", "mnasnet-b1", "model.safetensors", scale.Symmetric, 1e-5, 224, "timm", .875, 123.675, true},
		{"timm", "mobilenetv3-large", "model.safetensors", scale.Symmetric, 1e-5, 224, "timm", .875, 123.675, false},
		{"timm", "mobilenetv3-small", "tf_mobilenetv3_small_100.safetensors", scale.Same, 1e-3, 224, "timm", .875, 127.5, true},
		{"torchvision", "mobilenetv3-large", "x.pth", scale.Symmetric, 1e-3, 224, "torchvision", .875, 123.675, true},
		{"torchvision", "mobilenetv3-small", "x.pth", scale.Symmetric, 1e-3, 224, "torchvision", .875, 123.675, true},
		{"torchvision", "v2-s", "x.pth", scale.Symmetric, 1e-3, 384, "torchvision", 1, 123.675, true},
		{"timm", "b0", "tf_efficientnet_b0.safetensors", scale.Same, 1e-3, 224, "timm", .875, 123.675, true},
		{"timm", "b0", "efficientnet_b0.pth", scale.Symmetric, 1e-5, 224, "timm", .875, 123.675, false},
		{"timm", "b0", "best.safetensors", scale.Same, 1e-3, 224, "timm", .875, 123.675, false},
		{"timm", "v2-s", "tf_efficientnetv2_s.safetensors", scale.Same, 1e-3, 384, "timm", 1, 127.5, true},
		{"lukemelas", "b0", "x.pth", scale.Same, 1e-3, 224, "tf", .875, 123.675, true},
		{"Keras", "b0", "x.h5", scale.Same, 1e-3, 224, "tf", .875, 123.675, true},
		{"Keras", "v2-s", "x.h5", scale.Same, 1e-3, 384, "tf", .875, 128, true},
	} {
		f := programFile(t, c.variant, names["timm"][c.variant], names[c.program][c.variant], c.program != "Keras")
		f.path = filepath.Join(t.TempDir(), c.path)
		m, err := identify(f, Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		a, p := m.Meta.Arch, m.Meta.Preprocess
		i := slices.IndexFunc(m.Findings, func(f Finding) bool { return f.Setting == "padding" })
		if a.Padding != c.padding || a.BNEps != c.eps || p.Resolution != c.resolution || a.Resolution != c.resolution ||
			p.Crop != c.crop || math.Abs(p.CropPct-c.pct) > 1e-9 || p.Mean[0] != c.mean || m.Findings[i].Sure != c.sure {
			t.Errorf("%s %s %s: %+v, %+v, %+v", c.program, c.variant, c.path, a, p, m.Findings[i])
		}
		if m.Meta.Classes[207] != "n02099601" || m.Meta.Labels[207] != "golden retriever" {
			t.Errorf("class 207 is %s, %s", m.Meta.Classes[207], m.Meta.Labels[207])
		}
	}
}

// A config.json of the Hub next to timm's file is believed.
func TestHub(t *testing.T) {
	dir := t.TempDir()
	const hub = `{"architecture":"efficientnet_b0","pretrained_cfg":{"input_size":[3,224,224],"test_input_size":[3,256,256],
		"crop_pct":0.9,"test_crop_pct":1.0,"interpolation":"bicubic","mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5]}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(hub), 0o600); err != nil {
		t.Fatal(err)
	}
	names := readNames(t)["timm"]["b0"]
	f := programFile(t, "b0", names, names, true)
	f.path = filepath.Join(dir, "model.safetensors")
	m, err := identify(f, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	a, p := m.Meta.Arch, m.Meta.Preprocess
	if a.Padding != scale.Symmetric || a.BNEps != 1e-5 || p.Resolution != 256 || p.CropPct != 1 || p.Mean[1] != 127.5 {
		t.Errorf("%+v, %+v", a, p)
	}
	if i := slices.IndexFunc(m.Findings, func(f Finding) bool { return !f.Sure }); i >= 0 {
		t.Errorf("not sure of %+v", m.Findings[i])
	}
}

// A TensorFlow checkpoint: its scope goes, averages win, and what training keeps
// beside them is reported.
func TestTensorFlowNames(t *testing.T) {
	order := readNames(t)["timm"]["b0"]
	theirs := make([]string, len(order))
	arch, err := scale.Variant("b0")
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]string{}
	for _, x := range arch.Tensors() {
		called[x.Name()] = names.TPU.Of(arch, x)[0]
	}
	for i, name := range order {
		theirs[i] = "efficientnet-b0/" + called[name]
	}
	// Some as the released checkpoints have them.
	for _, want := range []string{"stem/conv2d/kernel", "stem/tpu_batch_normalization/moving_variance", "blocks_0/depthwise_conv2d/depthwise_kernel",
		"blocks_0/conv2d/kernel", "blocks_0/tpu_batch_normalization_1/gamma", "blocks_1/conv2d/kernel", "blocks_1/tpu_batch_normalization_2/beta",
		"blocks_15/se/conv2d_1/bias", "blocks_15/conv2d_1/kernel", "head/conv2d/kernel", "head/dense/bias"} {
		if !slices.Contains(theirs, "efficientnet-b0/"+want) {
			t.Errorf("no tensor is called %s", want)
		}
	}
	f := programFile(t, "b0", order, theirs, false)
	for _, x := range slices.Clone(f.tensors) {
		x.Name += "/ExponentialMovingAverage"
		x.Data = slices.Repeat([]float32{x.Data[0] + 1000}, len(x.Data))
		f.tensors = append(f.tensors, x)
	}
	slot := theirs[3] + "/RMSProp_1" // of an optimizer
	f.tensors = append(f.tensors, named.Tensor{Name: "global_step", Shape: []int{}, Data: []float32{1}}, named.Tensor{Name: slot, Shape: []int{1}, Data: []float32{1}})
	m, err := identify(f, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range m.Tensors {
		if want := float32(slices.Index(order, x.Name) + 1000); x.Data[0] != want {
			t.Errorf("%s is %v, want the average %v", x.Name, x.Data[0], want)
		}
	}
	if !slices.Equal(m.Unused, []string{slot, "global_step"}) {
		t.Errorf("unused: %v", m.Unused)
	}
}

func TestTranspose(t *testing.T) {
	// [K,K,In,Out] = [1,2,3,2] to [Out,In,K,K]: element (o,i,0,k) is (0,k,i,o).
	src := make([]float32, 12)
	for i := range src {
		src[i] = float32(i)
	}
	got := transpose(src, []int{2, 3, 1, 2}, []int{2, 3, 1, 0})
	for o := range 2 {
		for i := range 3 {
			for k := range 2 {
				if want := float32(k*6 + i*2 + o); got[(o*3+i)*2+k] != want {
					t.Errorf("(%d,%d,0,%d) is %v, want %v", o, i, k, got[(o*3+i)*2+k], want)
				}
			}
		}
	}
}

func TestWrongFiles(t *testing.T) {
	names := readNames(t)["timm"]["b0"]
	good := func() *file { return programFile(t, "b0", names, names, true) }
	for _, c := range []struct {
		name   string
		change func(f *file, o *Overrides)
		want   string
	}{
		{"another family", func(f *file, _ *Overrides) {
			f.tensors = []named.Tensor{{Name: "layer1.0.conv1.weight", Shape: []int{1}, Data: []float32{1}}}
		}, `none of its 1 tensors ("layer1.0.conv1.weight" ...) is a stem`},
		{"nothing", func(f *file, _ *Overrides) { f.tensors = nil }, "0 tensors"},
		{"a part is missing", func(f *file, _ *Overrides) { f.tensors = slices.Delete(f.tensors, 20, 21) }, "lacks blocks.1.0.bn1.weight, which b0 has"},
		{"no classifier", func(f *file, _ *Overrides) { f.tensors = without(f.tensors, "classifier.") }, "has no classifier"},
		{"another width", func(f *file, _ *Overrides) { f.tensors[10].Shape = []int{9, 32, 1, 1} }, "has the shape [9 32 1 1], where b0 wants"},
		{"another variant", func(_ *file, o *Overrides) { o.Variant = "b1" }, "lacks blocks.0.1.conv_dw.weight, which b1 has"},
		{"classes", func(_ *file, o *Overrides) { o.Classes = []string{"a", "b"} }, "has 1000 classes, and 2 names were given"},
		{"NaN", func(f *file, _ *Overrides) { f.tensors[5].Data[3] = float32(math.NaN()) }, "has the value NaN at place 3"},
		{"infinite", func(f *file, _ *Overrides) { f.tensors[5].Data[3] = float32(math.Inf(-1)) }, "has the value -Inf at place 3"},
	} {
		f, o := good(), Overrides{}
		c.change(f, &o)
		m, err := identify(f, o)
		if err == nil {
			err = finish("some.file", m, o)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	var e *checkpoint.Error
	if _, err := Open("missing.pth", Overrides{}); !errors.As(err, &e) || e.Path != "missing.pth" {
		t.Errorf("a missing file: %v", err)
	}
}

// without are the tensors whose names do not begin so.
func without(tensors []named.Tensor, prefix string) []named.Tensor {
	return slices.DeleteFunc(slices.Clone(tensors), func(t named.Tensor) bool { return strings.HasPrefix(t.Name, prefix) })
}
