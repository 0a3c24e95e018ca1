package onnx

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/scale"
)

// runtime is what another program is asked: tools/onnx_check.py's arguments.
type runtime struct {
	name, python, dir string
	args              []string
}

// newRuntime skips the test where there is no Python with the runtime, a module.
func newRuntime(t *testing.T, name string) *runtime {
	t.Helper()
	python := os.Getenv("EFFNET_PYTHON")
	if python == "" {
		t.Skip("EFFNET_PYTHON is not set: set it to a Python with onnx and " + name)
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import onnx, "+name).CombinedOutput(); err != nil {
		t.Skipf("%s has no onnx or no %s (pip install onnx %s): %s", python, name, name, out)
	}
	return &runtime{name: name, python: python, dir: t.TempDir()}
}

// add exports a network and writes what it computes for a batch.
func (r *runtime) add(t *testing.T, n *network, how string, batch int) {
	t.Helper()
	opt, pixels := options[how], images(batch, n.meta.Arch.Resolution)
	content := map[string]any{"onnx": n.export(t, opt), "logits": n.logits(t, pixels, batch), "images": pixels}
	if !opt.Preprocess {
		content["images"] = n.channelsFirst(n.normalised(pixels))
	}
	for _, kind := range []string{"onnx", "images", "logits"} {
		var file bytes.Buffer
		if err := binary.Write(&file, binary.LittleEndian, content[kind]); err != nil {
			t.Fatal(err)
		}
		a := n.meta.Arch
		path := filepath.Join(r.dir, fmt.Sprintf("%s, %d px, %s, %s, batch %d.%s", a.Name, a.Resolution, a.Padding, how, batch, kind))
		if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		r.args = append(r.args, path)
	}
}

// check runs all and returns a line for each.
func (r *runtime) check(ctx context.Context, t *testing.T, tolerance float64) []string {
	t.Helper()
	args := append([]string{"../../../tools/onnx_check.py", "--runtime=" + r.name, fmt.Sprintf("--tolerance=%g", tolerance)}, r.args...)
	out, err := exec.CommandContext(ctx, r.python, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	return strings.Split(strings.TrimSpace(strings.ReplaceAll(string(out), r.dir+"/", "")), "\n")
}

// ONNX Runtime and OpenVINO compute our own logits.
func TestRuntimes(t *testing.T) {
	for _, name := range []string{"onnxruntime", "openvino"} {
		t.Run(name, func(t *testing.T) { testRuntime(t, newRuntime(t, name)) })
	}
}

func testRuntime(t *testing.T, r *runtime) {
	for _, c := range []struct {
		variant    string
		resolution int
		padding    scale.Padding
		batches    []int
	}{
		{"b0", 65, scale.Same, []int{1, 3}}, {"b0", 96, scale.Same, []int{1}}, {"b0", 224, scale.Same, []int{1}},
		{"b0", 64, scale.Symmetric, []int{3}}, {"b0", 65, scale.Symmetric, []int{1}},
		{"lite0", 64, scale.Same, []int{1, 3, 8}}, {"lite0", 65, scale.Symmetric, []int{1}},
		{"mobilenetv1", 65, scale.Symmetric, []int{3}}, {"resnet50", 65, scale.Same, []int{1}}, {"resnet50", 64, scale.Symmetric, []int{3}},
		{"mobilenetv3-large", 65, scale.Symmetric, []int{1, 3}}, {"mobilenetv3-small", 64, scale.Same, []int{1}},
	} {
		n := newNetwork(t, changed(variant(t, c.variant), func(a *scale.Arch) {
			a.Resolution, a.Padding, a.Classes = c.resolution, c.padding, 20
		}))
		for how := range options {
			for _, batch := range c.batches {
				r.add(t, n, how, batch)
			}
		}
	}
	t.Log(strings.Join(r.check(t.Context(), t, 1e-5), "\n"))
}

// All published variants at their own resolutions, folded and not. It takes
// minutes and up to 2 GB, so EFFNET_VARIANTS asks for it.
func TestVariantsInONNXRuntime(t *testing.T) {
	if os.Getenv("EFFNET_VARIANTS") == "" {
		t.Skip("EFFNET_VARIANTS is not set: make test-full sets it")
	}
	for name := range strings.FieldsSeq("b0 b1 b2 b3 b4 b5 b6 b7 lite0 lite1 lite2 lite3 lite4 v2-s") {
		t.Run(name, func(t *testing.T) { // each returns its memory before the next
			r := newRuntime(t, "onnxruntime")
			n := newNetwork(t, variant(t, name))
			r.add(t, n, "folded", 1)
			r.add(t, n, "kept", 1)
			t.Log("\n" + strings.Join(r.check(t.Context(), t, 1e-5), "\n"))
		})
	}
}

// variant is a published variant, or a baseline as it stands.
func variant(t *testing.T, name string) scale.Arch {
	t.Helper()
	arch, err := scale.Variant(name)
	if b, e := scale.LookupBaseline(name); e == nil {
		arch, err = b.Scale(1, 1, b.Resolution)
	}
	if err != nil {
		t.Fatal(err)
	}
	return arch
}
