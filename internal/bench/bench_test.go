package bench

import (
	"testing"

	"effnet/internal/config"
	"effnet/internal/device"
	"effnet/internal/scale"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 3, 1, 2}, 2.5}} {
		if got := Median(c.x); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.x, got, c.want)
		}
	}
}

func TestPeakRSS(t *testing.T) {
	if got := peakRSS(); got < 1<<20 || got > 1<<40 {
		t.Errorf("%d bytes", got)
	}
	if got := maxRSS(); got < 1<<20 || got > 1<<40 {
		t.Errorf("getrusage: %d bytes", got)
	}
}

// Each mode measures what it is asked for, of a small network.
func TestRun(t *testing.T) {
	baseline, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	baseline.Stages = baseline.Stages[:2]
	arch, err := baseline.Scale(1, 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	arch.Classes = 10
	host := device.Host()
	b, err := host.Open("fp32", "auto", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, mode := range []string{Train, Infer} {
		r, err := Run(t.Context(), host, b, config.Default(), arch, Options{Mode: mode, Precision: "fp32", Threads: 1, Batch: 2, Steps: 3, Profile: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Mode != mode || len(r.StepSec) != 3 || r.ImagesPerSec <= 0 || r.Arena <= 0 || len(r.ByOp) == 0 || len(r.ByLayer) == 0 || r.Alone != nil || r.DeviceMemory != 0 {
			t.Errorf("%s: %+v", mode, r)
		}
	}
	if took, err := Latency(t.Context(), b, config.Default(), arch); err != nil || took <= 0 {
		t.Errorf("latency %v, %v", took, err)
	}
}

// A training step takes at most half the memory of a card that PyTorch allocates for it,
// as tools/torch_memory.py counts: docs/performance.md has both.
func TestModelledMemory(t *testing.T) {
	cuda, err := device.Lookup("cuda")
	if err != nil {
		t.Fatal(err)
	}
	arch, err := scale.Variant("b0")
	if err != nil {
		t.Fatal(err)
	}
	for precision, torch := range map[string]float64{"fp32": 21717, "bf16": 11046} {
		cfg := config.Default()
		cfg.Device, cfg.Precision = "cuda", precision
		r, err := Model(cuda, cfg, arch, Options{Mode: Train, Precision: precision, Batch: 256})
		if err != nil {
			t.Fatal(err)
		}
		if r.DeviceMemory > torch/2 || r.DeviceMemory < torch/10 {
			t.Errorf("%s: %.0f MiB, PyTorch's step takes %.0f", precision, r.DeviceMemory, torch)
		}
	}
}
