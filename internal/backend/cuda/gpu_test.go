package cuda

import (
	"os"
	"testing"

	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cuda/driver"
)

// gpu is the GPU, for the tests of "make test-gpu".
func gpu(t *testing.T, precision driver.Precision) *Backend {
	t.Helper()
	if os.Getenv("EFFNET_GPU") == "" {
		t.Skip("no test of a GPU: EFFNET_GPU is not set (make test-gpu)")
	}
	b, err := Open(string(precision))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Log(b.Name())
	return b
}

func TestGPU(t *testing.T) {
	backendtest.Test(t, gpu(t, driver.FP32), 2e-5)
}

// A network trains on the GPU as on the CPU; with coarser products, nearly so.
func TestGPUTrainsAsTheCPU(t *testing.T) {
	for precision, limit := range map[driver.Precision]float64{driver.FP32: 1e-4, driver.TF32: 2e-2, driver.BF16: 0.15} {
		b := gpu(t, precision)
		host, err := cpu.New(0)
		if err != nil {
			t.Fatal(err)
		}
		defer host.Close()
		compareTraining(t, b, host, 10, limit)
	}
}

// A network answers on the GPU as on the CPU.
func TestGPUAnswersAsTheCPU(t *testing.T) {
	for precision, limit := range map[driver.Precision]float64{driver.FP32: 1e-4, driver.TF32: 1e-2, driver.BF16: 0.03} {
		b := gpu(t, precision)
		host, err := cpu.New(0)
		if err != nil {
			t.Fatal(err)
		}
		defer host.Close()
		compareAnswers(t, b, host, limit)
	}
}
