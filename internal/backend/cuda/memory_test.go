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
	for _, precision := range append(halfPrecisions(), driver.FP32) {
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

// Maps of 16 bits take half the memory, and what runs one after the other shares it.
func TestArenas(t *testing.T) {
	bytes := map[driver.Precision]int64{}
	for _, precision := range append(halfPrecisions(), driver.FP32) {
		p := NewCounter(string(precision))
		training, inference := made(t, p)
		bytes[precision] = training.ArenaBytes()
		if p.shared.Len*4 != int(training.ArenaBytes()) || inference.ArenaBytes() >= training.ArenaBytes() {
			t.Errorf("%s: %d bytes are shared by %d and %d", precision, p.shared.Len*4, training.ArenaBytes(), inference.ArenaBytes())
		}
	}
	for precision, n := range bytes {
		if share := float64(n) / float64(bytes[driver.FP32]); precision != driver.FP32 && (share < 0.5 || share > 0.55) {
			t.Errorf("maps of %s take %d bytes, %.2f of %d", precision, n, share, bytes[driver.FP32])
		}
	}
}
