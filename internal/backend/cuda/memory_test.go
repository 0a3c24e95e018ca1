package cuda

import (
	"runtime"
	"testing"
	"time"

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

// A plan that nothing refers to gives back its memory, products and graphs: training at one
// size after another takes what the last takes.
func TestDroppedPlansTakeNothing(t *testing.T) {
	for _, precision := range append(halfPrecisions(), driver.FP32) {
		memory, handles := afterTraining(t, precision, 40)
		if grownMemory, grownHandles := afterTraining(t, precision, 24, 32, 40); grownMemory != memory || grownHandles != handles || handles < 2 {
			t.Errorf("%s: %d bytes and %d handles after smaller plans, %d and %d without", precision, grownMemory, grownHandles, memory, handles)
		}
	}
}

// afterTraining is the memory and the handles that are left of an emulated card by training
// a network at some sizes, one after the other, of which the last is not dropped.
func afterTraining(t *testing.T, precision driver.Precision, sizes ...int) (bytes int64, handles int) {
	t.Helper()
	b, e := onCPU(t)
	b.precision = precision
	net, err := model.New(small(), b)
	if err != nil {
		t.Fatal(err)
	}
	gradients, err := backend.NewView(b, net.Weights.Len)
	if err != nil {
		t.Fatal(err)
	}
	var training *model.Training
	for _, size := range sizes {
		if training, err = net.TrainingAt(model.Pass{Resolution: size, Batch: 2, Seed: 1}, gradients); err != nil {
			t.Fatal(err)
		}
		for step := range uint64(3) { // the second is recorded
			if err := training.Run(step); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 20 { // what the collector finds comes a moment later
		runtime.GC()
		time.Sleep(time.Millisecond)
		if err := b.reclaim(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range b.memory {
		bytes += n
	}
	runtime.KeepAlive(training)
	return bytes, e.leaks
}
