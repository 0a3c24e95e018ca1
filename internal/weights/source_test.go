package weights

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/named"
	"effnet/internal/weights/keras"
)

// lite0 is a file of a small network with timm's names.
func lite0(t *testing.T) *file {
	t.Helper()
	return bareFile(t, "lite0")
}

func tensor(name string, shape ...int) named.Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return named.Tensor{Name: name, Shape: shape, Data: slices.Repeat([]float32{0.5}, n)}
}

func finding(m *Imported, setting string) Finding {
	if i := slices.IndexFunc(m.Findings, func(f Finding) bool { return f.Setting == setting }); i >= 0 {
		return m.Findings[i]
	}
	return Finding{}
}

// What takes part in the computation is refused by name, what training keeps is not.
func TestLeftOver(t *testing.T) {
	for name, c := range map[string]struct {
		extra []named.Tensor
		want  string // "" where the network is taken
	}{
		"hidden layer on top": {[]named.Tensor{tensor("fc.weight", 5, 1000)}, "fc.weight"},
		"hidden layer":        {[]named.Tensor{tensor("head.weight", 1280, 1280)}, "head.weight"},
		"normalisation":       {[]named.Tensor{tensor("head.norm.weight", 1280)}, "head.norm.weight"},
		"running statistics":  {[]named.Tensor{tensor("bn.running_mean", 1280)}, "bn.running_mean"},
		"bias":                {[]named.Tensor{tensor("conv_stem.bias", 32)}, "conv_stem.bias"},
		"attention":           {[]named.Tensor{tensor("attn.qkv.weight", 3, 8)}, "attn.qkv.weight"},
		"a block more":        {[]named.Tensor{tensor("blocks.6.1.conv_dw.weight", 320, 1, 3, 3)}, "blocks.6.1.conv_dw.weight"},
		"a temperature":       {[]named.Tensor{tensor("temperature", 1)}, "temperature"},
		"image statistics":    {[]named.Tensor{tensor("mean", 1, 3, 1, 1)}, "mean"},
		"averages of another": {[]named.Tensor{tensor("ema.fc.weight", 5, 1000)}, "ema.fc.weight"},

		"counters": {[]named.Tensor{tensor("bn1.num_batches_tracked"), tensor("n_averaged"), tensor("global_step"), tensor("total_ops", 1)}, ""},
		"training": {[]named.Tensor{tensor("optimizer.state.0.momentum", 7), tensor("criterion.weight", 1000), tensor("loss.W", 3, 1280)}, ""},
		"slots":    {[]named.Tensor{tensor("conv_stem.weight/RMSProp_1", 32, 3, 3, 3)}, ""},
	} {
		f := lite0(t)
		f.tensors = append(f.tensors, c.extra...)
		m, err := identify(f, Overrides{})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "" && len(m.Unused) != len(c.extra):
			t.Errorf("%s: unused %v", name, m.Unused)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v; want an error that names %s", name, err, c.want)
		}
	}
}

// One prefix comes off, whatever it is.
func TestPrefixes(t *testing.T) {
	for _, prefix := range []string{"module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.", "module._orig_mod.", "a/b/"} {
		f := lite0(t)
		for i := range f.tensors {
			f.tensors[i].Name = prefix + f.tensors[i].Name
		}
		m, err := identify(f, Overrides{})
		if err != nil || len(m.Unused) > 0 || !strings.Contains(finding(m, "names").Because, prefix) {
			t.Errorf("%s: %v", prefix, err)
		}
		f.tensors = append(f.tensors, tensor("neck.weight", 3))
		if _, err = identify(f, Overrides{}); err == nil || !strings.Contains(err.Error(), "neck.weight") {
			t.Errorf("%s and a layer outside: %v", prefix, err)
		}
	}
	f := &file{path: "x"}
	for _, prefix := range []string{"student.", "teacher."} {
		for _, x := range lite0(t).tensors {
			f.tensors = append(f.tensors, named.Tensor{Name: prefix + x.Name, Shape: x.Shape, Data: x.Data})
		}
	}
	if _, err := identify(f, Overrides{}); err == nil || !strings.Contains(err.Error(), `"student." and with "teacher."`) {
		t.Errorf("two networks: %v", err)
	}
}

