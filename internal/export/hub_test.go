package export

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"effnet/internal/backend/cpu"
	"effnet/internal/checkpoint"
	"effnet/internal/hub/hubtest"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/scale"
	"effnet/internal/weights"
)

// imported is a published network with weights of its own making.
func imported(t *testing.T, variant string, padding scale.Padding, eps float64) *weights.Imported {
	t.Helper()
	a, err := scale.Variant(variant)
	if err != nil {
		t.Fatal(err)
	}
	a.Classes, a.Padding, a.BNEps, a.Resolution = 3, padding, eps, 64
	n := &weights.Imported{Meta: checkpoint.Meta{
		Arch: a, Classes: []string{"a", "b", "c"}, Labels: []string{"A", "B", "C"},
		Preprocess: checkpoint.Preprocess{Resolution: 64, Crop: "timm", CropPct: 0.9, Interpolation: "bicubic", Transparency: checkpoint.Stored,
			Mean: [3]float64{123.675, 116.28, 103.53}, Std: [3]float64{58.395, 57.12, 57.375}},
		Training: &checkpoint.Training{Top1: 0.875},
	}}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, tensor := range a.Tensors() {
		size := 1
		for _, d := range tensor.Shape {
			size *= d
		}
		data, fan := make([]float32, size), float64(size/tensor.Shape[0])
		for i := range data {
			switch v := rng.NormFloat64(); {
			case len(tensor.Shape) > 1:
				data[i] = float32(v * math.Sqrt(2/fan))
			case tensor.Leaf == "running_var" || tensor.Leaf == "weight":
				data[i] = float32(1 + 0.1*math.Abs(v))
			default:
				data[i] = float32(0.1 * v)
			}
		}
		n.Tensors = append(n.Tensors, named.Tensor{Name: tensor.Name(), Shape: tensor.Shape, Data: data})
	}
	return n
}

func TestHubFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	n := imported(t, "tinynet-e", scale.Symmetric, 1e-5)
	if what, err := Write(dir, n, "source", Options{Hub: true, Version: "v1"}); err != nil || !strings.Contains(what, "timm's tinynet_e") {
		t.Fatalf("%s, %v", what, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c hubConfig
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if c.Architecture != "tinynet_e" || c.Classes != 3 || c.Args != nil || c.Descriptions["b"] != "B" || c.Pretrained.InputSize != [3]int{3, 64, 64} ||
		math.Abs(c.Pretrained.Mean[0]-0.485) > 1e-9 {
		t.Errorf("%s", text)
	}
	card, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil || !strings.HasPrefix(string(card), "---\ntags:\n") || !strings.Contains(string(card), "hf-hub:OWNER/net") || !strings.Contains(string(card), "87.50%") {
		t.Errorf("%v: %s", err, card)
	}
	back, err := weights.Open(filepath.Join(dir, "model.safetensors"), weights.Overrides{})
	if err != nil || back.Meta.Preprocess != n.Meta.Preprocess || len(back.Tensors) != len(n.Tensors) {
		t.Errorf("it comes back as %+v, %v", back, err)
	}
	if _, err := Write(dir, n, "source", Options{Hub: true}); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("over another: %v", err)
	}
}

// A network with another padding than any of timm's has it in its arguments; one that timm
// cannot build is an error, and leaves nothing.
func TestHubArguments(t *testing.T) {
	c, err := newHubConfig(imported(t, "tinynet-e", scale.Same, 1e-3))
	if err != nil || c.Args["pad_type"] != "same" || c.Args["bn_eps"] != 1e-3 {
		t.Errorf("%+v, %v", c, err)
	}
	n := imported(t, "tinynet-e", scale.Same, 1e-3)
	n.Meta.Arch.Stages[2].Kernel = 7
	dir := filepath.Join(t.TempDir(), "net")
	if _, err := Write(dir, n, "source", Options{Hub: true}); err == nil || !strings.Contains(err.Error(), "timm has no network") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was written")
	}
}

