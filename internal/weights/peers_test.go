package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/checkpoint"
	"effnet/internal/model"
)

// peerCases are tools/weights_peers.py's; the first few always run, the others
// take minutes and up to 2 GB.
var peerCases = [2]string{
	"timm:tf_efficientnet_b0:safetensors timm:efficientnet_b0:legacy torchvision:efficientnet_b0:pth lukemelas:efficientnet-b0:pth " +
		"keras:EfficientNetB0:keras keras:EfficientNetB0:h5",
	"timm:tf_efficientnet_b1:safetensors timm:tf_efficientnet_b2:safetensors timm:tf_efficientnet_b3:safetensors timm:tf_efficientnet_b4:safetensors " +
		"timm:tf_efficientnet_b5:safetensors timm:tf_efficientnet_b6:safetensors timm:tf_efficientnet_b7:safetensors " +
		"timm:tf_efficientnet_lite0:safetensors timm:tf_efficientnet_lite1:safetensors timm:tf_efficientnet_lite2:safetensors " +
		"timm:tf_efficientnet_lite3:safetensors timm:tf_efficientnet_lite4:safetensors timm:tf_efficientnetv2_s:safetensors " +
		"torchvision:efficientnet_b1:pth torchvision:efficientnet_b2:pth torchvision:efficientnet_b3:pth torchvision:efficientnet_b4:pth " +
		"torchvision:efficientnet_b5:pth torchvision:efficientnet_b6:pth torchvision:efficientnet_b7:pth torchvision:efficientnet_v2_s:pth " +
		"tensorflow:EfficientNetB0:index lukemelas:efficientnet-b1:pth lukemelas:efficientnet-b4:pth keras:EfficientNetB4:keras keras:EfficientNetV2S:keras " +
		"timm:mobilenetv3_large_100:safetensors timm:tf_mobilenetv3_large_100:safetensors timm:mobilenetv3_small_100:legacy " +
		"torchvision:mobilenet_v3_large:pth torchvision:mobilenet_v3_small:pth",
}

// What other programs compute with their weights, the imported ones compute too:
// logits to 1e-5 of the largest, float32 against float32. timm's weights come
// back bit by bit.
func TestPeers(t *testing.T) {
	python := os.Getenv("EFFNET_PYTHON")
	if python == "" {
		t.Skip("EFFNET_PYTHON is not set: set it to a Python with torch, torchvision, timm, keras and efficientnet_pytorch")
	}
	cases := strings.Fields(peerCases[0])
	if os.Getenv("EFFNET_VARIANTS") != "" {
		cases = append(cases, strings.Fields(peerCases[1])...)
	}
	for _, c := range cases {
		t.Run(c, func(t *testing.T) { // one at a time: each takes up to 2 GB
			dir := t.TempDir()
			out, err := exec.CommandContext(t.Context(), python, "../../tools/weights_peers.py", dir, c).CombinedOutput()
			if bytes.Contains(out, []byte("No module named 'tensorflow'")) {
				t.Skip("EFFNET_PYTHON has no tensorflow (pip install tensorflow)")
			}
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			var number, resolution int
			if _, err := fmt.Sscan(lines[len(lines)-1], &number, &resolution); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			peer(t, c, filepath.Join(dir, "0"), resolution)
		})
	}
}

func peer(t *testing.T, name, path string, resolution int) {
	o := Overrides{Resolution: resolution}
	switch { // the file does not tell
	case strings.HasPrefix(name, "timm:efficientnet"):
		o.Padding, o.BNEps = "symmetric", 1e-5
	case strings.HasPrefix(name, "timm:tf_mobilenetv3"):
		o.Padding, o.BNEps = "same", 1e-3
	}
	m, err := Open(path+".weights", o)
	if err != nil {
		t.Fatal(err)
	}
	for _, unused := range m.Unused {
		if !strings.HasPrefix(unused, "normalization/") && unused != "global_step" {
			t.Errorf("%s is unused", unused)
		}
	}
	if strings.HasPrefix(name, "timm:") {
		roundTrip(t, path, m)
	}
	got, want := logits(t, m, floats(t, path+".images")), floats(t, path+".logits")
	var worst, largest float64
	for i := range want {
		worst = math.Max(worst, math.Abs(float64(got[i])-float64(want[i])))
		largest = math.Max(largest, math.Abs(float64(want[i])))
	}
	t.Logf("| %s | %s | %d | %.1e |", name, m.Meta.Arch.Name, resolution, worst/largest)
	if !(worst <= 1e-5*largest) {
		t.Errorf("logits differ by %g of the largest", worst/largest)
	}
}

// roundTrip writes the imported network as a checkpoint and compares its tensors'
// bits with the source's.
func roundTrip(t *testing.T, path string, m *Imported) {
	if err := checkpoint.Write(path+".ours", m.Meta, m.Tensors); err != nil {
		t.Fatal(err)
	}
	back, err := checkpoint.Read(path + ".ours")
	if err != nil {
		t.Fatal(err)
	}
	source, err := read(path+".weights", false)
	if err != nil {
		t.Fatal(err)
	}
	bits := map[string][]float32{}
	for _, x := range back.Tensors {
		bits[x.Name] = x.Data
	}
	if len(bits) != len(source.tensors) {
		t.Errorf("%d tensors came back of %d", len(bits), len(source.tensors))
	}
	for _, x := range source.tensors {
		for i, v := range x.Data {
			if len(bits[x.Name]) != len(x.Data) || math.Float32bits(bits[x.Name][i]) != math.Float32bits(v) {
				t.Fatalf("%s came back changed", x.Name)
			}
		}
	}
}

func logits(t *testing.T, m *Imported, image []float32) []float32 {
	t.Helper()
	b := cpu.NewWith(kernel.Available()[0], 2)
	defer b.Close()
	net, err := model.New(m.Meta.Arch, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := net.Load(m.Tensors); err != nil {
		t.Fatal(err)
	}
	pass, err := net.Inference(1)
	if err == nil {
		err = b.Upload(pass.Images, image)
	}
	if err == nil {
		err = pass.Run()
	}
	out := make([]float32, m.Meta.Arch.Classes)
	if err == nil {
		err = pass.Logits(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func floats(t *testing.T, path string) []float32 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, len(text)/4)
	if err := binary.Read(bytes.NewReader(text), binary.LittleEndian, values); err != nil {
		t.Fatal(err)
	}
	return values
}