// The dense layer after the pooling is the classifier.
func TestHeads(t *testing.T) {
	for _, c := range []struct{ weight, bias string }{
		{"pred.weight", "pred.bias"}, {"dense.weight", ""}, {"probs.weight", "probs.bias"}, {"classifier.1.weight", "classifier.1.bias"},
		{"fc.weight", "fc.bias"}, {"head.fc.weight", ""}, {"classifier.weight", ""},
	} {
		f := lite0(t)
		f.tensors = append(without(f.tensors, "classifier."), tensor(c.weight, 7, 1280))
		want := float32(0)
		if c.bias != "" {
			f.tensors, want = append(f.tensors, tensor(c.bias, 7)), 0.5
		}
		m, err := identify(f, Overrides{})
		if err != nil {
			t.Errorf("%s: %v", c.weight, err)
			continue
		}
		i := slices.IndexFunc(m.Tensors, func(x named.Tensor) bool { return x.Name == "classifier.bias" })
		if m.Meta.Arch.Classes != 7 || m.Tensors[i].Data[6] != want || (c.bias == "") != strings.HasSuffix(finding(m, "classifier").Because, "zeros") {
			t.Errorf("%s: %d classes, bias %v, %+v", c.weight, m.Meta.Arch.Classes, m.Tensors[i].Data, finding(m, "classifier"))
		}
	}
	f := lite0(t)
	f.tensors = append(without(f.tensors, "classifier."), tensor("head.0.weight", 1280, 1280), tensor("head.2.weight", 7, 1280))
	if _, err := identify(f, Overrides{}); err == nil || !strings.Contains(err.Error(), "head.0.weight and head.2.weight") {
		t.Errorf("two layers: %v", err)
	}
	f.tensors = without(f.tensors, "head.")
	if _, err := identify(f, Overrides{}); err == nil || !strings.Contains(err.Error(), "has no classifier") {
		t.Errorf("no classifier: %v", err)
	}
	if m, err := identify(f, Overrides{Headless: true}); err != nil || !m.Headless || finish("x", m, Overrides{}) != nil {
		t.Errorf("no classifier, which is allowed: %v", err)
	}
	f = lite0(t)
	f.tensors = append(without(f.tensors, "classifier."), tensor("classifier.weight", 1, 1280))
	if _, err := identify(f, Overrides{}); err == nil || !strings.Contains(err.Error(), "a classifier of one output") {
		t.Errorf("one output: %v", err)
	}
	if m, err := identify(f, Overrides{Headless: true}); err != nil || m.Meta.Arch.Classes != 1 {
		t.Errorf("one output, which is allowed: %v", err)
	}
}

// Of weights and averages the averages are taken, unless the weights are asked for.
func TestAverages(t *testing.T) {
	f := &file{path: "x", format: "a test"}
	for _, x := range lite0(t).tensors {
		f.tensors = append(f.tensors, named.Tensor{Name: "model." + x.Name, Shape: x.Shape, Data: x.Data})
		if !strings.Contains(x.Name, "running") { // which averages of parameters lack
			data := slices.Repeat([]float32{2}, len(x.Data))
			f.tensors = append(f.tensors, named.Tensor{Name: "ema_model.module." + x.Name, Shape: x.Shape, Data: data})
		}
	}
	for _, plain := range []bool{false, true} {
		m, err := identify(f, Overrides{Plain: plain})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Tensors[0].Data[0]; (got == 2) == plain || len(m.Unused) > 0 {
			t.Errorf("plain %v: %v, unused %v", plain, got, m.Unused)
		}
		if e := finding(m, "use-ema"); e.Value != map[bool]string{false: "true", true: "false"}[plain] {
			t.Errorf("plain %v: %+v", plain, e)
		}
		if text := m.Describe("x"); !strings.Contains(text, "moving averages") {
			t.Errorf("not said: %s", text)
		}
	}
}