// timm computes the same logits with an exported folder, from the disk and from a hub.
func TestTimmLoadsFolders(t *testing.T) {
	python := os.Getenv("EFFNET_PYTHON")
	if python == "" {
		t.Skip("EFFNET_PYTHON is not set: set it to a Python with timm and huggingface_hub")
	}
	for _, c := range []struct {
		variant string
		padding scale.Padding
		eps     float64
	}{{"tinynet-e", scale.Same, 1e-3}, {"b0", scale.Same, 1e-3}, {"mobilenetv3-small", scale.Symmetric, 1e-3}} {
		t.Run(fmt.Sprint(c.variant, " ", c.padding), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "net")
			n := imported(t, c.variant, c.padding, c.eps)
			if _, err := Write(dir, n, "source", Options{Hub: true}); err != nil {
				t.Fatal(err)
			}
			files := map[string][]byte{}
			for _, name := range []string{"config.json", "model.safetensors", "README.md"} {
				var err error
				if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			s := hubtest.New(t)
			s.Add("me/net", files)
			want, image := logits(t, n)
			for _, name := range []string{"local-dir:" + dir, "hf-hub:me/net"} {
				compare(t, python, s.URL, name, image, want)
			}
		})
	}
}

// logits are the network's on an image, which is written to a file as timm wants it.
func logits(t *testing.T, n *weights.Imported) (out []float32, path string) {
	t.Helper()
	b, err := cpu.New(2)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	net, err := model.New(n.Meta.Arch, b)
	if err == nil {
		err = net.Load(n.Tensors)
	}
	if err != nil {
		t.Fatal(err)
	}
	side := n.Meta.Arch.Resolution
	rng := rand.New(rand.NewPCG(3, 4))
	image, planes := make([]float32, 3*side*side), make([]float32, 3*side*side)
	for i := range image {
		image[i] = float32(rng.NormFloat64())
		planes[i%3*side*side+i/3] = image[i]
	}
	pass, err := net.Inference(1)
	if err == nil {
		err = b.Upload(pass.Images, image)
	}
	if err == nil {
		err = pass.Run()
	}
	out = make([]float32, n.Meta.Arch.Classes)
	if err == nil {
		err = pass.Logits(out)
	}
	var file bytes.Buffer
	if err == nil {
		err = binary.Write(&file, binary.LittleEndian, planes)
	}
	path = filepath.Join(t.TempDir(), "image")
	if err == nil {
		err = os.WriteFile(path, file.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out, path
}

func compare(t *testing.T, python, endpoint, name, image string, want []float32) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, "../../tools/hub_check.py", "timm", name, image)
	cmd.Env = append(os.Environ(), "HF_ENDPOINT="+endpoint, "HF_HUB_CACHE="+t.TempDir(), "HF_TOKEN=", "NO_PROXY=*", "HF_HUB_DISABLE_PROGRESS_BARS=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	config, values, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if !strings.Contains(config, `"label_names": ["a", "b", "c"]`) || !strings.Contains(config, `"input_size": [3, 64, 64]`) || !strings.Contains(config, `"crop_pct": 0.9`) {
		t.Errorf("%s: %s", name, config)
	}
	got := strings.Fields(values)
	if len(got) != len(want) {
		t.Fatalf("%s: %q", name, values)
	}
	var worst, largest float64
	for i, w := range want {
		v, err := strconv.ParseFloat(got[i], 64)
		if err != nil {
			t.Fatal(err)
		}
		worst, largest = math.Max(worst, math.Abs(v-float64(w))), math.Max(largest, math.Abs(float64(w)))
	}
	t.Logf("%s: %.1e", name, worst/largest)
	if !(worst <= 1e-5*largest) {
		t.Errorf("%s: logits differ by %g of the largest: %s and %v", name, worst/largest, values, want)
	}
}
