package device_test

import (
	"errors"
	"strings"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/config"
	"effnet/internal/device"
	"effnet/internal/model"
	"effnet/internal/scale"
)

// TestSettingsNameTheDevices: the settings package knows nothing of devices, so what
// it allows is compared with the table here.
func TestSettingsNameTheDevices(t *testing.T) {
	precisions := map[string]bool{}
	for _, d := range device.All() {
		for _, precision := range d.Precisions {
			precisions[precision] = true
			c := config.Default()
			c.Device, c.Precision = d.Name, precision
			if err := c.Validate(); err != nil {
				t.Errorf("%s in %s: %v", d.Name, precision, err)
			}
		}
	}
	p, err := device.FindProcessor("auto")
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range append(p.Sets, "auto") {
		c := config.Default()
		c.Kernels = set
		if err := c.Validate(); err != nil {
			t.Errorf("kernels %s: %v", set, err)
		}
	}
	names, _ := config.Lookup("device")
	kinds, _ := config.Lookup("precision")
	for _, d := range device.All() {
		if !strings.Contains(names.Help, d.Name) {
			t.Errorf("the help of device has no %s", d.Name)
		}
	}
	for precision := range precisions {
		if !strings.Contains(kinds.Help, precision) {
			t.Errorf("the help of precision has no %s", precision)
		}
	}
	c := config.Default()
	c.Device = "abacus"
	err = c.Validate()
	for _, d := range device.All() {
		if err == nil || !strings.Contains(err.Error(), d.Name) {
			t.Errorf("%v: %s is missing", err, d.Name)
		}
	}
	c = config.Default()
	c.Precision = "fp1"
	err = c.Validate()
	if err == nil {
		t.Fatal("fp1 is allowed")
	}
	for precision := range precisions {
		if !strings.Contains(err.Error(), precision) {
			t.Errorf("%v: %s is missing", err, precision)
		}
	}
}

func TestWrongSettings(t *testing.T) {
	_, unknown := device.Lookup("abacus")
	cuda, err := device.Lookup("cuda")
	if err != nil {
		t.Fatal(err)
	}
	_, half := device.Host().Open("tf32", "auto", 1)
	_, none := cuda.Open("fp8", "auto", 0)
	_, planned := cuda.Counter("fp8", 0)
	last := len(cuda.Precisions) - 1
	precisions := strings.Join(cuda.Precisions[:last], ", ") + " or " + cuda.Precisions[last]
	for _, c := range []struct {
		err  error
		want string
	}{
		{unknown, "--device abacus: want " + device.Names()},
		{half, "--precision tf32: want fp32 or bf16 with --device cpu"},
		{none, "--precision fp8: want " + precisions + " with --device cuda"},
		{planned, "--precision fp8: want " + precisions + " with --device cuda"},
	} {
		if c.err == nil || c.err.Error() != c.want || !errors.As(c.err, new(*device.SettingError)) {
			t.Errorf("got %v, want a SettingError %s", c.err, c.want)
		}
	}
	if _, err := device.Host().Open("fp32", "abacus", 1); err == nil || !strings.HasPrefix(err.Error(), "--kernels abacus: this processor has ") || !errors.As(err, new(*device.SettingError)) {
		t.Errorf("an unknown set of kernels: %v", err)
	}
	if _, err := device.FindProcessor("abacus"); !errors.As(err, new(*device.SettingError)) {
		t.Errorf("an unknown set of kernels: %v", err)
	}
}

// counting is the CPU with the bytes of its buffers.
type counting struct {
	*cpu.Backend
	bytes int64
}

func (c *counting) Alloc(n int) (backend.Buffer, error) {
	c.bytes += 4 * int64(n)
	return c.Backend.Alloc(n)
}

// TestPlannersCountWhatIsAllocated makes the same network on the CPU and on its
// counter.
func TestPlannersCountWhatIsAllocated(t *testing.T) {
	b, err := device.Host().Open("fp32", "auto", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	actual := &counting{Backend: b.(*cpu.Backend)}
	planned, err := device.Host().Counter("fp32", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []backend.Backend{actual, planned} {
		build(t, b)
	}
	if planned.Bytes() != actual.bytes || actual.bytes == 0 {
		t.Errorf("planned %d bytes, allocated %d", planned.Bytes(), actual.bytes)
	}
}

// build makes a small network's training and inference on a backend.
func build(t *testing.T, b backend.Backend) {
	t.Helper()
	baseline, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	baseline.Stages = baseline.Stages[:3]
	arch, err := baseline.Scale(1, 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	arch.Classes = 10
	net, err := model.New(arch, b)
	if err == nil {
		err = net.Initialise(1)
	}
	if err != nil {
		t.Fatal(err)
	}
	training, err := net.Training(2, 1)
	if err == nil {
		err = training.Run(0)
	}
	if err != nil {
		t.Fatal(err)
	}
	inference, err := net.Inference(1)
	if err == nil {
		err = inference.Run()
	}
	if err == nil {
		err = inference.Logits(make([]float32, arch.Classes))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestHost: what commands print of the machine's processor.
func TestHost(t *testing.T) {
	host := device.Host()
	if host != device.All()[0] || !host.Host || host.Compiled() != nil {
		t.Errorf("the host is %+v", host)
	}
	found, _ := host.Found()
	if len(found) != 1 || !strings.Contains(found[0], " cores, ") {
		t.Errorf("found %q", found)
	}
	b, err := host.Open("fp32", "auto", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if text, err := host.Describe(b); err != nil || !strings.HasPrefix(text, "kernels "+strings.TrimPrefix(b.Name(), "cpu/")+" (of ") {
		t.Errorf("described as %q, %v", text, err)
	}
	if peaks, err := host.Peaks(t.Context(), b); err != nil || peaks.FLOPS <= 0 || peaks.Copy <= 0 {
		t.Errorf("peaks %+v, %v", peaks, err)
	}
	if u, err := host.Usage(b); err != nil || u != (device.Usage{}) {
		t.Errorf("usage %+v, %v", u, err)
	}
}