// How Keras' layers prepare images: the values are Keras' own.
func TestKerasImages(t *testing.T) {
	rescaling := keras.Layer{Class: "Rescaling", Scale: []float64{1. / 255}}
	normalization := keras.Layer{Class: "Normalization", Name: "normalization"}
	again := keras.Layer{Class: "Rescaling", Scale: []float64{1 / math.Sqrt(.229), 1 / math.Sqrt(.224), 1 / math.Sqrt(.225)}}
	input := keras.Layer{Class: "InputLayer"}
	published, adapted := []float32{.229, .224, .225}, []float32{.04, .09, .0625}
	for name, c := range map[string]struct {
		before    []keras.Layer // nil: not listed
		variance  []float32
		mean, std float64 // of green
		sure      bool
		err       string
	}{
		"published":          {[]keras.Layer{input, rescaling, normalization, again}, published, 116.28, 57.12, true, ""},
		"TensorFlow 2.3":     {[]keras.Layer{input, rescaling, normalization}, published, 116.28, 120.688, true, ""},
		"adapted":            {[]keras.Layer{input, {Class: "RandomFlip"}, rescaling, normalization}, adapted, 116.28, 76.5, true, ""},
		"V2":                 {[]keras.Layer{{Class: "Rescaling", Scale: []float64{1. / 128}, Offset: []float64{-1}}}, nil, 128, 128, true, ""},
		"V2-B":               {[]keras.Layer{rescaling, {Class: "Normalization", Mean: []float64{.1, .2, .3}, Variance: []float64{.01, .04, .09}}}, nil, 51, 51, true, ""},
		"nothing before":     {[]keras.Layer{input}, nil, 116.28, 57.12, false, ""},
		"published, bare":    {nil, published, 116.28, 57.12, true, ""},
		"adapted, bare":      {nil, adapted, 116.28, 76.5, false, ""},
		"nothing bare":       {nil, nil, 116.28, 57.12, false, ""},
		"a layer of code":    {[]keras.Layer{{Class: "Lambda", Name: "halve"}}, nil, 0, 0, false, "halve (Lambda)"},
		"no stored variance": {[]keras.Layer{rescaling, normalization}, nil, 0, 0, false, "normalization (Normalization)"},
		"negative":           {[]keras.Layer{{Class: "Rescaling", Scale: []float64{-1}}}, nil, 0, 0, false, "of a pixel"},
	} {
		f := &file{path: "x.h5", keras: &keras.File{Listed: c.before != nil, Before: c.before}}
		if c.variance != nil {
			f.tensors = []named.Tensor{{Name: "normalization/mean", Shape: []int{3}, Data: []float32{.485, .456, .406}},
				{Name: "normalization/variance", Shape: []int{3}, Data: c.variance}}
		}
		k := conditions{}
		k.prep.Mean, k.prep.Std = imageNetMean, imageNetStd
		err := k.keras(f, Overrides{})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
			if k.keras(f, Overrides{Mean: &[3]float64{}, Std: &[3]float64{1, 1, 1}}) != nil {
				t.Errorf("%s: an error where mean and std are given", name)
			}
			continue
		}
		if err != nil || k.prep.Mean[1] != c.mean || k.prep.Std[1] != c.std || k.meanOK != c.sure {
			t.Errorf("%s: %v, %v, sure %v, %v", name, k.prep.Mean, k.prep.Std, k.meanOK, err)
		}
	}
}

