package npz

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/scale"
)

func newNetwork(t *testing.T, arch scale.Arch) (*model.Network, *cpu.Backend, []named.Tensor) {
	t.Helper()
	b := cpu.NewWith(kernel.Available()[0], 2)
	t.Cleanup(func() { b.Close() })
	net, err := model.New(arch, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := net.Initialise(1); err != nil {
		t.Fatal(err)
	}
	tensors, err := net.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, x := range tensors {
		if len(x.Shape) == 1 { // all that Initialise leaves constant
			for i := range x.Data {
				x.Data[i] += .3 * (2*r.Float32() - 1)
			}
		}
	}
	if err := net.Load(tensors); err != nil {
		t.Fatal(err)
	}
	return net, b, tensors
}

// Another program's than ImageNet's, to see them used.
var mean, std = [3]float64{127.5, 110, 90}, [3]float64{60, 127.5, 50}

func tiny() scale.Arch {
	return scale.Arch{
		Name: "tiny", Resolution: 32, Stem: 8, Head: 24, Classes: 5,
		Stages: []scale.Stage{
			{Block: scale.MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 8, Repeats: 1, SERatio: .25},
			{Block: scale.MBConv, Kernel: 5, Stride: 2, Expansion: 6, Channels: 16, Repeats: 2},
		},
		Activation: scale.Swish, Padding: scale.Same, BNEps: 1e-3, BNMomentum: .01,
	}
}

// The names that keras.applications gives such a network's weights, by layers.
const kerasOrder = `
stem_conv stem_bn
block1a_dwconv block1a_bn block1a_se_reduce block1a_se_expand block1a_project_conv block1a_project_bn
block2a_expand_conv block2a_expand_bn block2a_dwconv block2a_bn block2a_project_conv block2a_project_bn
block2b_expand_conv block2b_expand_bn block2b_dwconv block2b_bn block2b_project_conv block2b_project_bn
top_conv top_bn predictions`

func TestOrder(t *testing.T) {
	_, _, tensors := newNetwork(t, tiny())
	want := []string{"normalization/mean.npy", "normalization/variance.npy", "normalization/count.npy"}
	for layer := range strings.FieldsSeq(kerasOrder) {
		parts := []string{"kernel"}
		switch {
		case strings.HasSuffix(layer, "bn"):
			parts = []string{"gamma", "beta", "moving_mean", "moving_variance"}
		case strings.Contains(layer, "_se_"), layer == "predictions":
			parts = append(parts, "bias")
		}
		for _, part := range parts {
			want = append(want, layer+"/"+part+".npy")
		}
	}
	var got []string
	for _, f := range export(t, tiny(), tensors).File {
		got = append(got, f.Name)
		if f.Method != zip.Store {
			t.Errorf("%s is compressed", f.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("arrays %v, want %v", got, want)
	}
}

// Each value lies where Keras' layout has it.
func TestLayouts(t *testing.T) {
	_, _, tensors := newNetwork(t, tiny())
	z := export(t, tiny(), tensors)
	for _, c := range []struct {
		timm, keras, shape string
		index              func(o, i, y, x int) int // in Keras' array, of PyTorch's [o,i,y,x]
	}{
		{"conv_stem.weight", "stem_conv/kernel", "(3, 3, 3, 8)", func(o, i, y, x int) int { return ((y*3+x)*3+i)*8 + o }},
		{"blocks.1.0.conv_dw.weight", "block2a_dwconv/kernel", "(5, 5, 48, 1)", func(o, _, y, x int) int { return (y*5+x)*48 + o }},
		{"blocks.0.0.se.conv_reduce.weight", "block1a_se_reduce/kernel", "(1, 1, 8, 2)", func(o, i, _, _ int) int { return i*2 + o }},
		{"classifier.weight", "predictions/kernel", "(24, 5)", func(o, i, _, _ int) int { return i*5 + o }},
		{"blocks.1.1.bn2.running_var", "block2b_bn/moving_variance", "(96,)", func(o, _, _, _ int) int { return o }},
	} {
		shape, got := read(t, z, c.keras)
		if shape != c.shape {
			t.Errorf("%s has shape %s, want %s", c.keras, shape, c.shape)
			continue
		}
		i := slices.IndexFunc(tensors, func(x named.Tensor) bool { return x.Name == c.timm })
		dims := append(slices.Clone(tensors[i].Shape), 1, 1, 1)
		for k, v := range tensors[i].Data {
			x, y := k%dims[3], k/dims[3]%dims[2]
			in, out := k/(dims[3]*dims[2])%dims[1], k/(dims[3]*dims[2]*dims[1])
			if at := c.index(out, in, y, x); got[at] != v {
				t.Fatalf("%s[%d] is %v, want %v", c.keras, at, got[at], v)
			}
		}
	}
}

func export(t *testing.T, arch scale.Arch, tensors []named.Tensor) *zip.Reader {
	t.Helper()
	var file bytes.Buffer
	if err := Write(&file, arch, mean, std, tensors); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// read returns an array's shape, as its header has it, and its values.
func read(t *testing.T, z *zip.Reader, name string) (shape string, data []float32) {
	t.Helper()
	f, err := z.Open(name + ".npy")
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	head, ok := strings.CutPrefix(string(content[:10+binary.LittleEndian.Uint16(content[8:])]), "\x93NUMPY\x01\x00")
	if !ok || (len(head)+8)%64 != 0 || !strings.HasSuffix(head, "\n") {
		t.Fatalf("%s has the header %q", name, head)
	}
	head, ok = strings.CutPrefix(strings.TrimSpace(head[2:]), "{'descr': '<f4', 'fortran_order': False, 'shape': ")
	if !ok {
		t.Fatalf("%s has the header %q", name, head)
	}
	data = make([]float32, (len(content)-10-int(binary.LittleEndian.Uint16(content[8:])))/4)
	if err := binary.Read(bytes.NewReader(content[len(content)-4*len(data):]), binary.LittleEndian, data); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(head, ", }"), data
}

func TestErrors(t *testing.T) {
	_, _, tensors := newNetwork(t, tiny())
	for want, tensors := range map[string][]named.Tensor{
		"tensor conv_stem.weight is missing":          nil,
		"tensor other does not belong to the network": append(slices.Clone(tensors), named.Tensor{Name: "other"}),
	} {
		err := Write(io.Discard, tiny(), mean, std, tensors)
		if e := (*named.Mismatch)(nil); !errors.As(err, &e) || e.Reason != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	arch := tiny()
	arch.Stages[1].Block = "fused"
	err := Write(io.Discard, arch, mean, std, tensors)
	if want := `npz: tiny has a block of the kind "fused": Keras' EfficientNetB0 to B7 have "mbconv" only`; err == nil || err.Error() != want {
		t.Error(err)
	}
	arch = tiny()
	arch.Activation = scale.ReLU6
	err = Write(io.Discard, arch, mean, std, tensors)
	if want := `npz: tiny has the activation relu6, as lite networks do: Keras' EfficientNetB0 to B7 have swish`; err == nil || err.Error() != want {
		t.Error(err)
	}
	for _, change := range []func(*scale.Arch){
		func(a *scale.Arch) { a.Head = 0 }, func(a *scale.Arch) { a.StemKernel = 7 }, func(a *scale.Arch) { a.StemPool = true },
	} {
		arch := tiny()
		change(&arch)
		err := Write(io.Discard, arch, mean, std, tensors)
		if want := "npz: tiny has another stem or head than Keras' EfficientNetB0 to B7"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Keras computes our own logits.
func TestKeras(t *testing.T) {
	python := os.Getenv("EFFNET_PYTHON")
	if python == "" {
		t.Skip("EFFNET_PYTHON is not set: set it to a Python with keras and torch")
	}
	for i, resolution := range []int{64, 65} {
		const batch = 2
		arch, err := scale.Variant(fmt.Sprintf("b%d", i))
		if err != nil {
			t.Fatal(err)
		}
		arch.Resolution, arch.Classes = resolution, 20
		net, b, tensors := newNetwork(t, arch)
		images, logits := make([]float32, batch*resolution*resolution*3), make([]float32, batch*arch.Classes)
		r := rand.New(rand.NewPCG(3, 4))
		pixels := make([]float32, len(images))
		for i := range images {
			pixels[i] = float32(r.IntN(256))
			images[i] = (pixels[i] - float32(mean[i%3])) / float32(std[i%3])
		}
		pass, err := net.Inference(batch)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Upload(pass.Images, images), pass.Run(), pass.Logits(logits)); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := Write(&file, arch, mean, std, tensors); err != nil {
			t.Fatal(err)
		}
		dir, args := t.TempDir(), []string{"../../../tools/keras_check.py", fmt.Sprintf("EfficientNetB%d", i)}
		for name, content := range map[string]any{"1.npz": file.Bytes(), "2.images": pixels, "3.logits": logits} {
			var raw bytes.Buffer
			if err := binary.Write(&raw, binary.LittleEndian, content); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, raw.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, path)
		}
		slices.Sort(args[2:])
		cmd := exec.CommandContext(t.Context(), python, args...)
		cmd.Env = append(os.Environ(), "KERAS_BACKEND=torch")
		out, err := cmd.CombinedOutput()
		if e := (*exec.ExitError)(nil); errors.As(err, &e) && e.ExitCode() == 3 {
			t.Skipf("EFFNET_PYTHON has no Keras (pip install keras torch): %s", out)
		}
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		t.Logf("%s", out)
	}
}
