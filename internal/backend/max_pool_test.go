package backend_test

import (
	"slices"
	"testing"

	"effnet/internal/backend"
)

// PyTorch's max_pool2d(x, 3, 2, 1) and its gradient, with equal values in each
// window, and of an image where zeros around it would be the largest.
func TestMaxPoolEqualsPyTorch(t *testing.T) {
	x := []float32{1, 3, 3, 0, 2, 3, 1, 5, 5, 0, 5, 5, 0, 0, 0, -1}
	pool := backend.MaxPool{ConvShape: backend.ConvShape{N: 1, H: 4, W: 4, In: 1, Kernel: 3, Stride: 2, Top: 1, Left: 1, OutH: 2, OutW: 2, Out: 1}}
	y, dx := make([]float32, 4), make([]float32, 16)
	if err := backend.Reference(pool, [][]float32{x, y}); err != nil {
		t.Fatal(err)
	}
	if want := []float32{3, 5, 5, 5}; !slices.Equal(y, want) {
		t.Errorf("largest values %v, want %v", y, want)
	}
	if err := backend.Reference(backend.MaxPoolGrad{MaxPool: pool}, [][]float32{x, {1, 10, 100, 1000}, dx}); err != nil {
		t.Fatal(err)
	}
	if want := []float32{0, 1, 0, 0, 0, 0, 0, 1010, 100, 0, 0, 0, 0, 0, 0, 0}; !slices.Equal(dx, want) {
		t.Errorf("gradient %v, want %v", dx, want)
	}

	pool.H, pool.W, pool.OutH, pool.OutW = 2, 2, 1, 1
	if err := backend.Reference(pool, [][]float32{{-1, -2, -3, -4}, y[:1]}); err != nil {
		t.Fatal(err)
	}
	if y[0] != -1 {
		t.Errorf("the largest of negative values is %v, want -1", y[0])
	}
}