// A file's own name tells how it pads, and AdvProp's networks; its folder's is a guess.
func TestFileNames(t *testing.T) {
	names := readNames(t)["timm"]["b0"]
	for _, c := range []struct {
		path, padding string
		sure          bool
		mean          float64
	}{
		{"tf_efficientnet_b0_ap-202c4a.pth", "same", true, 127.5},
		{"tf_efficientnet_b0.ap_in1k.pth", "same", true, 127.5},
		{"tf_efficientnet_b0_aa.pth", "same", true, 123.675},
		{"tf_efficientnet_b0_map.pth", "same", true, 123.675},
		{"adv-tf_efficientnet_b0-b64d5a18.pth", "same", true, 127.5},
		{"tf_efficientnet_b0/model.pth", "same", false, 123.675},
		{"efficientnet_b0/tf_efficientnet_b0.pth", "same", true, 123.675},
		{"tf_efficientnet/efficientnet_b0.pth", "symmetric", false, 123.675},
	} {
		f := programFile(t, "b0", names, names, true)
		f.path = filepath.Join(t.TempDir(), c.path)
		m, err := identify(f, Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		if p := finding(m, "padding"); p.Value != c.padding || p.Sure != c.sure || m.Meta.Preprocess.Mean[0] != c.mean || m.Meta.Preprocess.Transparency != "stored" {
			t.Errorf("%s: %+v, mean %v, transparency %q", c.path, p, m.Meta.Preprocess.Mean, m.Meta.Preprocess.Transparency)
		}
	}
}

// The Hub's config.json names the classes.
func TestHubClasses(t *testing.T) {
	for doc, want := range map[string]string{
		`{"label_names": ["x", "y"], "label_descriptions": {"x": "an x"}}`: "x y, an x y, true",
		`{"label_names": {"0": "x", "1": "y"}}`:                            "x y, , true",
		`{"label_names": {"1": "x", "2": "y"}}`:                            "class 0 class 1, , false",
		`{"label_names": ["x"]}`:                                           "class 0 class 1, , false",
		`{"label_names": "imagenet"}`:                                      "class 0 class 1, , false",
		`{"label_names": [1, 2]}`:                                          "class 0 class 1, , false",
		`{`:                                                                "class 0 class 1, , false",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		m := &Imported{}
		_, sure := m.classes(&file{path: filepath.Join(dir, "model.safetensors")}, 2)
		got := strings.Join(m.Meta.Classes, " ") + ", " + strings.Join(m.Meta.Labels, " ") + ", " + map[bool]string{true: "true", false: "false"}[sure]
		if got != want {
			t.Errorf("%s: %s, want %s", doc, got, want)
		}
	}
}

// A file is part of a source by any name.
func TestIsPart(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"x.pth", "other", "m.index", "m.data-00000-of-00001", "config.json"} {
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("x.pth", "soft"); err != nil {
		t.Fatal(err)
	}
	if err := os.Link("x.pth", "hard"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		source, path string
		want         bool
	}{
		{"x.pth", "x.pth", true}, {"x.pth", "./x.pth", true}, {"x.pth", filepath.Join(dir, "x.pth"), true}, {"x.pth", "soft", true}, {"x.pth", "hard", true},
		{"soft", "x.pth", true}, {"m", "m.index", true}, {"m", "m.data-00000-of-00001", true}, {"m.index", "m.index", true}, {".", "m.index", true},
		{"x.pth", "config.json", true}, {"x.pth", "other", false}, {"x.pth", "new", false}, {"m", "other", false}, {"missing", "x.pth", false},
	} {
		if got := IsPart(c.source, c.path); got != c.want {
			t.Errorf("IsPart(%s, %s) is %v", c.source, c.path, got)
		}
	}
}

// A layer without tensors shows in Keras' list.
func TestKerasLayers(t *testing.T) {
	for class, refused := range map[string]bool{"GlobalMaxPooling2D": true, "Lambda": true, "GlobalAveragePooling2D": false, "Dropout": false} {
		f := lite0(t)
		f.keras = &keras.File{Listed: true, After: []keras.Layer{{Class: "Conv2D"}, {Class: class, Name: "pool"}}}
		if _, err := identify(f, Overrides{}); (err != nil) != refused || refused && !strings.Contains(err.Error(), "pool ("+class+")") {
			t.Errorf("%s: %v", class, err)
		}
	}
}
