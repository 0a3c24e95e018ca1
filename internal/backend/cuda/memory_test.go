package cuda

import (
	"runtime"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
	"effnet/internal/model"
)

// made is training and inference of a network on a backend.
func made(t *testing.T, b backend.Backend) (*model.Training, *model.Inference) {
	t.Helper()
	net, err := model.New(small(), b)
	if err != nil {
		t.Fatal(err)
	}
	training, err := net.Training(4, 1)
	if err != nil {
		t.Fatal(err)
	}
	inference, err := net.Inference(4)
	if err != nil {
		t.Fatal(err)
	}
	return training, inference
}

// A Counter says what the same things take, to the byte but for the products'
// workspace.
func TestPlannerCountsWhatIsTaken(t *testing.T) {
	for _, precision := range []driver.Precision{driver.FP32, driver.BF16} {
		b, e := onCPU(t)
		b.precision = precision
		training, inference := made(t, b)
		p := NewCounter(string(precision))
		p.threads = emulatedThreads
		plannedTraining, plannedInference := made(t, p)
		var taken int64
		for _, m := range e.memory {
			taken += (int64(len(m)) - 1) / alignment * alignment // without the emulation's own
		}
		if planned := p.Bytes() - driver.WorkspaceBytes; planned != taken || taken == 0 {
			t.Errorf("%s: %d bytes planned, %d taken", precision, planned, taken)
		}
		runtime.KeepAlive([]any{training, inference, plannedTraining, plannedInference})
	}
}

// bf16 maps take half the memory, and what runs one after the other shares it.
func TestArenas(t *testing.T) {
	var bytes [2]int64
	for i, precision := range []driver.Precision{driver.FP32, driver.BF16} {
		p := NewCounter(string(precision))
		training, inference := made(t, p)
		bytes[i] = training.ArenaBytes()
		if p.shared.Len*4 != int(training.ArenaBytes()) || inference.ArenaBytes() >= training.ArenaBytes() {
			t.Errorf("%s: %d bytes are shared by %d and %d", precision, p.shared.Len*4, training.ArenaBytes(), inference.ArenaBytes())
		}
	}
	if share := float64(bytes[1]) / float64(bytes[0]); share < 0.5 || share > 0.55 {
		t.Errorf("maps of bf16 take %d bytes, %.2f of %d", bytes[1], share, bytes[0])
	}
}
